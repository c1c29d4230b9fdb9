"""What is shown to people: pure functions from values to lines.

Laws: a status table fits its width whatever the values; nothing a container printed or was
named reaches the terminal as a control character.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from signal import Signals
from typing import Any

WIDTH = 80
HEADER = ("NAME", "STATE", "PID", "UP", "RESTARTS", "EXIT", "CPU/CAP", "THR", "MEM")
#: What a column may take at most; the name gets the rest, at least SHORTEST.
WIDEST = (64, 9, 7, 6, 8, 7, 11, 4, 6)
SHORTEST = 12
LEFT = {0, 1, 5}
COLOURS = {
    "running": "32",
    "starting": "36",
    "waiting": "36",
    "stopping": "36",
    "backoff": "33",
    "unready": "33",
    "unhealthy": "31",
    "failed": "31",
}
#: Control characters but tab; line and paragraph separators; what turns the writing direction; halves of characters.
_UNSAFE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def wants_colour(tty: bool, environ: Mapping[str, str]) -> bool:
    """Only on a terminal that can, and unless NO_COLOR says no."""
    return tty and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def safe(text: str) -> str:
    """The text with what could act on a terminal written out."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


def word(text: str) -> str:
    """Safe text for a cell, where a tab would do harm too."""
    return safe(text).replace("\t", "\\t")


def paint(text: str, code: str, *, colour: bool) -> str:
    """The text in a colour of the terminal's own palette."""
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text


def shorten(text: str, width: int) -> str:
    """At most `width` characters; the end is kept, for replicas differ in it."""
    if len(text) <= width:
        return text
    tail = min(6, (width - 1) // 3)
    return text[: width - 1 - tail] + "…" + text[len(text) - tail :]


# ── status ─────────────────────────────────────────────────────────────────────────────


def status(containers: Sequence[Mapping[str, Any]], *, width: int = WIDTH, colour: bool = False) -> list[str]:
    """A table, what needs saying beside it, and a line that sums up."""
    rows = [HEADER, *map(_row, containers)]
    widths = [min(limit, max(len(row[i]) for row in rows)) for i, limit in enumerate(WIDEST)]
    gap = 2
    if sum(widths) + gap * (len(widths) - 1) > width:
        gap = 1
    room = width - sum(widths[1:]) - gap * (len(widths) - 1)
    widths[0] = min(widths[0], max(room, SHORTEST))
    lines = []
    for row in rows:
        cells = [shorten(cell, size) for cell, size in zip(row, widths, strict=True)]
        padded = [
            c.ljust(w) if i in LEFT else c.rjust(w)
            for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        ]
        padded[1] = paint(padded[1], COLOURS.get(row[1], ""), colour=colour)
        lines.append((" " * gap).join(padded).rstrip())
    return [
        *(lines if containers else []),
        *_waiting(containers, width),
        shorten_end(summary(containers), width),
    ]


def _row(it: Mapping[str, Any]) -> tuple[str, ...]:
    cpu, memory = it.get("cpu") or {}, it.get("memory") or {}
    runs = it.get("pid") is not None
    return (
        word(str(it.get("name", "?"))),
        word(_state(it)),
        str(it["pid"]) if runs else "-",
        duration(it.get("uptime_s")) if runs else "-",
        str(it.get("restarts", 0)),
        _exit(it.get("exit")),
        f"{percent(cpu.get('percent')) if runs else '-'}/{percent(_cap(cpu))}",
        percent(cpu.get("throttled_percent"), whole=True) if runs else "-",
        size(memory.get("current")) if runs else "-",
    )


def _state(it: Mapping[str, Any]) -> str:
    """The state; a running container that is not well says that instead."""
    state = str(it.get("state", "?"))
    if state == "running" and it.get("healthy") is False:
        return "unhealthy"
    return "unready" if state == "running" and it.get("ready") is False else state


def _exit(last: Mapping[str, Any] | None) -> str:
    if not last:
        return "-"
    if last.get("oom"):
        return "oom"
    if (signal := last.get("signal")) is not None:
        return word(_signal(signal))
    return "-" if last.get("code") is None else str(last["code"])


def _signal(signal: object) -> str:
    if not isinstance(signal, int):
        return str(signal)
    return Signals(signal).name if signal in {each.value for each in Signals} else f"SIG{signal}"


def _cap(cpu: Mapping[str, Any]) -> float | None:
    quota, period = cpu.get("quota_usec"), cpu.get("period_usec")
    return 100 * quota / period if quota is not None and period else None


def summary(containers: Sequence[Mapping[str, Any]]) -> str:
    """`200 containers: 197 running, 2 backoff, 1 failed`."""
    many = f"{len(containers)} container{'' if len(containers) == 1 else 's'}"
    states = Counter(word(str(it.get("state", "?"))) for it in containers)
    return many + (": " + ", ".join(f"{n} {state}" for state, n in states.most_common()) if states else "")


def _waiting(containers: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """Output that waits in the pipes is nothing lost, but must not go unsaid."""
    late = [it for it in containers if it.get("output_waiting")]
    lines = [
        f"{word(str(it['name']))}: {size(it['output_waiting'])} of output waits to be written"
        for it in late[:3]
    ]
    if len(late) > len(lines):
        lines.append(f"… and {len(late) - len(lines)} more have output waiting")
    return [shorten_end(line, width) if len(line) > width else line for line in lines]


def shorten_end(text: str, width: int) -> str:
    """At most `width` characters of the beginning."""
    return text if len(text) <= width else text[: width - 1] + "…"


def duration(seconds: float | None) -> str:
    """In at most six characters: 4s, 12m05s, 3h07m, 12d04h, 431d."""
    if seconds is None:
        return "-"
    s = max(0, int(seconds))
    if s < 60:
        return f"{s}s"
    if s < 3600:
        return f"{s // 60}m{s % 60:02}s"
    if s < 86400:
        return f"{s // 3600}h{s % 3600 // 60:02}m"
    return f"{s // 86400}d{s % 86400 // 3600:02}h" if s < 100 * 86400 else f"{s // 86400}d"


def percent(value: float | None, *, whole: bool = False) -> str:
    """9.8%, 45%, 1600%."""
    if value is None:
        return "-"
    return f"{value:.1f}%" if value % 1 and value < 9.95 and not whole else f"{value:.0f}%"


def size(count: float | None) -> str:
    """Bytes in at most six characters: 512B, 9.8K, 64M, 1.5G."""
    if count is None:
        return "-"
    value, unit = float(count), "B"
    for following in "KMGTPE":
        if value < 1000:
            break
        value, unit = value / 1024, following
    return f"{value:.1f}{unit}" if unit != "B" and value < 99.95 and value % 1 else f"{value:.0f}{unit}"


# ── inspect ────────────────────────────────────────────────────────────────────────────


def inspect(value: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Nested values as indented `key: value` lines."""
    for key, each in value.items():
        name = f"{indent}{word(str(key))}:"
        if isinstance(each, Mapping) and each:
            yield name
            yield from inspect(each, indent + "  ")
        elif isinstance(each, list) and any(isinstance(item, Mapping) for item in each):
            yield name
            for item in each:
                yield from _item(item, indent + "  ")
        else:
            yield f"{name} {_plain(each)}"


def _item(item: object, indent: str) -> Iterator[str]:
    if not isinstance(item, Mapping):
        yield f"{indent}- {_plain(item)}"
        return
    for number, line in enumerate(inspect(item, indent + "  ")):
        yield f"{indent}- {line[len(indent) + 2 :]}" if number == 0 else line


def _plain(value: object) -> str:
    if isinstance(value, str):
        return word(value) or '""'
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, list):
        return " ".join(_plain(item) if item != "" else '""' for item in value) or "-"
    return "-" if value == {} else str(value)
