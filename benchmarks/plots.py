"""The figures of a run as pictures (PNG); without matplotlib there are none."""

from collections.abc import Callable
from typing import Any

try:
    import matplotlib as mpl
    from matplotlib import pyplot as plt
    from matplotlib.axes import Axes
except ImportError:
    DRAWS = False  # the extra `bench` is not installed
else:
    DRAWS = True
    mpl.use("agg")

Results = dict[str, Any]
OURS = "supervisor"
_COLOURS = {
    "supervisor": "#c1272d", "runit": "#4c78a8", "s6": "#72b7b2", "supervisord": "#54a24b", "circus": "#b79a20",
    "crun": "#8c6bb1", "runc": "#9d755d", "bwrap": "#79706e",
}  # fmt: skip


def draw(results: Results, folder: str) -> dict[str, str]:
    """Captions by the names of the files made."""
    if not DRAWS:
        return {}
    drawn = {}
    for name, caption, into in PLOTS:
        figure, axes = plt.subplots(figsize=(7, 4))
        into(axes, results)
        axes.set_title(caption, fontsize=11)
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.set_axisbelow(True)
        figure.tight_layout()
        figure.savefig(f"{folder}/{name}", dpi=100, metadata={"Software": None})
        plt.close(figure)
        drawn[name] = caption
    return drawn


def _lines(axes: "Axes", results: Results, key: str, label: str) -> None:
    for one in results["peers"]:
        if one[key]:
            points = sorted((int(count), figure) for count, figure in one[key].items())
            counts, figures = zip(*points, strict=True)
            axes.plot(
                counts, figures, marker="o", markersize=4, label=one["name"], color=_COLOURS.get(one["name"]),
                linewidth=2.5 if one["name"] == OURS else 1.2,
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("services")
    axes.set_ylabel(label)
    axes.legend(fontsize=8)


def _bars(axes: "Axes", figures: dict[str, float], label: str, *, log: bool = False) -> None:
    names = list(reversed(figures))
    bars = axes.barh(names, [figures[name] for name in names], color=[_COLOURS.get(name.split()[0], "#aaa") for name in names])  # fmt: skip
    axes.bar_label(bars, fmt="%.3g", padding=3, fontsize=8)
    axes.margins(x=0.15)
    if log:
        axes.set_xscale("log")
    axes.set_xlabel(label)


def _started(axes: "Axes", results: Results) -> None:
    _lines(axes, results, "started", "seconds")


def _stopped(axes: "Axes", results: Results) -> None:
    _lines(axes, results, "stopped", "seconds")


def _memory(axes: "Axes", results: Results) -> None:
    _lines(axes, results, "memory", "kB a service (PSS)")


def _restart(axes: "Axes", results: Results) -> None:
    figures = {one["name"]: one["restart"] for one in results["peers"] if one["restart"] is not None}
    _bars(axes, figures, "milliseconds, median of 20", log=True)


def _launch(axes: "Axes", results: Results) -> None:
    title, taken = next(iter(results["launch"].items()))
    _bars(axes, taken, f"milliseconds, {title}")


PLOTS: tuple[tuple[str, str, Callable[..., None]], ...] = (
    ("launch.png", "The cycle of /bin/true", _launch),
    ("restart.png", "From SIGKILL of a service to its successor's first instruction", _restart),
    ("start.png", "Until all services have begun", _started),
    ("stop.png", "Until all services have ended", _stopped),
    ("memory.png", "Memory of the supervisor's own processes", _memory),
)
