"""The tables [supervisor.ship.NAME]: where records are shipped to.

Files that they name are read here, by root: what stands in them is what is declared.
"""

import os
from dataclasses import replace

from supervisor.config.place import Place
from supervisor.config.restart import BACKOFF, DURATION
from supervisor.config.shapes import (
    Key,
    Keys,
    Shape,
    Table,
    leaf,
    list_of,
    mapping,
    pairs,
    pick,
    plain,
    table,
    words,
)
from supervisor.config.shipvalues import (
    address,
    content,
    field_name,
    header_name,
    pattern,
    plain_text,
    sink_name,
    templated,
    token,
    url,
)
from supervisor.config.units import duration_from, size_from
from supervisor.config.values import text, whole
from supervisor.core.backoff import Backoff
from supervisor.core.sinks import FACILITIES, LEVELS, MOST, RETRY, Kind, Sink, Template

_COMMON = tuple("type containers streams level events start batch records linger timeout backoff".split())
_TRUST = ("ca_file", "cert_file", "key_file")
_POST = ("url", "headers", "token_file", "compression", "fields", *_TRUST)
#: Keys of each type besides the common ones.
OF_TYPE = {
    "http": (*_POST, "format", "template", "content_type"),
    "otlp": _POST,
    "syslog": ("address", "facility", "max_message", *_TRUST),
    "journald": ("address",),
}
_JOURNAL = "unix:/run/systemd/journal/socket"
_NEEDED = {
    "otlp": ("url", 'url = "http://127.0.0.1:4318/v1/logs"'),
    "http": ("url", 'url = "https://logs.example.com/"'),
    "syslog": ("address", 'address = "tcp:logs.example.com:601", or "unix:/dev/log"'),
}

_WORD = leaf(text, type="string")
_CONTENT = Shape(content, {"type": "string"})
_PATTERNS = list_of(leaf(pattern, type="string"))
TEMPLATE: Keys = {
    "record": Key(leaf(templated, type="string"), "each record: text with ${word} for what is put in"),
    "head": Key(_WORD, "before the first; default nothing"),
    "between": Key(_WORD, "between two; default a newline"),
    "tail": Key(_WORD, "after the last; default a newline"),
}
SINK: Keys = {
    "type": Key(words(*OF_TYPE), "how it is spoken to"),
    "containers": Key(_PATTERNS, 'whose records, as shell patterns; default ["*"]'),
    "streams": Key(list_of(words("stdout", "stderr")), "of these streams; default both"),
    "level": Key(words(*LEVELS), 'of this level at least; default "debug"'),
    "events": Key(_PATTERNS, 'which of the supervisor\'s own records; default ["*"], none: []'),
    "start": Key(words("beginning", "end"), 'where a new sink begins; default "beginning"'),
    "batch": Key(
        leaf(size_from(4096), type=["string", "integer"]), "most bytes of records at once; default 1MiB"
    ),
    "records": Key(leaf(whole(1, 100_000), type="integer", minimum=1), "most records at once; default 5000"),
    "linger": Key(leaf(duration_from(0.01), **DURATION), "how long records are gathered; default 500ms"),
    "timeout": Key(
        leaf(duration_from(0.1), **DURATION), "a batch not taken by then is sent again; default 30s"
    ),
    "backoff": Key(table(BACKOFF), "delays between attempts; default 500ms, doubled, at most 30s"),
    "url": Key(leaf(url, type="string"), "of type http or otlp: where to"),
    "address": Key(
        leaf(address, type="string"), 'of type syslog: "tcp:HOST:PORT", also udp and tls, or "unix:/dev/log"'
    ),
    "facility": Key(words(*FACILITIES), 'of type syslog; default "daemon"'),
    "max_message": Key(
        leaf(size_from(480), type=["string", "integer"]),
        "of type syslog: longer texts are cut; default 64KiB",
    ),
    "headers": Key(mapping(header_name, leaf(plain_text, type="string")), "sent with every request"),
    "token_file": Key(Shape(token, {"type": "string"}), "holds a token, sent as Authorization: Bearer"),
    "format": Key(words("ndjson", "loki", "elasticsearch"), 'of the body; default "ndjson"'),
    "template": Key(table(TEMPLATE, required=("record",)), "instead of a format"),
    "content_type": Key(leaf(plain_text, type="string"), "of the body"),
    "compression": Key(words("none", "gzip"), 'of the body; default "none"'),
    "fields": Key(
        mapping(field_name, leaf(text, type="string")), "added to each record; default { host = … }"
    ),
    "ca_file": Key(_CONTENT, "PEM of the authorities to believe; default those of this machine"),
    "cert_file": Key(_CONTENT, "PEM of a certificate of our own"),
    "key_file": Key(_CONTENT, "PEM of its key"),
}
SHAPE = mapping(sink_name, table(SINK, required=("type",)))


def build(given: Table) -> tuple[tuple[str, Sink], ...]:
    """Every sink; reports what is missing or does not belong to its type."""
    if len(given) > MOST:
        given[list(given)[MOST]].place.report(f"is one sink too many (at most {MOST})")
    return tuple(
        (called, _sink(each.value if isinstance(each.value, dict) else {}, each.place))
        for called, each in given.items()
    )


def _sink(given: Table, place: Place) -> Sink:
    kind: Kind | None = pick(given, "type", None)
    if "type" not in given:
        place.at("type").report(f"is missing (write one of {', '.join(OF_TYPE)})")
    if kind:
        _check(kind, given, place)
    fields = {"host": os.uname().nodename, **plain(given)}
    if kind == "journald":
        fields.setdefault("address", _JOURNAL)
    template = pick(given, "template", Table())
    if template:
        fields |= {"template": Template(**{"record": ""} | plain(template)), "format": "template"}
    added = (("host", fields["host"]),) if kind == "http" else ()
    return Sink(
        **{"type": "http"} | fields,
        backoff=_backoff(given),
        headers=pairs(pick(given, "headers", Table())),
        fields=pairs(pick(given, "fields", Table())) if "fields" in given else added,
    )


def _backoff(given: Table) -> Backoff:
    retry = replace(RETRY, **plain(pick(given, "backoff", Table())))
    if retry.initial > retry.max:
        given["backoff"].place.report(f"initial ({retry.initial:g}s) is longer than max ({retry.max:g}s)")
    return retry


def _check(kind: Kind, given: Table, place: Place) -> None:
    known = (*_COMMON, *OF_TYPE[kind])
    for key, each in given.items():
        if key not in known:
            each.place.report(f'is not of type "{kind}" (leave it out)')
    if kind == "journald" and not pick(given, "address", _JOURNAL).startswith("unix:"):
        given["address"].place.report("is not on this machine (write unix:PATH)")
    key, example = _NEEDED.get(kind, ("", ""))
    if key and key not in given:
        place.at(key).report(f"is missing (write {example})")
    if ("cert_file" in given) != ("key_file" in given):
        place.at("cert_file").report("goes with key_file: write both, or neither")
    if "template" in given:
        if "format" in given:
            given["template"].place.report("stands instead of format (leave one of them out)")
        if isinstance(given["template"].value, dict) and "record" not in given["template"].value:
            given["template"].place.at("record").report('is missing (write record = "${record}")')
