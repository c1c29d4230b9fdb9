"""Single values of [supervisor.ship.NAME]: URLs, addresses, headers, templates, and files read in their place."""

import os
import re
import urllib.parse

from supervisor.config.files import UnreadableError, read_text
from supervisor.config.place import Place
from supervisor.config.values import CONTROL, WrongError, env_value, normal, path, show, text
from supervisor.core.sinks import WORDS

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_PATTERN = re.compile(r"[a-z0-9_.*?\[\]!-]{1,128}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_PLACE = re.compile(r"\$(\$|\{([a-z_]*)\})?")
_STREAM = re.compile(r"(tcp|tls|udp):(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")
#: A Unix socket's path has 107 bytes and a NUL (unix(7)).
_SOCKET_MAX = 107
#: Headers that say how a request is framed, or what the type of sink sends itself.
_OURS = frozenset(
    {"host", "content-length", "connection", "transfer-encoding", "content-encoding", "user-agent"}
)


def sink_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise WrongError(f"{show(value)} is not a name (small letters, digits, - and _)")
    return value


def pattern(value: object) -> str:
    word = text(value)
    if not _PATTERN.fullmatch(word):
        raise WrongError(f'{show(word)} is not a pattern of names (write "web", "web-*" or "*")')
    return word


def url(value: object) -> str:
    url = text(value)
    try:
        parts = urllib.parse.urlsplit(url)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        right = right and url.isascii() and url.isprintable() and " " not in url and not parts.fragment
        known = parts.username is not None or parts.password is not None
    except ValueError:
        right = known = False
    if known:
        raise WrongError('the URL holds a user name (write headers = { Authorization = "Basic …" } instead)')
    if not right:
        raise WrongError(f'{show(url)} is not a URL (write "https://logs.example.com/path")')
    return url


def address(value: object) -> str:
    address = text(value)
    if address.startswith("unix:/"):
        where = normal(path(address.removeprefix("unix:")))
        if len(where.encode()) > _SOCKET_MAX:
            raise WrongError(f"{show(where)} is longer than a socket's path may be ({_SOCKET_MAX} bytes)")
        return f"unix:{where}"
    match = _STREAM.fullmatch(address)
    if match is None or not 1 <= int(match[3]) <= 65535:
        raise WrongError(
            f'{show(address)} is not an address (write "tcp:logs.example.com:601", or "unix:/dev/log")'
        )
    return address


def header_name(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise WrongError(f"{show(value)} is not the name of a header")
    if value.lower() in _OURS:
        raise WrongError(f"{show(value)} is sent by the supervisor itself (leave it out)")
    return value


def plain_text(value: object) -> str:
    """What a header carries, and nothing that ends it; the value is not shown: it may be a secret."""
    word = env_value(value)
    if not word.isascii() or CONTROL.search(word):
        raise WrongError("the value holds what no header may (write visible ASCII)")
    return word.strip()


def content(value: object, place: Place) -> str:
    named = path(value)
    try:
        return read_text(os.path.join(place.source.folder, named))
    except UnreadableError as error:
        raise WrongError(f"{show(named)} {error}") from error


def token(value: object, place: Place) -> str:
    return plain_text(content(value, place).strip())


def templated(value: object) -> str:
    word = text(value)
    for match in _PLACE.finditer(word):
        if match[1] != "$" and match[2] not in WORDS:
            known = ", ".join(WORDS)
            raise WrongError(
                f"{show(match[0])} is not known here (write $$ for a $, or ${{…}} with one of {known})"
            )
    return word


def field_name(value: str) -> str:
    if (
        not value
        or CONTROL.search(value)
        or value in ("id", *WORDS[:7], "line", "line_b64", "data", "partial")
    ):
        raise WrongError(f"{show(value)} cannot be a field's name: records have one of their own")
    return value
