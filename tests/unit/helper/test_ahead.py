"""What is made ahead for a launch is what it would make itself, and is nobody's for ever."""

import os
from typing import Any

import pytest

from supervisor.errors import KernelError
from supervisor.helper.accounts import Files
from supervisor.helper.ahead import Ahead, Begun
from supervisor.helper.launching import Known, Plan
from supervisor.helper.protocol import Launch
from supervisor.helper.world import Site
from supervisor.kernel.image import assemble

LAUNCH = Launch(
    name="web", argv=("/bin/true",), env=(("PATH", "/bin"),), rootfs="/srv/debian", rootfs_mode="overlay", user="0:0",
    groups=(), workdir="/", hostname="web", init=True, namespaces=("mount", "pid"), mounts=(), capabilities=(),
    no_new_privileges=True, rlimits=(), cgroup=(),
)  # fmt: skip


@pytest.fixture
def ahead() -> Ahead:
    return Ahead(Known())


def plan(**changed: Any) -> Plan:
    return Plan(LAUNCH._replace(**changed), (), Site("/run/root", folders=("/sys/fs/cgroup/cpu/web",)))


def told(begun: Begun) -> bytes:
    """The file, as whoever carries it out reads it."""
    return os.pread(begun.file, 1 << 20, 0)


def opened() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_a_launch_takes_what_was_made_for_it(ahead: Ahead) -> None:
    web = plan()
    ahead.make(web)
    made = opened()
    begun = ahead.take(web)
    assert opened() == made
    assert told(begun) == assemble(begun.segments)
    begun.drop()


def test_what_was_made_is_taken_once(ahead: Ahead) -> None:
    web = plan()
    ahead.make(web)
    first, second = ahead.take(web), ahead.take(web)
    assert not os.path.samestat(os.fstat(first.file), os.fstat(second.file))
    first.drop()
    second.drop()


def test_a_launch_that_begins_otherwise_by_now_takes_nothing_old() -> None:
    known, web = Known(), plan()
    ahead = Ahead(known)
    before = opened()
    ahead.make(web)
    known.put(web.launch, Files(b"root:x:0:0::/root:/bin/sh\n", b""))
    begun = ahead.take(web)
    assert told(begun) == assemble(begun.segments)
    begun.drop()
    assert opened() == before


def test_a_few_are_kept_at_most(ahead: Ahead) -> None:
    before = len(opened())
    plans = [plan(name=f"web{number}") for number in range(50)]
    for one in plans:
        ahead.make(one)
    assert len(opened()) - before == 8 * 3
    for one in plans:
        ahead.take(one).drop()
    assert len(opened()) == before


def test_what_is_not_launched_again_leaves_nothing(ahead: Ahead) -> None:
    before, web = opened(), plan()
    ahead.make(web)
    ahead.drop(web)
    ahead.drop(web)
    assert opened() == before


def test_what_cannot_be_made_is_left_to_its_launch(ahead: Ahead) -> None:
    web = plan(devices=("/dev/there is no such device",))
    ahead.make(web)
    with pytest.raises(KernelError):
        ahead.take(web)
