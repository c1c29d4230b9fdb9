"""The cgroup table: keys are cgroup v2 file names, values become exactly the text the v2 file takes.

`cpu.max = …` nests tables in TOML and `"cpu.max" = …` does not; both are read, and mean the same.
Sources: Documentation/admin-guide/cgroup-v2.rst for the files and their ranges.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from supervisor.config.place import Place
from supervisor.config.shapes import Given, Key, Keys, Shape, Table, items, leaf, read, unknown
from supervisor.config.units import LARGEST, cpu_limit, size
from supervisor.config.values import WrongError, show

_DEEPEST = 3  # memory.swap.max


def _number(low: int, high: int, *, more: str = "") -> Callable[[object], int]:
    """A reader of an integer, or of its digits in quotes, as `echo` would write it to the file."""

    def parse(value: object) -> int:
        digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20
        count = int(str(value)) if digits else value
        if isinstance(count, bool) or not isinstance(count, int) or not low <= count <= high:
            raise WrongError(f"{show(value)} is not a whole number from {low} to {high}{more}")
        return count

    return parse


def _weight(prefix: str = "") -> Callable[[object], str]:
    count = _number(1, 10000)

    def parse(value: object) -> str:
        bare = value.removeprefix(prefix) if isinstance(value, str) and prefix else value
        try:
            return f"{prefix}{count(bare)}"
        except WrongError:
            raise WrongError(f"{show(value)} is not a weight (a whole number from 1 to 10000)") from None

    return parse


def memory_limit(value: object) -> str:
    """Bytes, or "max"."""
    return "max" if value == "max" else str(size(value))


def memory_ceiling(value: object) -> str:
    """Bytes above 0, or "max": nothing can run in no memory at all."""
    limit = memory_limit(value)
    if limit == "0":
        raise WrongError(f'{show(value)} leaves no memory to run in (write a size like "64MiB")')
    return limit


def oom_group(value: object) -> str:
    if isinstance(value, bool) or value in ("0", "1", 0, 1):
        return str(int(value))
    raise WrongError(f"{show(value)} is not a flag (write true or false)")


def pids_limit(value: object) -> str:
    count = _number(1, LARGEST, more=' or "max"')
    return "max" if value == "max" else str(count(value))


_SIZE = {"type": ["string", "integer"], "examples": ["64MiB", "64M", 67108864, "max"]}
_WEIGHT = {"type": ["integer", "string"], "minimum": 1, "maximum": 10000}

FILES: Keys = {
    "cpu.max": Key(
        leaf(cpu_limit, type=["string", "number"], examples=["10%", 0.5, "10000 100000", "max"]),
        'CPU cap: "10%" of one CPU, 0.1 (CPUs), "QUOTA PERIOD" in microseconds, or "max"',
    ),
    "cpu.weight": Key(leaf(_weight(), **_WEIGHT), "share of contended CPU, 1 to 10000"),
    "memory.max": Key(leaf(memory_ceiling, **_SIZE), "hard limit; above it processes are killed"),
    "memory.high": Key(leaf(memory_ceiling, **_SIZE), "above it processes are slowed and reclaimed from"),
    "memory.low": Key(leaf(memory_limit, **_SIZE), "best-effort protection from reclaim"),
    "memory.min": Key(leaf(memory_limit, **_SIZE), "hard protection from reclaim"),
    "memory.swap.max": Key(leaf(memory_limit, **_SIZE), "hard limit of swap"),
    "memory.oom.group": Key(leaf(oom_group, type="boolean"), "an OOM kill takes the whole container"),
    "pids.max": Key(
        leaf(pids_limit, type=["integer", "string"], minimum=1),
        'most processes and threads, or "max"; default 4096',
    ),
    "io.weight": Key(leaf(_weight("default "), **_WEIGHT), "share of contended disks, 1 to 10000"),
}


def _parse(value: object, place: Place) -> Table:
    given: Table = {}
    for name, raw, at in _flat(value, place):
        if name not in FILES:
            at.report(unknown(name, FILES))
        elif name in given:
            at.report(f"is given twice; the first is at {given[name].place}")
        else:
            given[name] = Given(read(FILES[name].shape, raw, at), at)
    return given


def _flat(
    value: object, place: Place, prefix: str = "", depth: int = 1
) -> Iterator[tuple[str, object, Place]]:
    for name, raw, at in items(value, place):
        whole = prefix + name
        if isinstance(raw, dict) and raw and depth < _DEEPEST and whole not in FILES:
            yield from _flat(raw, at, whole + ".", depth + 1)
        else:
            yield whole, raw, at


def _schema() -> Mapping[str, Any]:
    """Both spellings of every file: quoted as one key, and dotted as nested tables."""
    properties: dict[str, Any] = {}
    for name, key in FILES.items():
        told = {**key.shape.schema, "description": key.doc}
        properties[name] = told
        *parents, last = name.split(".")
        inner = properties
        for parent in parents:
            empty = {"type": "object", "additionalProperties": False, "properties": {}}
            inner = inner.setdefault(parent, empty)["properties"]
        inner[last] = told
    return {"type": "object", "additionalProperties": False, "properties": properties}


CGROUP = Shape(_parse, _schema())
