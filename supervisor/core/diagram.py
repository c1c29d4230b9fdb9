"""The machine's table as a Mermaid diagram: `python -m supervisor.core.diagram` prints it."""

import re

from supervisor.core.lifecycle import TABLE
from supervisor.core.machine import State

FIRST: State = "waiting"


def mermaid() -> str:
    lines = ["stateDiagram-v2", f"    [*] --> {FIRST}"]
    for (state, target), events in _arrows().items():
        lines.append(f"    {state} --> {target}: {', '.join(events)}")
    return "\n".join(lines) + "\n"


def _arrows() -> dict[tuple[State, State], list[str]]:
    arrows: dict[tuple[State, State], list[str]] = {}
    for state, rules in TABLE.items():
        for event, rule in rules.items():
            for target in rule.to:
                arrows.setdefault((state, target), []).append(_words(event.__name__))
    return arrows


def _words(name: str) -> str:
    """StartAsked -> "start asked"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


if __name__ == "__main__":
    print(mermaid(), end="")
