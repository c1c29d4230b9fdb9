"""`supervisor upgrade`: the program as it is installed now takes the place of the one that runs, and containers do not notice.

Everything that can be refused is refused before anything is changed: files that do not pass `check`, a run state
that this program cannot read, a program that is not installed where the running one is, or does not load.
"""

import os
import select
import signal
import subprocess
import sys
import time
from argparse import Namespace
from contextlib import suppress
from typing import Any

from supervisor import __version__
from supervisor.api.call import QUICK, Call
from supervisor.cli import declare, runstate
from supervisor.cli.containers import LOST
from supervisor.errors import ConfigError, RequestError, SupervisorError

_PATIENCE = 300.0  # seconds for the new one to answer
_GLANCE = 0.05
_PARTS = "import supervisor.cli.declare, supervisor.daemon, supervisor.helper.serve"
_HELPER = b"supervisor: helper"


def run(arguments: Namespace, where: str | None) -> int:
    """Returns once the new one answers."""
    del arguments  # it has none
    before = Call(where, "GET", "/v1/info", timeout=QUICK).value()
    if os.geteuid() != 0:
        raise RequestError("forbidden", "only root can put another program in root's place")
    if not before["helper"]:
        raise RequestError("unavailable", LOST)
    helper = os.pidfd_open(before["pid"])
    try:
        _refuse(before)
        signal.pidfd_send_signal(helper, signal.SIGUSR2)
        after = _await(where, before, helper)
    finally:
        os.close(helper)
    count = len(Call(where, "GET", "/v1/containers", timeout=QUICK).value())
    print(
        f"{before['version']} -> {after['version']}: {count} container{'s' if count != 1 else ''} taken over"
    )
    return 0


def _refuse(info: dict[str, Any]) -> None:
    with open(f"/proc/{info['pid']}/cmdline", "rb") as file:
        if not file.read().startswith(_HELPER):
            raise SupervisorError(
                f"process {info['pid']} is not a helper that can be upgraded: stop and start it"
            )
    state = runstate.read(info["runtime_dir"])
    if state is None:
        raise SupervisorError(
            "it says nothing of itself: stop it with its own program, and start it with this one"
        )
    if objection := runstate.unreadable(state, info["runtime_dir"]):
        raise SupervisorError(objection)
    if state.python != sys.executable:
        raise SupervisorError(
            f"it runs {state.python}, and this is {sys.executable}\n"
            "install the new program in place of the old one, or have that path lead to it: docs/upgrade.md"
        )
    loads = subprocess.run([sys.executable, "-I", "-c", _PARTS], capture_output=True, text=True, check=False)
    if loads.returncode:
        raise SupervisorError(f"{__version__} does not load: {loads.stderr.strip().splitlines()[-1:]}")
    here = os.getcwd()
    try:
        os.chdir(state.origin.cwd)
        configuration = declare.read(state.origin, root=True)
    except ConfigError as error:
        raise ConfigError(error.problems) from None
    finally:
        os.chdir(here)
    if objection := declare.objection(configuration, root=True):
        raise SupervisorError(objection)


def _await(where: str | None, before: dict[str, Any], helper: int) -> dict[str, Any]:
    poll = select.poll()
    poll.register(helper, select.POLLIN)
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        with suppress(RequestError):
            now: dict[str, Any] = Call(where, "GET", "/v1/info", timeout=QUICK).value()
            if now["started_at"] != before["started_at"] and now["helper"]:
                return now
        if poll.poll(_GLANCE * 1000):
            raise SupervisorError(
                "the new one has ended; its own output says why\n"
                "containers and their output go on: `supervisor start CONFIG` takes them over"
            )
    raise SupervisorError(f"the new one does not answer after {_PATIENCE:g} s; its own output says why")
