"""Holds of every container, told by tests/escape/probe.py inside it, with a dirty parent (tests/escape/dirty.py)
outside: nothing of high severity is open in a default one, nothing at all in a strict one, and what crun or bwrap
blocks by default is blocked. And holds of the probe: each check can say "open".
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.escape import host, sandboxes
from tests.escape.sandboxes import KINDS, Said
from tests.support.provide import setup

pytestmark = pytest.mark.kernel

#: As little confined as can be declared: most of what the probe tries succeeds here.
WEAK = {
    "userns": "host", "seccomp": "unconfined", "no_new_privileges": False, "network": "host",
    "namespaces": ["mount", "pid"], "capabilities": "SYS_ADMIN SYS_CHROOT SYS_PTRACE NET_RAW NET_ADMIN MKNOD".split(),
}  # fmt: skip

#: What no sandbox here can be made to have wrong, and so has not been seen open.
UNSEEN = {
    "dev_wrong_nodes",  # nobody gets them wrong
    "ids_differ",
    "mlock_unlimited",  # the three of them take CAP_SYS_RESOURCE, which the machine may lack
    "rlimit_nofile",
    "oom_score_adj_lowering",
}


@pytest.fixture(scope="module")
def outside(debian_root: Path) -> Iterator[host.Host]:
    with host.set_up(debian_root) as one:
        yield one


@pytest.fixture(scope="module")
def said(outside: host.Host, debian_root: Path) -> dict[str, Said]:
    """What the probe said in each kind of container, all of one supervisor."""
    return sandboxes.ours(outside, debian_root, KINDS)


@pytest.fixture(scope="module")
def unconfined(outside: host.Host) -> Said:
    return sandboxes.nothing(outside)


@pytest.fixture(scope="module")
def rivals(outside: host.Host, debian_root: Path) -> dict[str, Said | RuntimeError]:
    """What the probe said under others, or why one of them cannot run it on this machine."""
    setup("rivals")
    found: dict[str, Said | RuntimeError] = {}
    for name, run in (("crun", sandboxes.crun), ("bwrap", sandboxes.bwrap)):
        try:
            found[name] = run(outside, debian_root)
        except RuntimeError as error:
            found[name] = error
    return found


def openings(said: Said, severity: str = "") -> dict[str, str]:
    return {
        name: one["detail"]
        for name, one in said.items()
        if one["result"] == "open" and severity in {"", one["severity"]}
    }


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_high_severity_is_open(said: dict[str, Said], kind: str) -> None:
    assert openings(said[kind], "high") == {}


def test_nothing_at_all_is_open_to_a_user_without_capabilities_in_a_read_only_root(
    said: dict[str, Said],
) -> None:
    assert openings(said["strict"]) == {}


@pytest.mark.parametrize("name", ["crun", "bwrap"])
def test_what_a_rival_blocks_is_blocked(
    said: dict[str, Said], rivals: dict[str, Said | RuntimeError], name: str
) -> None:
    there = rivals[name]
    if isinstance(there, RuntimeError):
        pytest.skip(str(there))
    blocked = {check for check, one in there.items() if one["result"] == "blocked"}
    for kind in KINDS:
        ours = openings(said[kind])
        assert {check: ours[check] for check in ours.keys() & blocked} == {}, kind


def test_no_check_is_broken(said: dict[str, Said], unconfined: Said) -> None:
    broken = {
        (kind, name): one["detail"]
        for kind, checks in {**said, "no sandbox": unconfined}.items()
        for name, one in checks.items()
        if one["result"] == "broken"
    }
    assert broken == {}


def test_every_check_can_say_open(
    outside: host.Host, debian_root: Path, unconfined: Said, rivals: dict[str, Said | RuntimeError]
) -> None:
    weak = [unconfined, sandboxes.chroot(outside, debian_root)]
    weak += [said for said in rivals.values() if not isinstance(said, RuntimeError)]
    weak += sandboxes.ours(outside, debian_root, {"weak": WEAK}).values()
    seen = {name for said in weak for name in openings(said)}
    lacking = {name for name, one in unconfined.items() if one["result"] == "n/a"}
    assert unconfined.keys() - seen - lacking - UNSEEN == set()
