"""Holds where file descriptors are scarce: containers are signalled, entered, heard to the end and taken over as anywhere
else; and where there are too few, the start is refused with the cure.
"""

import resource
import subprocess

import pytest

from supervisor.kernel import descriptors
from tests.support.killing import daemon, helper, kill_both, kill_helper
from tests.support.running import PROGRAM, Running, Supervise, shell

pytestmark = pytest.mark.kernel

#: For three containers: not all that is useful, but enough.
SCARCE = 300
FEW = 260
TRAPS = "trap 'echo told' USR1; trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done"


def limited(most: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest.fixture
def scarce(supervise: Supervise) -> Running:
    assert descriptors.scarce(3, SCARCE)
    running = supervise.prepare({name: shell(TRAPS) for name in ("one", "two", "three")})
    running.start(before=lambda: limited(SCARCE))
    for name in running.names:
        running.line(name, "ready")
    return running


def test_a_container_is_signalled_entered_and_started_again(scarce: Running) -> None:
    scarce.done("kill", "one", "-s", "USR1")
    scarce.line("one", "told")
    assert scarce.done("exec", "one", "--", "/bin/echo", "inside") == "inside\n"
    scarce.done("restart", "one")
    scarce.until(lambda: scarce.lines("one").count("ready") == 2, "ready again")
    scarce.done("stop", "one")
    assert scarce.of("one")["exit"]["code"] == 5
    assert scarce.of("two")["cpu"]["usage_usec"] > 0


def test_the_next_start_takes_over_what_lives(scarce: Running) -> None:
    before = [one["pid"] for one in scarce.status()]
    kill_both(scarce)
    scarce.start(before=lambda: limited(SCARCE))
    assert [one["pid"] for one in scarce.status()] == before
    scarce.done("kill", "two", "-s", "USR1")
    scarce.line("two", "told")


def test_without_a_helper_an_end_is_seen_all_the_same(scarce: Running) -> None:
    pid = scarce.of("one")["pid"]
    kill_helper(scarce)
    scarce.event("supervisor.helper_lost")
    subprocess.run(["kill", "-TERM", str(pid)], check=True)
    assert scarce.state("one", "exited", "failed")["exit"]["code"] == 5
    scarce.start(before=lambda: limited(SCARCE))


def test_a_container_takes_three_or_four_descriptors_of_each_half(scarce: Running) -> None:
    def of(pid: int) -> int:
        return int(
            subprocess.run(f"ls /proc/{pid}/fd | wc -l", shell=True, check=True, capture_output=True).stdout
        )

    before = [of(helper(scarce)), of(daemon(scarce))]
    for name in scarce.names:
        scarce.done("stop", name)
    least = descriptors.LEAST - 1
    freed = [was - now for was, now in zip(before, [of(helper(scarce)), of(daemon(scarce))], strict=True)]
    assert all(0 < each <= least * len(scarce.names) for each in freed), freed


def test_where_there_are_too_few_the_start_is_refused_with_the_cure(supervise: Supervise) -> None:
    running = supervise.prepare({name: shell(TRAPS) for name in ("one", "two", "three")})
    refused = subprocess.run(
        [*PROGRAM, "start", f"{running.configs}/"],
        check=False, capture_output=True, text=True, env=running.environment, cwd=running.folder,
        preexec_fn=lambda: limited(FEW),
    )  # fmt: skip
    assert refused.returncode == 2
    assert "3 containers take" in refused.stderr
    assert "ulimit -Hn" in refused.stderr
    assert "Traceback" not in refused.stderr
