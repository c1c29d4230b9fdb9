"""Holds of `supervisor inspect`: it tells the confinement that the kernel has in force, not the one that was declared."""

import json
import os
import resource
from typing import Any

import pytest

from tests.support.accounts import ALICE, GROUP, asked
from tests.support.running import Running, Supervise, job, shell

pytestmark = pytest.mark.kernel

FOREVER = "exec sleep 100000"
KEYS = {"seccomp": "unconfined", "capabilities": ["CHOWN", "KILL"]}


def confinement(running: Running, name: str) -> dict[str, Any]:
    running.state(name, "running")
    found: dict[str, Any] = json.loads(running.done("inspect", name, "--json"))["confinement"]
    return found


def test_what_it_tells_is_what_proc_tells(supervise: Supervise) -> None:
    mounts = [{"type": "bind", "source": "/usr/share", "target": "/srv/share", "options": ["ro", "nosuid"]}]
    # Not by way of a shell: the program would change while it is looked at.
    asleep = job("/bin/sleep", "100000", **KEYS, userns="host", mounts=mounts, rlimits={"nofile": 123})
    running = supervise({"one": asleep})
    told = confinement(running, "one")
    assert told["pid"] == running.of("one")["pid"]
    assert told["capabilities"]["effective"] == told["capabilities"]["bounding"] == ["CHOWN", "KILL"]
    assert told["no_new_privileges"] is True
    assert told["seccomp"]["mode"] == "none"
    for kind, link in (("mount", "mnt"), ("user", "user"), ("net", "net")):
        assert f"{link}:[{told['namespaces'][kind]['id']}]" == os.readlink(f"/proc/{told['pid']}/ns/{link}")
    shared = {kind for kind, about in told["namespaces"].items() if not about["own"]}
    assert {"user", *shared} == {"user", "time"} & {*told["namespaces"]}
    assert told["limits"]["nofile"] == {"soft": 123, "hard": 123}
    (share,) = [each for each in told["mounts"] if each["target"] == "/srv/share"]
    assert share["read_only"]
    assert "nosuid" in share["options"]
    assert told["cgroups"][""].endswith("/one")
    assert told["program"] == {"exe": os.readlink(f"/proc/{told['pid']}/exe"), "cwd": "/", "own_root": True}
    assert told["needs_root"] == []


def test_it_tells_what_is_in_force_though_something_else_was_declared(supervise: Supervise) -> None:
    running = supervise({"one": shell(FOREVER, rlimits={"nofile": 123})})
    resource.prlimit(running.state("one", "running")["pid"], resource.RLIMIT_NOFILE, (77, 99))
    assert confinement(running, "one")["limits"]["nofile"] == {"soft": 77, "hard": 99}
    shown = running.done("inspect", "one")
    assert "nofile=77/99" in shown
    assert "nofile 123" in shown  # the effective configuration is shown as before


def test_a_container_with_ids_of_its_own_is_told_with_both_names(supervise: Supervise) -> None:
    running = supervise({"one": shell(FOREVER, userns="private", user="5:6")})
    told = confinement(running, "one")
    (ids,) = told["id_maps"]["uid"]
    assert (ids["inside"], ids["count"]) == (0, 65536)
    assert (told["inside"]["uid"], told["inside"]["gid"]) == (5, 6)
    assert told["uid"]["effective"] == ids["outside"] + 5
    assert told["namespaces"]["user"]["own"] is True
    assert "  account: 5:6 inside, " in running.done("inspect", "one")


def test_without_root_it_tells_what_it_can_and_names_the_rest(supervise: Supervise) -> None:
    running = supervise.prepare({"one": shell(FOREVER)}, settings={"group": GROUP})
    running.short.chmod(0o755)
    running.start()
    done = asked(running, ALICE, (GROUP,), "inspect", "one", "--json")
    assert done.code == 0
    told = json.loads(done.said)["confinement"]
    assert told["needs_root"] == ["namespaces", "program"]
    assert (told["namespaces"], told["program"]) == (None, None)
    assert told["no_new_privileges"] is True
    assert told["mounts"]


def test_of_a_container_that_does_not_run_it_says_that(supervise: Supervise) -> None:
    running = supervise({"one": shell("exit 0")})
    running.state("one", "exited")
    assert json.loads(running.done("inspect", "one", "--json"))["confinement"] is None
    assert running.done("inspect", "one").splitlines()[-1] == "confinement: it does not run"
