"""Holds of the helper as a process: it can do and holds what launching needs, and a container reaches nothing of it."""

import os
from collections.abc import Callable

import pytest

from supervisor.helper.rights import NEEDED
from supervisor.kernel import caps
from tests.support.played import Played, descriptors, status_of
from tests.support.running import job, shell

pytestmark = pytest.mark.kernel

Play = Callable[..., Played]

FOR_EVER = job("/bin/sleep", "1000000")


def test_it_keeps_the_capabilities_that_launching_needs_and_no_other(played: Play) -> None:
    play = played({"live": FOR_EVER})
    status, own = status_of(play.pid), int(status_of(os.getpid())["CapPrm"], 16)
    needed = caps.mask(NEEDED)
    found = {key: int(status[key], 16) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert found == {
        "CapInh": 0, "CapPrm": needed & own, "CapEff": needed & own, "CapBnd": found["CapBnd"] & needed, "CapAmb": 0,
    }  # fmt: skip


def test_it_holds_no_descriptor_but_its_own(played: Play) -> None:
    play = played({"live": FOR_EVER})
    play.launch("live")
    play.until("started")
    play.settle()
    found = sorted(link.split(":")[0].removesuffix(" (deleted)") for link in descriptors(play.pid).values())
    folder = f"{play.runtime_dir}/containers/live"
    ends = [f"{folder}/{name}" for name in ("stdout", "stderr")]
    pidfds = ["anon_inode"] * 2
    sockets = ["socket"] * 5  # of the daemon, of two holders, of the zygote, and where commands are asked for
    own = ["/dev/null", str(play.said), str(play.said), "pipe", "pipe", *sockets]
    assert found == sorted([*own, *ends, *pidfds, "/memfd", "/memfd", "user", "net"])


#: In the machine's PID namespace, as its root, without capabilities.
REACH = """
for each in /proc/[0-9]*; do
    read -r words <$each/cmdline || :
    case $words in supervisor:*helper*) ;; *) continue ;; esac
    echo found
    for file in environ maps mem auxv; do cat $each/$file >/dev/null 2>&1 && echo reached $file; done
    for link in exe cwd root fd/0 fd/3 ns/mnt ns/user; do readlink $each/$link && echo reached $link; done
done
echo done
"""


def test_a_container_that_sees_it_reaches_nothing_of_it(played: Play) -> None:
    open_as_can_be = {"namespaces": ["mount"], "network": "host", "userns": "host"}
    play = played(
        {"one": shell(REACH, **open_as_can_be)}, environment={"PATH": os.environ["PATH"], "SECRET": "x"}
    )
    play.launch("one")
    ended = play.until("ended", "refused")
    found = play.output("one").decode().split("\n")
    assert (ended.what, found[0], found[-2:]) == ("ended", "found", ["done", ""]), play.report()
    assert not [line for line in found if "reached" in line or "/" in line], found
