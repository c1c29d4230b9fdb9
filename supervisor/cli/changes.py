"""`plan` and `reload`: what the files change of what runs, shown or done.

The files are read by the supervisor's own root, from the path it was started with: whoever types this, the
answer is the same. Their problems are printed as `supervisor check` prints them.
"""

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from supervisor.api.call import Call
from supervisor.errors import RequestError


def run(arguments: Namespace, where: str | None) -> int:
    """Carry out one of them; 1 when a reload could not do all of it, 2 for problems in the files."""
    reload = arguments.command == "reload"
    try:
        found = (Call(where, "POST", "/v1/reload") if reload else Call(where, "GET", "/v1/plan")).value()
    except RequestError as error:
        if not error.problems:
            raise
        return _problems(error, as_json=arguments.json)
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(lines(found)) or "nothing to change")
    failed = found.get("failed", {})
    for name, why in failed.items():
        print(f"supervisor: {why if name in why else f'{name}: {why}'}", file=sys.stderr)
    return 1 if failed else 0


def _problems(error: RequestError, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"ok": False, "problems": [each._asdict() for each in error.problems]}, indent=2))
    else:
        for problem in error.problems:
            print(problem, file=sys.stderr)
    return 2


def lines(plan: dict[str, Any]) -> Iterator[str]:
    """A plan for people: what happens, to whom, because of which keys."""
    rows = [("remove", name, "") for name in plan["removed"]]
    rows += [("restart", one["name"], ", ".join(one["keys"])) for one in plan["restarted"]]
    rows += [("change", one["name"], ", ".join(one["keys"])) for one in plan["changed"]]
    rows += [("add", name, "") for name in plan["added"]]
    width = max((len(name) for _, name, _ in rows), default=0)
    for act, name, keys in rows:
        yield f"{act:<8} {name:<{width}}  {keys}".rstrip()
    for key in plan["settings"]:
        yield f"{'set':<8} {key if key.startswith('group.') else f'supervisor.{key}'}"
