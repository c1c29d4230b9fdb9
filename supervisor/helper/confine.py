"""The steps that take away what a service may not keep. As programs: a launch's, and those of who enters a container
that lives.

From "enter" on the files are the container's. Every identity and set that is taken is read back.
"""

import errno
import os
import struct

from supervisor.helper.slots import CAPABILITIES, GROUPS, OTHER, TAKEN
from supervisor.helper.world import Site
from supervisor.kernel import calls, libc, namespaces
from supervisor.kernel.calls import close, prctl
from supervisor.kernel.caps import NAMES
from supervisor.kernel.caps import mask as bits
from supervisor.kernel.process import RLIMITS
from supervisor.kernel.program import At, Program, call, compare

_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 4, 8, 24, 38, 47
_AMBIENT_IS_SET, _AMBIENT_RAISE, _AMBIENT_CLEAR_ALL = 1, 2, 4
_CWD = At(8 * GROUPS)
_PATH_MAX = 4096


def session(_: Site) -> Program:
    """A session without a terminal, so that nothing can be typed into the operator's (TIOCSTI), and
    the container's own /dev/null as stdin.
    """
    return (
        call("setsid"),
        call("umask", 0o022),
        calls.open_path("/dev/null", os.O_RDONLY, keep=OTHER),
        call("dup3", OTHER, 0, 0),
        *close(OTHER),
    )


def rlimit(_: Site, name: str, soft: int, hard: int) -> Program:
    return (calls.rlimit(RLIMITS[name], soft, hard, f"{name}={hard}"),)


def lower_rlimit(site: Site, name: str, soft: int, hard: int) -> Program:
    """A default: never more than we were given ourselves, which needs no privilege."""
    most = dict(site.limits).get(name, -1)
    hard = hard if most < 0 else min(hard, most)
    return rlimit(site, name, min(soft, hard), hard)


def output(site: Site, uid: int) -> Program:
    """The service owns its FIFOs, so that it can open /dev/stdout again."""
    owner = uid if site.ids < 0 else site.ids + uid
    return tuple(call("fchown", number, owner, -1, path="output") for number in (1, 2))


def userns(site: Site) -> Program:
    """Into the container's user namespace: from here on our privileges end at its border."""
    return (call("setns", site.userns, namespaces.FLAGS["user"], path="user"),)


def bounding(_: Site, names: tuple[str, ...]) -> Program:
    """Everything else out of the bounding set: no exec can bring it back."""
    dropped = [number for number in range(64) if not bits(names) >> number & 1]
    # EINVAL is past the last capability this kernel knows.
    return tuple(
        prctl(
            _PR_CAPBSET_DROP, number, told="PR_CAPBSET_DROP",
            passes=((errno.EINVAL, len(dropped) - at - 1),) if number >= len(NAMES) else (),
        )
        for at, number in enumerate(dropped)
    )  # fmt: skip


def become(site: Site, uid: int, gid: int, groups: tuple[int, ...]) -> Program:
    """Take an identity for good: groups, then gid, then uid, then read all three back.

    The order matters (setuid first would lose the right to the others), and so does the check:
    kernels have let such calls succeed in part (CVE-2014-8989, CVE-2018-7169).

    What is permitted survives the coming setresuid, to be taken exactly (capabilities(7), PR_SET_KEEPCAPS).
    """
    listed = struct.pack(f"{len(groups)}I", *sorted(groups))
    path = f"{uid}:{gid}"
    set_groups = (call("setgroups", len(groups), listed, path=path),)
    groups_are_right = (
        call("getgroups", len(groups), At(8 * GROUPS), expected=len(groups), path=path, told="setgroups"),
        compare(At(8 * GROUPS), listed, len(listed), path=path, told="setgroups"),
    )
    may_set_groups = not site.rootless
    return (
        *((prctl(_PR_SET_KEEPCAPS, 1, told="PR_SET_KEEPCAPS"),) if uid else ()),
        *(set_groups if may_set_groups else ()),
        *_take("gid", gid, path),
        *_take("uid", uid, path),
        *(groups_are_right if may_set_groups else ()),
        *undumpable(site),  # taking another uid may have reset it; until exec nobody looks in
    )


def _take(kind: str, number: int, path: str) -> Program:
    """Real, effective and saved; each is read back as the first half of a word."""
    name = f"setres{kind}"
    places = tuple(At(8 * one) for one in range(TAKEN, TAKEN + 3))
    return (
        call(name, number, number, number, path=path),
        call(f"getres{kind}", *places, path=path),
        compare(places[0], libc.words(*[number] * 3), 24, path=path, told=name),
    )


def undumpable(_: Site) -> Program:
    """No other process of the same user may trace this one or open its /proc/PID/exe, fd, mem (prctl(2))."""
    return (prctl(_PR_SET_DUMPABLE, 0, told="PR_SET_DUMPABLE"),)


def capabilities(_: Site, names: tuple[str, ...], root: bool) -> Program:
    """Permitted, effective, inheritable and ambient become exactly what `names` allows.

    Root gets them at exec from the bounding set, so its inheritable set stays empty (CVE-2022-24769);
    any other user needs them ambient to keep them across exec. Nothing is ambient that is not inheritable: the kernel
    sees to that.
    """
    wanted = bits(names)
    inheritable = 0 if root else wanted
    raised = [number for number in range(len(NAMES)) if inheritable >> number & 1]
    header, data = libc.capability_sets(wanted, wanted, inheritable)
    got = At(8 * CAPABILITIES)
    return (
        call("capset", header, data, path=hex(wanted)),
        prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL, told="PR_CAP_AMBIENT_CLEAR_ALL"),
        *(prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, one, told="PR_CAP_AMBIENT_RAISE") for one in raised),
        call("capget", header, got),
        compare(got, data, len(data), path=hex(wanted), told="capset"),
        *(
            prctl(_PR_CAP_AMBIENT, _AMBIENT_IS_SET, one, told="PR_CAP_AMBIENT_IS_SET", expected=1)
            for one in raised
        ),
    )


def no_new_privileges(_: Site) -> Program:
    return (prctl(_PR_SET_NO_NEW_PRIVS, 1, told="PR_SET_NO_NEW_PRIVS"),)


def workdir(_: Site, path: str) -> Program:
    """With the service's own rights; a folder outside the root shows as "(unreachable)" (CVE-2024-21626)."""
    return (
        call("chdir", os.fsencode(path), path=path),
        call("getcwd", _CWD, _PATH_MAX, path=path, told="chdir"),
        compare(_CWD, b"/", 1, path=path, told="chdir"),
    )


def filter_calls(_: Site, filters: tuple[bytes, ...]) -> Program:
    """After everything that it might not allow; execve it must."""
    return tuple(calls.seccomp_filter(one) for one in filters)
