"""Operations of a launch on a root directory that changes while they are under way: renames that exchange a folder
with a link to a place outside, as fast as another process can.
"""

import ctypes
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from supervisor.errors import KernelError
from supervisor.helper.operations import spell
from supervisor.helper.slots import GROUPS, OTHER, ROOT
from supervisor.helper.steps import Step
from supervisor.helper.world import Site, private
from supervisor.kernel import libc, namespaces, process
from supervisor.kernel.program import run, slots

_EXCHANGE = 2  # RENAME_EXCHANGE, renameat2(2)
_AT_FDCWD = -100
_libc = ctypes.CDLL(None, use_errno=True)

Mount = list[str]  # a line of mountinfo, split


class Stage:
    """What the steps of one launch share."""

    def __init__(self, mountpoint: str) -> None:
        self.site, self.slots = Site(mountpoint), slots(GROUPS)

    @property
    def root(self) -> int:
        return self.slots[ROOT]


Act = Callable[[Stage], None]


def exchange(one: Path, other: Path) -> None:
    arguments = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE)
    if _libc.renameat2(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "renameat2", str(one))


def forked(do: Callable[[], None]) -> int:
    """The PID of a child that does it, and ends with 0 if it returned."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            do()
            code = 0
        except BaseException:  # noqa: BLE001 - the child ends here, and says why
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


@contextmanager
def flipping(*pairs: tuple[Path, Path]) -> Iterator[None]:
    """Meanwhile each pair is exchanged, and again, without end."""
    ready, begun = os.pipe()

    def first() -> None:
        for pair in pairs:
            exchange(*pair)
        os.write(begun, b"x")
        while True:
            for pair in pairs:
                exchange(*pair)

    pid = forked(first)
    try:
        os.read(ready, 1)
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)
        os.close(begun)


def mountinfo() -> list[Mount]:
    return [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]


def do(stage: Stage, op: str, *args: object) -> None:
    """One operation of a launch, by its name."""
    run(spell(Step("", op, args), stage.site), stage.slots)


def rounds(
    count: int, mountpoint: Path, root: Act, act: Act, verify: Callable[[list[Mount]], None] | None = None
) -> None:
    """In a process of its own, `count` times: a new mount namespace, a root over `mountpoint`, `act`.

    `act` may be refused; `verify` is given what was mounted by then, and may raise.
    """

    def play() -> None:
        namespaces.unshare(("mount",))
        run(private(Site("")), slots(OTHER))
        base = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        known = {one[4] for one in mountinfo()}
        for _ in range(count):
            libc.setns(base, namespaces.FLAGS["mount"])
            namespaces.unshare(("mount",))
            stage = Stage(str(mountpoint))
            do(stage, "private")
            do(stage, "masks")
            root(stage)
            with suppress(KernelError, OSError):
                act(stage)
            found = [one for one in mountinfo() if one[4] not in known]
            outside = [one for one in found if not f"{one[4]}/".startswith(f"{mountpoint}/")]
            assert not outside, outside
            if verify:
                verify(found)
            process.close_all_but({base})

    _, status = os.waitpid(forked(play), 0)
    assert status == 0
