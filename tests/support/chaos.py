"""Rounds of SIGKILL for the parts of a supervisor at random moments, while containers flood their logs and end by themselves,
and somebody restarts, stops and starts some and changes the files. What must hold in the end is `Chaos.check`.

All that is random comes from one seed; what the kernel makes of it does not.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from supervisor.api.call import Call
from supervisor.errors import RequestError
from tests.support.killing import alive, daemon, holders, kill_both, kill_helper
from tests.support.numbers import Counting, records
from tests.support.running import Running, shell, table

#: Numbers for ever, in bursts, on both streams; ends well when it is asked to.
FLOOD = """
trap 'exit 0' TERM
i=0
while :; do
    n=0
    while [ $n -lt 50 ]; do i=$((i + 1)); n=$((n + 1)); echo $i; echo $i >&2; done
    sleep PACE
done
"""
#: Between two bursts.
PACE = "0.02"
#: Says how it is going to end, and ends so.
MORTAL = """
n=$(($(od -An -N1 -tu1 /dev/urandom) % 215))
sleep 0.$n
echo $n
[ $n -lt 200 ] && exit $n
kill -$((n - 199)) $$
"""
AGAIN = {"policy": "always", "backoff": {"initial": "20ms", "factor": 1.0, "max": "20ms", "jitter": 0.0}}
CAP = {"cgroup": {"cpu.max": "20%"}}


def flood(pace: str = PACE) -> dict[str, Any]:
    return shell(FLOOD.replace("PACE", pace), **CAP)


def steady(count: int, pace: str = PACE) -> dict[str, dict[str, Any]]:
    """What nobody touches."""
    found: dict[str, dict[str, Any]] = {f"flood{n}": flood(pace) for n in (1, 2)}
    return found | {f"still{n}": shell("exec sleep 100000") for n in range(1, count + 1)}


def restless(pace: str = PACE) -> dict[str, dict[str, Any]]:
    """What ends by itself, or is told to."""
    mortals: dict[str, dict[str, Any]] = {f"mortal{n}": shell(MORTAL, restart=AGAIN) for n in (1, 2)}
    return mortals | {f"told{n}": flood(pace) for n in (1, 2)}


class Chaos:
    """Of a supervisor whose files declare steady() and restless()."""

    #: Of the test's own.
    mounts = 0

    def __init__(self, running: Running, seed: int, count: int, pace: str = PACE) -> None:
        self.running, self.random, self.pace = running, random.Random(seed), pace
        self.untouched = list(steady(count))
        self.extra = False
        self.done: Counter[str] = Counter()
        self.asked: list[Call] = []
        self.declared = dict(steady(count, pace) | restless(pace))
        self.pids = {name: running.state(name, "running")["pid"] for name in self.untouched}
        self.actions: dict[str, Callable[[], object]] = {
            "nothing": lambda: None,
            "restart": lambda: self._ask("restart"),
            "stop": lambda: self._ask("stop"),
            "start": lambda: self._ask("start"),
            "change the files": self._change,
            "kill a service": self._kill_service,
        }
        self.victims: dict[str, Callable[[], None]] = {
            "daemon": self._kill_daemon,
            "helper": self._kill_helper,
            "both": self._kill_both,
            "both and a holder": self._kill_three,
        }

    # ── one round ──────────────────────────────────────────────────────────────────────

    def round(self) -> None:
        """Something is asked for, somebody is killed, and everything goes on."""
        action = self.random.choice(list(self.actions))
        victim = self.random.choice(list(self.victims))
        with suppress(RequestError):  # nobody was there to hear it
            self.actions[action]()
        self._sleep(0.15)
        self.victims[victim]()
        self.done[action] += 1
        self.done[victim] += 1
        self.running.until_answering()
        for call in self.asked:  # whoever was to answer may be dead
            call.sock.close()
        self.asked.clear()
        for name, pid in self.pids.items():
            assert alive(pid), f"{name} has ended\n{self.running.report()}"

    def _sleep(self, most: float) -> None:
        time.sleep(self.random.uniform(0.0, most))

    def _ask(self, what: str) -> None:
        name = self.random.choice(("told1", "told2"))
        path = f"/v1/containers/{name}/{what}"
        self.asked.append(Call(str(self.running.runtime_dir), "POST", path, timeout=1.0))

    def _change(self) -> None:
        """One container more or less, and another limit for one that lives."""
        self.extra = not self.extra
        self.declared.pop("extra", None)
        if self.extra:
            self.declared["extra"] = flood(self.pace)
        weight = self.random.randint(50, 150)
        self.declared["still1"] = {**self.declared["still1"], "cgroup": {"cpu.weight": weight}}
        write(self.running, self.declared)
        if self.running.process:
            self.running.process.send_signal(signal.SIGHUP)

    def _kill_service(self) -> None:
        name = self.random.choice(("told1", "told2"))
        if pid := self.running.of(name)["pid"]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # ── who dies ───────────────────────────────────────────────────────────────────────

    def _kill_daemon(self) -> None:
        os.kill(daemon(self.running), signal.SIGKILL)

    def _kill_helper(self) -> None:
        kill_helper(self.running)
        self._sleep(0.15)
        self._start()

    def _kill_both(self) -> None:
        both = [daemon(self.running)]
        self.random.shuffle(both)
        for pid in both:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._kill_helper()

    def _kill_three(self) -> None:
        """At once; a container that ends in this moment has nobody but the other holder to keep what it said."""
        kill_both(self.running, self.random.choice(holders(self.running)))
        self._sleep(0.15)
        self._start()

    def _start(self) -> None:
        """Every third is killed once more before it has come far."""
        self.running.begin()
        if self.random.random() < 1 / 3:
            self._sleep(1.0)
            kill_helper(self.running)
            self.running.begin()

    # ── in the end ─────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        """Everything that must hold, once nothing is under way."""
        running = self.running
        running.until_answering()
        running.until(lambda: running.call("reload").returncode == 0, "the files are read")
        running.until(lambda: {one["name"] for one in running.status()} == set(self.declared), "the files")
        assert {name: running.of(name)["pid"] for name in self.untouched} == self.pids, running.report()
        names = [name for name in self.declared if not name.startswith("still")]
        for name in names:
            running.done("stop", name)
        for name in ("flood1", "flood2", "told1", "told2", "extra"):
            if (running.log_dir / name).exists():
                self.check_lines(name)
        for name in ("mortal1", "mortal2"):
            self.check_ends(name)
        assert running.of("flood1")["exit"]["code"] == 0
        # One that is stopped in the middle of its launch has failed it, as asked.
        failed = [one for one in running.events("container.launch_failed") if one["decision"] != "as asked"]
        assert not failed, f"{failed}\n{running.report()}"
        assert not running.events("supervisor.bug"), running.report()
        self.check_leaks()

    def check_lines(self, name: str) -> None:
        """Each number once and in order, in every run and stream."""

        def read() -> Counting | None:
            counting = Counting(name)
            with suppress(FileNotFoundError):
                for one in records(self.running.log_dir / name):
                    counting.take(one)
                return counting
            return None

        self.running.until(read, f"the segments of {name}")

    def check_ends(self, name: str) -> None:
        """Each run ended once, as it said it would."""
        said = {one["run"]: int(one["line"]) for one in self.running.logs(name, "stdout")}
        ends = self.running.events("container.exited", name)
        assert max(Counter(one["run"] for one in ends).values()) == 1, f"{name}: told twice"
        last = self.running.of(name)["run"]
        for one in ends:
            if one["reason"] in {"exit", "signal"}:
                assert one["run"] in said, f"{name}: {one}, and said nothing\n{self.running.report()}"
                wanted = said[one["run"]]
                code, number = (wanted, None) if wanted < 200 else (None, wanted - 199)
                assert (one["code"], one["signal"]) == (code, number), f"{name}: {one}, said {wanted}"
        missing = set(range(1, last)) - {one["run"] for one in ends}
        assert not missing, f"{name}: nothing is told of the end of {missing}\n{self.running.report()}"

    def check_leaks(self) -> None:
        """The helper holds no more than one that has only just come; nothing lies about."""
        running = self.running
        mine = {name for name in self.declared if name.startswith("still")}
        running.until(lambda: set(os.listdir(running.runtime_dir / "containers")) == mine, "FIFOs are gone")
        groups = {one.name for one in running.cgroups() if one.parent.name == running.subtree}
        assert {name for name in groups if not name.startswith("_")} == mine
        assert len([name for name in groups if name.startswith("_holder")]) == 2, groups
        assert len(running.left_mounts()) == self.mounts
        before = self._descriptors()
        self._kill_helper()
        running.until_answering()
        running.until(lambda: before <= self._descriptors() + len(mine) + 6, f"no more than {before} files")

    def _descriptors(self) -> int:
        assert self.running.process
        return len(os.listdir(f"/proc/{self.running.process.pid}/fd"))


def write(running: Running, containers: Mapping[str, Mapping[str, Any]]) -> None:
    """New files in place of the old, at once."""
    path = running.configs / "all.toml"
    head = path.read_text().partition("[container.")[0]
    aside = Path(f"{path}.new")
    aside.write_text(head + "\n".join(table(f"container.{name}", keys) for name, keys in containers.items()))
    aside.rename(path)
