"""`supervisor why`: the history of a container for people. Pure but for run()."""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from supervisor.api.call import QUICK, Call, container, query
from supervisor.cli.lines import printed
from supervisor.cli.render import paint, safe, size, wants_colour, word
from supervisor.cli.unread import Unread
from supervisor.errors import RequestError

#: Runs shown to people who do not say how many.
SHOWN = 5
#: Keys of a happening that are said otherwise.
_HEAD = frozenset({"at", "event", "times"})


def run(arguments: Namespace, where: str | None) -> int:
    """Ask the supervisor; where none runs, read what it left behind."""
    wanted = arguments.runs if arguments.runs is not None or arguments.json else SHOWN
    unread = Unread()
    if arguments.dir:
        told = _offline(arguments, where, wanted, None, unread)
    else:
        told = _asked(arguments, where, wanted, unread)
    if arguments.json:
        print(json.dumps(told, indent=2))
        return unread.code()
    print("\n".join(lines(told, colour=wants_colour(sys.stdout.isatty(), os.environ))))
    return unread.code()


def _asked(arguments: Namespace, where: str | None, wanted: int | None, unread: Unread) -> dict[str, Any]:
    path = container(arguments.name, "why") + query([] if wanted is None else [("n", wanted)])
    try:
        told: dict[str, Any] = Call(where, "GET", path, timeout=QUICK).value()
    except RequestError as error:
        if error.code != "unavailable":
            raise
        return _offline(arguments, where, wanted, error, unread)
    return told


def _offline(
    arguments: Namespace,
    where: str | None,
    wanted: int | None,
    refusal: RequestError | None,
    unread: Unread,
) -> dict[str, Any]:
    from supervisor.cli import whyoffline  # noqa: PLC0415  # no other command pays for it

    return whyoffline.why(where, arguments.name, wanted, arguments.dir, refusal, tell=unread.tell)


def lines(told: Mapping[str, Any], *, colour: bool = False) -> Iterator[str]:
    """What matters first: a sentence, whether it is slow, then the runs, newest first."""
    yield paint(safe(str(told["summary"])), "1", colour=colour)
    for key in ("slow", "note"):
        if told.get(key):
            yield safe(str(told[key]))
    if told.get("next_run"):
        yield f"its next run is due at {_clock(told['next_run'])}"
    for each in told["runs"]:
        yield ""
        yield from _run(each, colour=colour)


def _run(each: Mapping[str, Any], *, colour: bool) -> Iterator[str]:
    yield paint(safe(f"run {each['run']}: {each['ended'] or _under_way(each)}"), "1", colour=colour)
    yield f"  started  {_clock(each['started_at'] or each['asked_at'])}{_ready(each)}: {safe(str(each['started']))}"
    if each["ended_at"]:
        yield f"  ended    {_clock(each['ended_at'])}{_after(each)}"
    if each["decided"] or each["then"]:
        yield f"  decided  {safe(_decided(each))}"
    if used := _used(each):
        yield f"  used     {used}"
    for happening in each["happenings"]:
        yield f"  also     {_clock(happening['at'])} {safe(_happening(happening))}"
    if each["output"]:
        yield "  last lines"
        yield from (
            f"    {'!' if line['stream'] == 'stderr' else '|'} {_line(line)}" for line in each["output"]
        )
    elif each["ended_at"]:
        yield "  it printed nothing that is still on record"


def _under_way(each: Mapping[str, Any]) -> str:
    pid = f", pid {each['pid']}" if each["pid"] else ""
    return f"under way{pid}" if each["started_at"] else "being launched"


def _ready(each: Mapping[str, Any]) -> str:
    return f", ready {_clock(each['ready_at'])[11:]}" if each["ready_at"] else ""


def _after(each: Mapping[str, Any]) -> str:
    return "" if each["uptime_s"] is None or not each["started_at"] else f", after {each['uptime_s']:.3g} s"


def _decided(each: Mapping[str, Any]) -> str:
    then = each["then"] or {}
    said = str(each["decided"] or "")
    if then.get("event") == "container.backoff":
        return f"{said}; tried again after {then.get('delay_s', 0):.3g} s, {then.get('failures')} failures in a row"
    if then.get("event") == "container.failed" and str(then.get("reason")) not in said:
        return f"{said}: {then.get('reason')}"
    return said or str(then.get("event", "")).removeprefix("container.")


def _used(each: Mapping[str, Any]) -> str:
    cpu, memory = each["cpu"] or {}, each["memory"] or {}
    parts = []
    if cpu.get("usage_usec") is not None and each["started_at"]:
        parts.append(f"{cpu['usage_usec'] / 1e6:.3g} s of CPU")
    if cpu.get("nr_throttled"):
        needs = f" ({cpu['sufficient_percent']} % would have done)" if cpu.get("sufficient_percent") else ""
        parts.append(f"throttled in {cpu['throttled_percent']:.0f} % of periods{needs}")
    if memory.get("peak") is not None:
        limit = f" of {size(memory['max'])}" if memory.get("max") is not None else ""
        parts.append(f"{size(memory['peak'])} of memory at most{limit}")
    return ", ".join(parts)


def _happening(each: Mapping[str, Any]) -> str:
    fields = {key: value for key, value in each.items() if key not in _HEAD and value is not None}
    times = f" x{each['times']}" if each.get("times", 1) > 1 else ""
    return f"{each['event']}{times} " + " ".join(f"{key}={_value(value)}" for key, value in fields.items())


def _value(value: object) -> str:
    return word(value) if isinstance(value, str) and " " not in value else json.dumps(value)


def _line(line: dict[str, Any]) -> str:
    return printed(line) + (" …" if line.get("cut") else "")


def _clock(ts: str | None) -> str:
    """Local date and time of an RFC 3339 instant."""
    if not ts:
        return "at an unknown time"
    return datetime.fromisoformat(ts).astimezone().strftime("%Y-%m-%d %H:%M:%S")
