"""python -m benchmarks.report [FOLDER]   README.md and plots from FOLDER/results.json (docs/benchmarks); and the
part between two marks of the project's own README.md from the same.

Every figure comes from results.json, and that from one run of `python -m benchmarks`.
"""

import json
import os
import sys
from typing import Any

from benchmarks import plots
from benchmarks.instance import PROJECT

FOLDER = f"{PROJECT}/docs/benchmarks"
Results = dict[str, Any]
_MARKS = ("<!-- figures, by python -m benchmarks.report -->\n", "<!-- end of figures -->\n")
_COLUMNS = ("all begun, s", "all ended, s", "restart, ms", "memory, kB a service", "idle, % of a core")
_SHOWN = ("start.png", "restart.png")
_HEAD = """# Benchmarks

Made by `make bench` (`python -m benchmarks`) in one run; [results.json](results.json) has every figure.
"""


def write(results: Results, folder: str = FOLDER) -> None:
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/results.json", "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
        file.write("\n")
    render(folder)


def render(folder: str) -> None:
    with open(f"{folder}/results.json", encoding="utf-8") as file:
        results = json.load(file)
    drawn = plots.draw(results, folder)
    with open(f"{folder}/README.md", "w", encoding="utf-8") as file:
        file.write(page(results, drawn))
    _put_into(f"{PROJECT}/README.md", summary(results, drawn))


def _put_into(path: str, text: str) -> None:
    with open(path, encoding="utf-8") as file:
        head, begin, rest = file.read().partition(_MARKS[0])
    _, end, tail = rest.partition(_MARKS[1])
    if end:
        with open(path, "w", encoding="utf-8") as file:
            file.write(head + begin + text + end + tail)


def summary(results: Results, drawn: dict[str, str]) -> str:
    """What the project's README shows."""
    facts = results["machine"]
    about = ", ".join(facts[name] for name in ("processor", "kernel", "date"))
    return "\n".join(
        [
            f"[One run](docs/benchmarks/README.md): {about}, Python {facts['Python']}; before it {facts['load before']}.\n",
            table(["milliseconds", *results["launch"]], _launched(results["launch"])),
            table(["with 200 services", *_COLUMNS], _compared(results["peers"])),
            *(f"![{drawn[name]}](docs/benchmarks/{name})\n" for name in _SHOWN if name in drawn),
        ]
    )


def page(results: Results, drawn: dict[str, str]) -> str:
    """`drawn` are captions by file name."""
    about = "".join(f"- {name}: {fact}\n" for name, fact in results["machine"].items())
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    parts = [
        _HEAD,
        f"{about}- beside {versions}\n",
        _launches(results["launch"]),
        _peers(results["peers"]),
        _counts(results["peers"], "started", "Seconds until all of N services have begun"),
        _counts(results["peers"], "stopped", "Seconds until all of N services have ended"),
        _scale(results.get("scale", [])),
        *([_logs(results["logs"])] if "logs" in results else []),
        *([_query(results["query"])] if "query" in results else []),
        *(f"![{caption}]({name})\n" for name, caption in drawn.items()),
    ]
    return "\n".join(parts)


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _figure(value: float | None, form: str = "{:.2f}") -> str:
    return "" if value is None else form.format(value)


def _launches(launch: dict[str, dict[str, float]]) -> str:
    return (
        "## The cycle of /bin/true\n\nMilliseconds from the decision to start to the recorded exit, ours with all "
        "of the default's confinement; median.\n\n" + table(["", *launch], _launched(launch))
    )


def _launched(launch: dict[str, dict[str, float]]) -> list[list[str]]:
    names = next(iter(launch.values()))
    return [[name, *(_figure(taken.get(name)) for taken in launch.values())] for name in names]


def _peers(peers: list[Results]) -> str:
    return (
        "## Supervisors\n\nEvery service is the same program of two hundred bytes. Ours runs in a container with the "
        "default's confinement and `cpu.max`; the other supervisors confine nothing. Restart: from SIGKILL of a service to the first "
        "instruction of its successor, median of 20 (lowest to highest); the policy of ours is `always` without a back-off, the others' is as "
        "they come. Memory: PSS of all of a supervisor's own processes, divided by the services.\n\n"
        + table(["with 200 services", *_COLUMNS], _compared(peers))
        + "".join(f"\nNot measured: {one['name']} {one['why']}.\n" for one in peers if one["why"])
    )


def _compared(peers: list[Results]) -> list[list[str]]:
    rows = []
    for one in peers:
        spread = f" ({min(one['restarts']):.1f} to {max(one['restarts']):.1f})" if one["restarts"] else ""
        rows.append(
            [
                one["name"],
                _figure(one["started"].get("200")),
                _figure(one["stopped"].get("200")),
                _figure(one["restart"]) + spread,
                _figure(one["memory"].get("200"), "{:.0f}"),
                _figure(one["idle"]),
            ]
        )
    return rows


def _counts(peers: list[Results], key: str, title: str) -> str:
    counts = sorted({int(count) for one in peers for count in one[key]})
    rows = [[one["name"], *(_figure(one[key].get(str(count))) for count in counts)] for one in peers]
    return f"## {title}\n\n" + table(["N", *map(str, counts)], rows)


def _scale(scale: list[Results]) -> str:
    if not scale:
        return ""
    rows = [
        ["all running, s", *(_figure(one["started"]) for one in scale)],
        ["helper, MB", *(_figure(one["memory"]["helper"]["Rss"] / 1000, "{:.1f}") for one in scale)],
        ["unprivileged half, MB", *(_figure(one["memory"]["unprivileged half"]["Rss"] / 1000, "{:.1f}") for one in scale)],
        ["holder, MB", *(_figure(one["memory"]["holder"]["Rss"] / 1000, "{:.1f}") for one in scale)],
        ["init shim, private kB", *(_figure(one["shim"], "{:.0f}") for one in scale)],
        ["idle, % of a core", *(_figure(sum(one["idle"].values())) for one in scale)],
        ["status --json, ms", *(_figure(one["status"] * 1000, "{:.0f}") for one in scale)],
        ["take-over after SIGKILL of both, s", *(_figure(one["taken_over"]) for one in scale)],
        ["stop, s", *(_figure(one["stopped"]) for one in scale)],
        ["processes, cgroups, mounts, FIFOs left", *(str(sum(one["left"].values())) for one in scale)],
    ]  # fmt: skip
    return "## What N default containers cost\n\n" + table(
        ["N", *(str(one["containers"]) for one in scale)], rows
    )


def _logs(logs: Results) -> str:
    head = (
        "## Logging\n\nLines of 100 bytes, from the start of printing to the last write to a file. Ours are whole JSON "
        "records, read back and counted; supervisord only copies, the others put a time in front of each line.\n"
    )
    parts = [head]
    for count, found in logs["programs"].items():
        rows = [
            [name, f"{one['speed']:,.0f}", _figure(one["cpu"], "{:.3f}"), _figure(one["peak"], "{:.1f}")]
            for name, one in found.items()
        ]
        plural = "s at once" if int(count) > 1 else ""
        parts.append(table([f"{count} program{plural}", "lines/s", "CPU, µs a line", "memory, MB"], rows))
    rows = [[what, *map(_figure, spans)] for what, spans in logs["beside a flood"].items()]
    parts.append(table(["beside a container that never stops printing, ms", "median", "most"], rows))
    return "\n".join(parts)


def _query(query: dict[str, dict[str, float]]) -> str:
    head = [
        f"{key}, {'ms' if number == 0 else 'MB/s a core'}"
        for number, key in enumerate(next(iter(query.values())))
    ]
    rows = [[name, *(_figure(one, "{:.0f}") for one in found.values())] for name, found in query.items()]
    return "## Finding records in 10 GB\n\n" + table(["segments", *head], rows)


if __name__ == "__main__":
    render(*sys.argv[1:] or (FOLDER,))
