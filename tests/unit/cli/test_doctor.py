"""Holds: what the doctor says of made-up hosts, that only what is needed makes it fail, that its text
fits 80 columns, and that looking at this machine works and changes nothing.
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from supervisor.cli import doctor
from supervisor.core.spec import Configuration, Container, Logs, Settings
from supervisor.kernel import caps, cgroup, namespaces
from supervisor.monitor.host import Host, look

V2 = "/sys/fs/cgroup"
PURE = Host(
    release="6.1.0-38-amd64",
    layout=cgroup.Layout(V2, V2, {}),
    controllers=frozenset({"cpu", "memory", "pids", "io"}),
    offered=frozenset({"cpu", "memory", "pids", "io"}),
    writable=True,
    namespaces=dict.fromkeys(namespaces.FLAGS, ""),
    filesystems=frozenset({"overlay"}),
    seccomp=True,
    capabilities=frozenset(caps.NAMES),
    hard={"nofile": 1 << 20},
)
V1 = {name: f"{V2}/{name}" for name in ("cpu", "memory", "pids", "blkio")}
HYBRID = replace(
    PURE,
    layout=cgroup.Layout(f"{V2}/unified", f"{V2}/unified", V1),
    controllers=frozenset(),
    offered=frozenset(),
)


def declare(*containers: Container) -> Configuration:
    return Configuration(Settings(Logs("/logs")), containers)


def web(**keys: object) -> Container:
    return replace(Container("web", "/srv", ("true",)), **keys)  # type: ignore[arg-type]


def found(host: Host, name: str, configuration: Configuration | None = None) -> doctor.Finding:
    return next(finding for finding in doctor.examine(host, configuration) if finding.name == name)


def lacking(host: Host, configuration: Configuration | None = None) -> list[str]:
    return [finding.name for finding in doctor.examine(host, configuration) if doctor.lacks(finding)]


def test_a_host_with_everything_lacks_nothing() -> None:
    assert all(finding.ok and not finding.cure for finding in doctor.examine(PURE))


def test_a_hybrid_host_runs_the_default_and_cannot_limit_memory() -> None:
    assert lacking(HYBRID) == []
    assert found(HYBRID, "controller cpu").found == "v1, /sys/fs/cgroup/cpu"
    memory = found(HYBRID, "controller memory")
    assert (memory.ok, memory.needed_by) == (False, "")
    assert "cgroup_no_v1=all" in memory.cure


def test_a_lack_counts_only_when_the_configuration_needs_it() -> None:
    limited = web(cgroup=(("pids.max", "10"), ("memory.max", "4096")))
    assert lacking(HYBRID, declare(web())) == []
    assert lacking(HYBRID, declare(limited)) == ["controller memory"]
    assert found(HYBRID, "controller memory", declare(limited)).needed_by == "web"


def test_a_cpu_key_that_v1_has_no_word_for_is_a_lack_on_a_hybrid_host() -> None:
    configuration = declare(web(cgroup=(("cpu.max.burst", "100"), ("cpu.max", "max 100000"))))
    assert lacking(HYBRID, configuration) == ["controller cpu"]
    assert "cpu.max.burst" in found(HYBRID, "controller cpu", configuration).found


def test_a_controller_that_was_not_delegated_is_told_from_one_the_kernel_lacks() -> None:
    inner = replace(PURE, layout=cgroup.Layout(V2, f"{V2}/user/me", {}), controllers=frozenset({"pids"}))
    assert found(inner, "controller cpu").cure == "echo +cpu > /sys/fs/cgroup/user/cgroup.subtree_control"
    assert "Delegate=yes" in found(replace(inner, systemd=True), "controller cpu").cure
    assert "cgroup_enable=memory" in found(replace(inner, offered=frozenset()), "controller memory").cure


@pytest.mark.parametrize(
    ("host", "name", "cure"),
    [
        (replace(PURE, release="5.10.0-30-amd64"), "kernel", "apt-get install linux-image-amd64"),
        (replace(PURE, release="odd"), "kernel", "apt-get install linux-image-amd64"),
        (replace(PURE, layout=cgroup.Layout("", "", V1)), "cgroup v2", "mount -t cgroup2"),
        (replace(PURE, writable=False), "cgroup v2", "remount,rw"),
        (replace(PURE, filesystems=frozenset()), "overlay", "modprobe overlay"),
        (replace(PURE, seccomp=False), "seccomp", "linux-image"),
        (replace(PURE, capabilities=frozenset({"CHOWN"})), "privileges", "systemd-run"),
        (
            replace(PURE, sysctls={"user.max_user_namespaces": "0"}),
            "namespace user",
            "user.max_user_namespaces=65536",
        ),
        (
            replace(PURE, uid=1000, sysctls={"kernel.unprivileged_userns_clone": "0"}),
            "namespace mount",
            "kernel.unprivileged_userns_clone=1",
        ),
    ],
)
def test_each_lack_names_what_mends_it(host: Host, name: str, cure: str) -> None:
    finding = found(host, name)
    assert doctor.lacks(finding)
    assert cure in finding.cure


def test_an_ordinary_user_is_neither_good_nor_bad() -> None:
    host = replace(PURE, uid=1000, capabilities=frozenset())
    assert found(host, "privileges").ok is None
    assert "privileges" not in lacking(host)


def test_cap_sys_resource_is_needed_only_to_go_above_the_own_hard_limit() -> None:
    host = replace(PURE, capabilities=PURE.capabilities - {"SYS_RESOURCE"}, hard={"nofile": 20_000})
    assert lacking(host, declare(web(rlimits=(("nofile", 20_000),)))) == []
    assert lacking(host, declare(web(rlimits=(("nofile", 20_001),)))) == ["CAP_SYS_RESOURCE"]


def test_a_thousand_containers_need_open_files() -> None:
    many = declare(*(web(name=f"web.{number}") for number in range(1000)))
    assert lacking(replace(PURE, hard={"nofile": 1024}), many) == ["open files"]
    assert lacking(replace(PURE, hard={"nofile": 20_000}), many) == []


def test_what_all_containers_need_is_said_so() -> None:
    configuration = declare(web(), web(name="db"), web(name="log", seccomp="unconfined"))
    assert found(PURE, "overlay", configuration).needed_by == doctor.EVERY
    assert found(PURE, "seccomp", configuration).needed_by == "web, db"


def test_the_text_fits_eighty_columns_and_ends_with_a_verdict() -> None:
    many = declare(
        *(web(name=f"a-rather-long-name.{number}", cgroup=(("memory.max", "1"),)) for number in range(40)),
        web(),
    )
    for host in (PURE, HYBRID, Host(), replace(HYBRID, uid=1000), replace(PURE, controllers=frozenset())):
        for configuration in (None, many):
            text = doctor.render(doctor.examine(host, configuration))
            assert [line for line in text.splitlines() if len(line) > 80] == []
            assert text.splitlines()[-1].endswith(".")


def test_json_has_every_finding() -> None:
    findings = doctor.examine(HYBRID)
    told = json.loads(doctor.as_json(findings))
    assert [entry["name"] for entry in told] == [finding.name for finding in findings]
    assert set(told[0]) == {"name", "ok", "found", "needed_by", "cure"}


def test_looking_at_this_machine_changes_nothing_of_this_process() -> None:
    before = {name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")}
    host = look()
    assert set(host.namespaces) == set(namespaces.FLAGS)
    assert host.release == os.uname().release
    assert before == {name: os.readlink(f"/proc/self/ns/{name}") for name in before}


def test_the_exit_code_tells_whether_something_needed_is_lacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "web.toml"
    config.write_text(
        '[container.web]\nrootfs = "host"\nuserns = "host"\ncommand = ["true"]\ncgroup.memory.max = "64MiB"\n'
    )
    monkeypatch.setattr(doctor, "look", lambda: HYBRID)
    assert doctor.run(None) == 0
    assert doctor.run(str(config)) == 1
    assert "Needed and lacking: controller memory." in capsys.readouterr().out
    monkeypatch.setattr(doctor, "look", lambda: PURE)
    assert doctor.run(str(config), json_output=True) == 0
    assert json.loads(capsys.readouterr().out)
