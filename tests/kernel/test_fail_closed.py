"""Holds of a launch in which any one system call fails: it is refused, with its stage and the errno, or the container
is confined exactly as ever; nothing hangs, and the helper goes on serving.

strace makes the call fail (`-e inject=CALL:error=ERRNO:when=N`) in one process: the helper, a container's PID 1, or
the one that becomes the service. The first process of a container is born frozen (cgroup.freeze of a leaf that is
there from the run before), so that strace sees its very first call and counts from there; with `init = false` it
takes every step itself. The helper's part is that of a container's first run, in which it makes most.

By default each call fails at its first, middle and last time, each time with another error; with FAULTS=every in the
environment at each of its times with each error: thousands of launches, half an hour.
"""

import difflib
import errno
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from supervisor.helper.protocol import Report, Request
from tests.support.played import Played
from tests.support.provide import setup
from tests.support.running import shell, until

pytestmark = pytest.mark.kernel

ERRORS = ("EPERM", "ENOMEM", "EINTR")
EVERY = os.environ.get("FAULTS") == "every"
#: Containers for the helper's part, each used for one fault.
FRESH = 500 if EVERY else 160
#: strace's option by which forks are traced too.
FOLLOW = {False: (), True: ("-f",)}
#: Calls that cannot fail, or are the kernel's own; brk answers with where the end is, and an error is an address to libc.
UNFAILING = {"exit_group", "rt_sigreturn", "restart_syscall", "brk"}
#: They do not say why they failed (setfsuid(2), umask(2)).
WORDLESS = {"setfsuid", "setfsgid", "umask"}
#: What a container cannot tell from inside: only a refusal will do.
UNSEEN = {"keyctl", "close_range"}

#: What a container knows of its own confinement; every line is the same at each run.
CONFINEMENT = """
grep -E '^(Umask|Uid|Gid|Groups|Sig(Blk|Ign|Cgt)|Cap|NoNewPrivs|Seccomp)' /proc/self/status
cut -d ' ' -f 4-8 /proc/$$/stat
for each in /proc/$$/ns/*; do printf 'ns '; readlink $each; done
for each in /proc/$$/fd/*; do printf 'fd '; readlink $each; done
cat /proc/self/limits /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups /proc/self/cgroup
cat /proc/self/timens_offsets /proc/self/oom_score_adj
cat /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_unprivileged_port_start /sys/class/net/lo/flags
pwd; env | sort
stat -c '%n %F %a %u %g %t:%T' / /* /dev/* /etc/*
while read -r _ _ _ rest; do echo "mount $rest"; done </proc/self/mountinfo
echo whole
"""


class Fault(NamedTuple):
    """`role` is the kind of container; "fresh" is the helper's part of its launch, "both" are PID 1 and service of
    the one with a shim: each process for itself counts to `time`.
    """

    role: str
    call: str
    error: str
    time: int


class Outcome(NamedTuple):
    """`kind` is "refused", "same" or "unreached", or what must not be."""

    fault: Fault
    kind: str
    text: str = ""


def containers(root: Path, shared: Path) -> dict[str, Any]:
    """Two ways to a root, two kinds of user, with and without a shim: together every step there is."""
    rich = {
        "rootfs": root,
        "rootfs_mode": "overlay",
        "user": "4242",
        "groups": [7],
        "workdir": "/srv",
        "devices": ["/dev/kmsg"],
        "rlimits": {"nofile": 123},
        "time_offsets": {"boottime": "100s"},
        "mounts": [
            {"type": "bind", "source": shared, "target": "/srv", "options": ["ro"]},
            {"type": "tmpfs", "target": "/scratch/deep", "options": ["size=64KiB"]},
        ],
    }
    return {
        "rich": shell(CONFINEMENT, init=False, **rich),
        "host": shell(CONFINEMENT, init=False),
        "shim": shell(CONFINEMENT, **rich),
        "fresh": shell(CONFINEMENT, init=False, replicas=FRESH),
    }


class Matrix:
    def __init__(self, played: Played, trace: Path) -> None:
        self.played, self.trace = played, trace
        self.unused = iter([name for name in played.names if name.startswith("fresh.")])
        self.clean = {role: self.run(role) for role in ("rich", "host", "shim")}
        first = next(self.unused)
        self.clean["fresh"] = self.run(first)
        self.clean["both"] = self.clean["shim"]
        for role, text in self.clean.items():
            assert text.endswith("whole"), f"{role}: {text}"

    # ── one launch ─────────────────────────────────────────────────────────────────────

    def run(self, name: str) -> str:
        """A launch in which nothing fails: what the container says of itself."""
        self.played.launch(name)
        ended = self.played.until("ended", "refused")
        assert (ended.what, ended.code) == ("ended", 0), self.played.report()
        return told(name, self.played.output(name))

    def traced(self, name: str, *options: str) -> tuple[Report, str]:
        """A launch with strace on the helper or the container's first process: its end, what it said."""
        frozen = None
        pid = self.played.pid
        if not name.startswith("fresh"):
            frozen = self.played.leaf(name) / "cgroup.freeze"
            frozen.write_text("1")
            self.played.launch(name)
            pid = int(until((frozen.parent / "cgroup.procs").read_text, "born"))
        strace = subprocess.Popen(
            ["strace", "-qq", "-o", str(self.trace), *options, "-p", str(pid)], stderr=subprocess.DEVNULL
        )
        try:
            until(lambda: "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text(), "traced")
            if frozen:
                frozen.write_text("0")
            else:
                self.played.launch(name)
            ended = self.played.until("ended", "refused")
        finally:
            if not frozen:
                strace.terminate()  # which lets go of the helper
            strace.wait()
        return ended, told(name, self.played.output(name))

    # ── what can fail ──────────────────────────────────────────────────────────────────

    def faults(self) -> Iterator[Fault]:
        done: set[str] = set()
        for role in ("fresh", "rich", "host", "shim", "both"):
            calls = self.calls(role)
            for call, count in calls.items():
                if EVERY:
                    yield from (Fault(role, call, error, one + 1) for error in ERRORS for one in range(count))
                elif call not in done:
                    times = (1, count // 2 + 1, count)
                    yield from (Fault(role, call, *each) for each in zip(ERRORS, times, strict=True))
            done |= calls.keys() if role != "fresh" else set()

    def calls(self, role: str) -> Counter[str]:
        """How often each call is made, up to the execve by which the service's own program begins."""
        self.traced(self.container(role), *FOLLOW[role == "both"])
        counts: dict[str, Counter[str]] = {}
        programs, theirs = set(), set(UNFAILING)
        for line in self.trace.read_text(errors="replace").splitlines():
            match = re.match(r"(\d* *)(\w+)\(", line)
            if match and match[1] in programs:
                theirs.add(match[2])
            elif match:
                counts.setdefault(match[1], Counter())[match[2]] += 1
            if "execve" in line and line.endswith("= 0"):
                programs.add(line[: len(match[1])] if match else line.partition("<")[0])
        if role != "both":
            return Counter({call: count for call, count in counts[""].items() if call not in UNFAILING})
        # What the container's own programs call too would fail in them.
        ours = {process: count for process, count in counts.items() if process in list(counts)[:2]}
        theirs |= {call for process, count in counts.items() if process not in ours for call in count}
        most: Counter[str] = Counter()
        for count in ours.values():
            most |= count
        return Counter({call: count for call, count in most.items() if call not in theirs})

    def container(self, role: str) -> str:
        return next(self.unused) if role == "fresh" else "shim" if role == "both" else role

    # ── one fault ──────────────────────────────────────────────────────────────────────

    def attempt(self, fault: Fault) -> Outcome:
        name = self.container(fault.role)
        inject = f"inject={fault.call}:error={fault.error}:when={fault.time}"
        follow = FOLLOW[fault.role == "both"]
        ended, text = self.traced(name, *follow, "-e", f"trace={fault.call}", "-e", inject)
        outcome = self.judge(fault, ended, text)
        after = self.run(name)
        if fault.role == "fresh":
            self.played.ask(Request("remove", name))
            self.played.until("removed")
        if after != self.clean[fault.role]:
            return Outcome(fault, "weaker at the next run", difference(self.clean[fault.role], after))
        return outcome

    def judge(self, fault: Fault, ended: Report, text: str) -> Outcome:
        if "INJECTED" not in self.trace.read_text(errors="replace") and text == self.clean[fault.role]:
            return Outcome(fault, "unreached", str(ended))  # this time the helper had fewer events
        if ended.what == "refused":
            told_why = errno.errorcode.get(ended.errno) == fault.error or fault.call in WORDLESS
            sound = ended.stage and told_why
            return Outcome(fault, "refused" if sound else "refused without its errno", str(ended))
        if text == self.clean[fault.role]:
            return Outcome(fault, "perhaps weaker" if fault.call in UNSEEN else "same", str(ended))
        if fault.role in ("shim", "both") and self.clean[fault.role].startswith(text) and ended.code:
            return Outcome(
                fault, "same", str(ended)
            )  # PID 1 gave up while it waited, and ended the container
        return Outcome(fault, "weaker", f"{ended}\n{difference(self.clean[fault.role], text)}")


def told(name: str, output: bytes) -> str:
    """With what differs from container to container, and from run to run, taken out."""
    text = output.decode(errors="replace").strip().replace(name, "NAME")
    for link in {os.readlink(file) for file in Path("/proc/self/ns").iterdir()}:
        text = text.replace(f"ns {link}", f"ns {link.partition(':')[0]} of the machine")
    text = re.sub(r"(ns \w+:)\[\d+\]", r"\1 its own", text)
    text = re.sub(r"dir=/proc/self/fd/\d+", "dir=FD", text)  # the numbers that were free then
    text = re.sub(r"INSTANCE=\d+", "INSTANCE=N", text)
    ids = re.search(r"^ +0 +(\d+) +65536$", text, re.MULTILINE)
    return text.replace(f"{ids[1]:>11}", " IDS").replace(ids[1], "IDS") if ids else text


def difference(wanted: str, got: str) -> str:
    return "\n".join(difflib.unified_diff(wanted.splitlines(), got.splitlines(), lineterm="", n=0))


@pytest.fixture
def matrix(played: Callable[..., Played], busybox_root: Path, tmp_path: Path) -> Matrix:
    setup("strace")
    shared = tmp_path / "shared"
    shared.mkdir()
    (busybox_root / "etc/passwd").write_text("keeper:x:4242:4243::/srv:/bin/sh\n")
    return Matrix(played(containers(busybox_root, shared)), tmp_path / "trace")


def test_a_launch_in_which_a_call_fails_is_refused_or_confined_as_ever(matrix: Matrix) -> None:
    outcomes = [matrix.attempt(fault) for fault in list(matrix.faults())]
    for (role, kind), count in sorted(Counter((one.fault.role, one.kind) for one in outcomes).items()):
        print(f"{role:6} {kind:10} {count:6}")
    wrong = [one for one in outcomes if one.kind not in {"refused", "same", "unreached"}]
    assert not wrong, "\n".join(map(str, wrong))
    assert sum(one.kind == "unreached" for one in outcomes) < len(outcomes) / 20
