"""The supervisor's records as a person on a terminal reads them: pure.

    12:34:56.789 web#3 started pid=123 in 2.4 ms
    12:35:01.002 web#3 exited signal=SIGKILL, out of memory, after 4.2 s

Laws: one line a record, local time, what matters first. Nothing that came from a container can
move the cursor or colour the screen: what is not printable is escaped. Measurements
(`cgroup.*` but throttling) and output are not shown.
"""

import signal
import time
from collections.abc import Callable, Mapping

from supervisor.core.events import Json
from supervisor.logs.stamp import instant

HIDDEN = frozenset({"cgroup.stat", "cgroup.events", "output"})

_COLOURS = {"warning": "33", "error": "31", "critical": "31"}
_DIM, _NAME = "2", "36"
#: "decision" is said by the record that follows it.
_HEAD = ("ts", "level", "event", "container", "run", "decision")


def line(record: Mapping[str, Json], *, colour: bool) -> str | None:
    """The line without its newline; None if the record is not for people."""
    event = str(record["event"])
    if event in HIDDEN:
        return None
    moment = instant(str(record["ts"]))
    clock = time.strftime("%H:%M:%S", time.localtime(moment)) + f".{int(moment % 1 * 1000):03}"
    words = [_paint(clock, _DIM, colour=colour)]
    subject = str(record.get("container") or "")
    if subject:
        run = record.get("run")
        words.append(_paint(subject + (f"#{run}" if run is not None else ""), _NAME, colour=colour))
        event = event.removeprefix("container.")
    fields = {key: value for key, value in record.items() if key not in _HEAD}
    text = " ".join([event.replace("_", " "), *_phrases(fields)])
    words.append(_paint(_plain(text), _COLOURS.get(str(record["level"]), ""), colour=colour))
    return " ".join(words)


def _phrases(fields: Mapping[str, Json]) -> list[str]:
    """Fields in words: known ones as a person would say them, others as key=value."""
    said = []
    for key, value in fields.items():
        if value is None or value is False or value in ("", (), {}):
            continue
        phrase = _KNOWN.get(key)
        said.append(phrase(value) if phrase else f"{key}={_value(value)}")
    return said


def _value(value: Json) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return "{" + " ".join(f"{key}={_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        return ",".join(map(_value, value))
    text = "true" if value is True else str(value)
    return f'"{text}"' if " " in text else text


def _signal(value: Json) -> str:
    try:
        return f"signal={signal.Signals(int(str(value))).name}"
    except ValueError:
        return f"signal={_value(value)}"


def _seconds(value: Json) -> str:
    if not isinstance(value, (int, float)):
        return str(value)
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


_KNOWN: dict[str, Callable[[Json], str]] = {
    "launch_ms": lambda value: f"in {value:.1f} ms" if isinstance(value, (int, float)) else str(value),
    "signal": _signal,
    "core": lambda _: "core dumped",
    "oom": lambda _: "out of memory",
    "uptime_s": lambda value: "after " + _seconds(value),
    "delay_s": lambda value: "for " + _seconds(value),
    "reason": lambda value: f"({value})",
    "hint": lambda value: f"- {value}",
    "cpu": lambda value: _cpu(value) if isinstance(value, dict) else f"cpu={_value(value)}",
}


def _cpu(value: Mapping[str, Json]) -> str:
    usage = value.get("usage_usec")
    return f"cpu={_seconds(usage / 1e6)}" if isinstance(usage, (int, float)) else f"cpu={_value(dict(value))}"


def _plain(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text
    )


def _paint(text: str, code: str, *, colour: bool) -> str:
    text = _plain(text)
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text
