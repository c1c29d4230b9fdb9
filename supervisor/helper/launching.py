"""How one container is launched: the file of its program, the account that it takes, and what its failures mean."""

import errno
import struct
from array import array
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import TypeVar

from supervisor.errors import KernelError
from supervisor.helper import accounts, devices, service
from supervisor.helper.accounts import Account, Files
from supervisor.helper.operations import segments, spelled
from supervisor.helper.protocol import IDS, Launch
from supervisor.helper.refusals import UNHEARD, Failure
from supervisor.helper.slots import AT
from supervisor.helper.steps import Filters, Nodes, Step, Steps, building, serving
from supervisor.helper.world import Site
from supervisor.kernel.image import CALL, Segment, assemble, pack
from supervisor.kernel.program import RESULT, Call
from supervisor.kernel.zygote import TOLD

_T = TypeVar("_T")
_ROOT = 0
_UNMAPPED = struct.Struct("q")
_LARGEST_KNOWN = 1 << 16  # bytes of passwd and group that a program carries along
_MANY = 256  # sets of them that are remembered


class Known:
    """What launches have read of accounts, for those that come after."""

    def __init__(self) -> None:
        self._files: dict[tuple[object, ...], Files] = {}

    def get(self, launch: Launch) -> Files | None:
        return self._files.get(_key(launch))

    def put(self, launch: Launch, files: Files) -> None:
        self._files.pop(_key(launch), None)
        if len(files.passwd) + len(files.group) <= _LARGEST_KNOWN:
            self._files[_key(launch)] = files
        if len(self._files) > _MANY:
            del self._files[next(iter(self._files))]


def _key(launch: Launch) -> tuple[object, ...]:
    """Containers of the same root directory find the same files, unless they keep what they write."""
    return launch.rootfs, launch.layer, launch.user, launch.groups


class Plan:
    """Of one container; what can be worked out once is. `filters` are its own."""

    def __init__(self, launch: Launch, filters: Filters, site: Site) -> None:
        self.launch, self.filters, self.site = launch, filters, site
        self._nodes: Nodes | None = None
        self._root: tuple[Segment, ...] = ()
        self._account: Account | None = None
        self._serving: tuple[Segment, ...] = ()
        self._files: Files | None = None  # of which that account was found
        self._known: Files | None = None  # by the launch that is under way, when it began
        self._answered = False

    def begin(self, known: Files | None) -> tuple[Segment, ...]:
        """The program of a launch that may find what is `known` of accounts already. Raises KernelError."""
        nodes = tuple(map(devices.look_at, self.launch.devices))
        if nodes != self._nodes:
            self._root = segments(self._building(nodes), self.site)
            self._nodes = nodes
        self._known, self._answered = None, False
        served: tuple[Segment, ...] = ()
        with suppress(KernelError):  # nobody could be found in these: it asks, since they may have changed
            if known:
                served = self._serve(known)
                self._known = known
        return (*self._root, _account(self.launch.user, self.launch.groups, self._known), *served)

    def answer(self, files: Files) -> bytes:
        """How a launch goes on that has found these. Raises KernelError, when there is nobody whom it could become."""
        self._answered = True
        return assemble(self._serve(files))

    def failure(self, told: bytes) -> Failure:
        """What the slots of a launch that has failed say."""
        if len(told) == len(_UNMAPPED.pack(0)):
            return {"stage": "launch", "errno": -_UNMAPPED.unpack(told)[0], "path": "", "call": "mmap"}
        if len(told) != 8 * TOLD:
            return UNHEARD
        slots = array("q", told)
        calls = self._calls()
        if not 0 <= slots[AT] < len(calls):
            return UNHEARD
        stage, call = calls[slots[AT]]
        name, number, path = call.name, -slots[RESULT], call.path
        if service.is_end_of_search(call):
            name, number, path = service.why_not_executed(tuple(one for _, one in calls), slots)
        return {"stage": stage, "errno": number, "path": path[-1024:], "call": name}

    # ── its parts ──────────────────────────────────────────────────────────────────────

    def _building(self, nodes: Nodes) -> tuple[Step, ...]:
        return building(self.launch, nodes, rootless=self.site.rootless)

    def _steps(self) -> Steps:
        assert self._account
        return serving(self.launch, self.filters, self._account)

    def _serve(self, files: Files) -> tuple[Segment, ...]:
        if files is self._files:
            return self._serving
        account = self.checked(accounts.find(files, self.launch.user, self.launch.groups))
        if account != self._account:
            self._account = account
            self._serving = _in_order(self._steps(), lambda part: segments(part, self.site), _fork)
        self._files = files
        return self._serving

    def checked(self, account: Account) -> Account:
        """Raises KernelError, when nobody can be it here."""
        user = self.launch.user
        if self.site.rootless and (account.uid, account.gid) != (_ROOT, _ROOT):
            # One id is mapped in a user's own namespace, so there is nobody else to become.
            why = f"{user}: without root a container has only uid 0 (you)"
            raise KernelError("setresuid", errno.EPERM, why)
        if self.launch.ids >= 0 and max(account.uid, *account.groups) >= IDS:
            why = f"{user}: a private user namespace has the ids 0 to 65535"
            raise KernelError("setresuid", errno.EINVAL, why)
        return account

    def _calls(self) -> tuple[tuple[str, Call], ...]:
        """Those of the program that was carried out last, each with its stage."""
        calls: tuple[tuple[str, Call], ...] = ()
        if not self._answered:
            assert self._nodes is not None
            reading = accounts.account(self.launch.user, self.launch.groups, self._known)
            calls = (*spelled(self._building(self._nodes), self.site), *(("user", one) for one in reading))
        if self._answered or self._known:
            calls += _in_order(self._steps(), lambda part: spelled(part, self.site), _spelled_fork)
        return calls


def _in_order(
    steps: Steps,
    made: Callable[[tuple[Step, ...]], tuple[_T, ...]],
    fork: Callable[[tuple[_T, ...]], tuple[_T, ...]],
) -> tuple[_T, ...]:
    """The layout of what follows the root, whatever is `made` of steps; `fork` is what parts PID 1 from such a child."""
    child = made(steps.child)
    return (*made(steps.service), *(fork(child) if child else ()), *child, *made(steps.init))


@lru_cache(_MANY)
def _account(user: str, groups: tuple[str, ...], known: Files | None) -> Segment:
    return pack(accounts.account(user, groups, known))


def _fork(child: tuple[Segment, ...]) -> tuple[Segment, ...]:
    return (_packed_fork(sum(len(one.calls) for one in child) // CALL),)


def _spelled_fork(child: tuple[tuple[str, Call], ...]) -> tuple[tuple[str, Call], ...]:
    return tuple(("fork", one) for one in service.fork(len(child)))


@lru_cache(_MANY)
def _packed_fork(calls_of_child: int) -> Segment:
    return pack(service.fork(calls_of_child))
