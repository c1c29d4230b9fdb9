"""Readiness and health: of each type of probe, the one key that says what it looks at."""

import ipaddress
import re
import urllib.parse
import warnings
from typing import Any

from supervisor.config.place import Place
from supervisor.config.restart import DURATION
from supervisor.config.shapes import Key, Keys, Shape, Table, leaf, list_of, pick, plain, table, words
from supervisor.config.units import duration, duration_from
from supervisor.config.values import WrongError, argument, show, text, whole
from supervisor.core.spec import Health, Ready

#: Type → the key of its subject.
_SUBJECT = {"notify": "", "exec": "command", "http": "url", "tcp": "address", "log": "pattern"}
_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")


def parse_command(value: object, place: Place) -> Any:
    """A program and its arguments, a list; never a shell line."""
    if isinstance(value, str):
        raise WrongError(
            f'{show(value)} is a string, and there is no shell to split it (write ["program", "argument"])'
        )
    given = _WORDS.parse(value, place)
    if given in ((), ("",)) or (isinstance(given, tuple) and given[0] == ""):
        raise WrongError('names no program (write ["program", "argument"])')
    return given


_WORDS = list_of(leaf(argument, type="string"), minItems=1)
COMMAND = Shape(parse_command, _WORDS.schema)


def _url(value: object) -> str:
    url = text(value)
    try:
        parts = urllib.parse.urlsplit(url)
        right = parts.scheme == "http" and parts.hostname and parts.port != 0 and url.isprintable()
        right = right and url.isascii() and parts.username is None
    except ValueError:
        right = False
    if not right or " " in url:
        raise WrongError(f'{show(url)} is not an http URL (write "http://127.0.0.1:8080/healthz")')
    _check_host(parts.hostname or "")
    return url


def _check_host(host: str) -> None:
    """Whose name servers would be asked, and which, is no question for a probe of one's own container."""
    if host == "localhost":
        return
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise WrongError(
            f'{show(host)} is a name, and probes look none up (write an address, or "localhost")'
        ) from None


def _address(value: object) -> str:
    address = text(value)
    match = _ADDRESS.fullmatch(address)
    if match is None or not 1 <= int(match[1]) <= 65535:
        raise WrongError(f'{show(address)} is not an address (write "127.0.0.1:5432")')
    _check_host(address.rpartition(":")[0].strip("[]"))
    return address


def _pattern(value: object) -> str:
    pattern = text(value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a dubious pattern is the operator's to judge
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise WrongError(f"{show(pattern)} is not a regular expression: {error}") from error
    return pattern


_SUBJECTS: Keys = {
    "command": Key(COMMAND, 'of type "exec": ready or healthy when it exits 0'),
    "url": Key(leaf(_url, type="string"), 'of type "http": ready or healthy when it answers 2xx or 3xx'),
    "address": Key(leaf(_address, type="string"), 'of type "tcp": ready or healthy when it accepts'),
}
_READY_TYPES, _HEALTH_TYPES = ("notify", "exec", "http", "tcp", "log"), ("exec", "http", "tcp")
READY: Keys = {
    "type": Key(words(*_READY_TYPES), "how readiness is seen"),
    **_SUBJECTS,
    "pattern": Key(leaf(_pattern, type="string"), 'of type "log": ready when a line matches'),
    "timeout": Key(leaf(duration_from(0.001), **DURATION), "not ready by then is a failure; default 30s"),
    "watchdog": Key(
        leaf(duration_from(0.01), **DURATION),
        'of type "notify": WATCHDOG=1 has to come as often as this; a longer silence is a failure',
    ),
}
HEALTH: Keys = {
    "type": Key(words(*_HEALTH_TYPES), "how health is probed"),
    **_SUBJECTS,
    "interval": Key(leaf(duration_from(0.01), **DURATION), "between probes; default 10s"),
    "timeout": Key(
        leaf(duration_from(0.001), **DURATION), "a probe that takes longer has failed; default 2s"
    ),
    "retries": Key(
        leaf(whole(1, 1000), type="integer", minimum=1), "failures in a row that mean unhealthy; default 3"
    ),
    "start_period": Key(
        leaf(duration, **DURATION), "failures this soon after a start do not count; default 0s"
    ),
    "action": Key(words("restart", "none"), '"none" only records; default "restart"'),
}
READY_SHAPE, HEALTH_SHAPE = table(READY, required=("type",)), table(HEALTH, required=("type",))


def build_ready(given: Table, place: Place) -> Ready:
    """A merged table as spec; reports a missing type or subject, or one of another type."""
    if "watchdog" in given and pick(given, "type", "notify") != "notify":
        given["watchdog"].place.report('needs type = "notify": its words come over the same socket')
    return Ready(**_with_subject(given, place, "notify"))


def build_health(given: Table, place: Place) -> Health:
    """As `build_ready`."""
    return Health(**_with_subject(given, place, "exec"))


def _with_subject(given: Table, place: Place, stand_in: str) -> dict[str, Any]:
    if "type" not in given:
        place.at("type").report("is missing")
    kind = pick(given, "type", "")
    fields = plain(given)
    subject: Any = ""
    for key in ("command", "url", "address", "pattern"):
        fields.pop(key, None)
        if kind and key == _SUBJECT[kind]:
            subject = pick(given, key, "")
            if key not in given:
                place.at(key).report(f'is missing: type = "{kind}" needs it')
        elif kind and key in given:
            given[key].place.report(f'does not go with type = "{kind}"')
    return {**fields, "type": kind or stand_in, "subject": subject}
