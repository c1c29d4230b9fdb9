#!/usr/bin/env python3
"""python3 probe.py [FACTS.json]   tries to get out of where it runs, harmlessly; one JSON object a line.

    {"check": "mount_call", "severity": "high", "result": "blocked", "detail": "EPERM", "wrong": "…"}
    {"summary": {"checks": 142, "blocked": 140, "open": 1, "n/a": 1, "broken": 0}}

Each check is carried out in a child of its own, so that what it changes, and what kills it, ends with it.
FACTS.json, by default two folders above this file, says what on the host must not be reached; checks
that need it are n/a without. Exit status: 0, or 1 if a check itself is broken.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from typing import Any

STAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, STAGE)

# First of all: it notes how this process began.
from tests.escape import check  # noqa: E402, I001
from tests.escape import devices, filesystem, identity, kernel_calls, mounts, network, processes, procfs  # noqa: E402, F401

SECONDS = 60  # far more than any check takes


def told(path: str) -> check.Told:
    try:
        with open(path, encoding="utf-8") as file:
            return check.Told(json.load(file))
    except OSError:
        return check.Told()


def carried_out(one: check.Check, host: check.Told) -> check.Result:
    """The outcome of a check, in a child."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        os.write(writing, json.dumps(check.outcome(one.attempt, host)).encode())
        os._exit(0)
    os.close(writing)
    said = _read(reading, child)
    os.close(reading)
    _, ended = os.waitpid(child, 0)
    if said:
        return check.Result(*json.loads(said))
    if os.WIFSIGNALED(ended):
        name = signal.Signals(os.WTERMSIG(ended)).name
        # SIGSEGV is what a kernel without the 32-bit ABI answers to int 0x80.
        return check.Result("blocked" if name in {"SIGSYS", "SIGSEGV"} else "broken", f"killed by {name}")
    return check.Result("broken", "it said nothing")


def _read(fd: int, child: int) -> bytes:
    said = b""
    while select.select([fd], [], [], SECONDS)[0]:
        more = os.read(fd, 65536)
        if not more:
            return said
        said += more
    os.kill(child, signal.SIGKILL)
    return b""


def main(arguments: list[str]) -> int:
    host = told(arguments[0] if arguments else os.path.join(STAGE, "facts.json"))
    counts = dict.fromkeys(("blocked", "open", "n/a", "broken"), 0)
    for one in check.CHECKS:
        result = carried_out(one, host)
        counts[result.outcome] += 1
        line: dict[str, Any] = {"check": one.name, "severity": one.severity, "result": result.outcome}
        print(json.dumps({**line, "detail": result.detail[:300], "wrong": one.wrong}), flush=True)
    print(json.dumps({"summary": {"checks": len(check.CHECKS), **counts}}), flush=True)
    return 1 if counts["broken"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
