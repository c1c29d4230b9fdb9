"""The difference of two configurations says all of it, nothing else, and by which key."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.backoff import Backoff
from supervisor.core.plan import IN_PLACE, Plan, apply, diff, unchangeable
from supervisor.core.seccomp import Profile
from supervisor.core.spec import (
    Configuration,
    Container,
    Depends,
    Group,
    Health,
    Logs,
    Monitor,
    Mount,
    Output,
    Ready,
    Restart,
    Settings,
    Stop,
)
from supervisor.launcher.lower import lower

SETTINGS = Settings(Logs("/logs"))
WORD = st.sampled_from(["a", "b", "c", "d", "web.1", "web.2"])
PAIRS = st.dictionaries(WORD, WORD, max_size=3).map(lambda found: tuple(found.items()))


def containers() -> st.SearchStrategy[Container]:
    return st.builds(
        Container,
        name=WORD,
        rootfs=WORD,
        command=st.tuples(WORD),
        env=PAIRS,
        cgroup=PAIRS,
        seccomp=st.sampled_from(["default", "/profile"]),
        mounts=st.lists(st.builds(Mount, type=st.just("tmpfs"), target=WORD), max_size=2).map(tuple),
        restart=st.builds(Restart, policy=st.sampled_from(["always", "never"])),
        stop=st.builds(Stop, timeout=st.floats(0, 10)),
        ready=st.none() | st.builds(Ready, type=st.just("http"), subject=WORD),
        output=st.builds(Output, format=st.sampled_from(["text", "json"])),
    )


def _name(one: Container | Group) -> str:
    return one.name


def configurations() -> st.SearchStrategy[Configuration]:
    return st.builds(
        Configuration,
        settings=st.builds(
            Settings, logs=st.builds(Logs, dir=WORD), monitor=st.builds(Monitor, interval=st.floats(0, 9))
        ),
        containers=st.lists(containers(), unique_by=_name, max_size=5).map(tuple),
        groups=st.lists(
            st.builds(Group, name=WORD, members=st.tuples(WORD)), unique_by=_name, max_size=2
        ).map(tuple),
        notes=st.lists(WORD, max_size=1).map(tuple),
        seccomp=st.sampled_from([(), (("/profile", Profile("SCMP_ACT_ALLOW")),)]),
    )


@given(configurations(), configurations())
def test_a_difference_applied_to_the_old_gives_the_new(old: Configuration, new: Configuration) -> None:
    assert apply(diff(old, new), old) == new


@given(configurations())
def test_nothing_differs_from_itself(one: Configuration) -> None:
    assert diff(one, one) == Plan()
    assert diff(one, one).empty


@given(configurations(), configurations())
def test_every_container_is_in_one_part_of_a_plan_at_most_and_each_change_has_a_key(
    old: Configuration, new: Configuration
) -> None:
    plan = diff(old, new)
    changes = (*plan.restarted, *plan.changed)
    names = [one.name for one in plan.added] + [one.name for one in changes] + list(plan.removed)
    assert len(names) == len(set(names))
    assert all(change.keys for change in changes)
    assert not any(change.keys[0].partition(".")[0] in IN_PLACE for change in plan.restarted)


def of(*given: Container) -> Configuration:
    return Configuration(SETTINGS, given)


WEB = Container("web", "/srv", ("/bin/web",), service="web", cgroup=(("cpu.max", "10000 100000"),))


@pytest.mark.parametrize(
    ("after", "key"),
    [
        ({"cgroup": (("cpu.max", "20000 100000"),)}, "cgroup.cpu.max"),
        ({"cgroup": ()}, "cgroup.cpu.max"),
        ({"restart": Restart("always", backoff=Backoff(max=1.0))}, "restart.policy"),
        ({"restart": Restart(backoff=Backoff(max=1.0))}, "restart.backoff.max"),
        ({"stop": Stop("SIGINT")}, "stop.signal"),
        ({"depends": Depends(("db",))}, "depends.after"),
        ({"ready": Ready("tcp", "127.0.0.1:80")}, "ready"),
        ({"health": Health("http", "http://127.0.0.1")}, "health"),
        ({"output": Output("json")}, "output.format"),
    ],
)
def test_what_is_read_again_while_it_runs_is_changed_in_place(after: dict[str, Any], key: str) -> None:
    plan = diff(of(WEB), of(replace(WEB, **after)))
    assert (plan.restarted, plan.added, plan.removed) == ((), (), ())
    assert plan.changed[0].keys[0] == key


@pytest.mark.parametrize(
    ("after", "key"),
    [
        ({"command": ("/bin/other",)}, "command"),
        ({"env": (("A", "1"),)}, "env.A"),
        ({"rlimits": (("nofile", 9),)}, "rlimits.nofile"),
        ({"mounts": (Mount("tmpfs", "/t"),)}, "mounts"),
        ({"user": "1:1"}, "user"),
        ({"init": False}, "init"),
    ],
)
def test_what_a_launch_is_made_of_forces_a_restart(after: dict[str, Any], key: str) -> None:
    # The limits change with it: the reason for the restart is the other key.
    plan = diff(of(WEB), of(replace(WEB, cgroup=(), **after)))
    assert [(change.name, change.keys) for change in plan.restarted] == [("web", (key,))]
    assert plan.changed == ()


def test_another_probe_of_the_same_type_is_named_as_the_files_name_it() -> None:
    old, new = (replace(WEB, ready=Ready("http", url)) for url in ("http://one", "http://two"))
    assert diff(of(old), of(new)).changed[0].keys == ("ready.url",)


#: Another value of each field that is in no launch by itself, or that needs a fitting one.
OTHERS: dict[str, Any] = {
    "name": "other", "rootfs": "/other", "command": ("/other",), "service": "we", "rootfs_mode": "direct",
    "user": "7:7", "groups": ("7",), "workdir": "/w", "env": (("A", "b"),), "hostname": "h", "init": False,
    "namespaces": ("mount",), "network": "host", "userns": "host", "capabilities": ("CHOWN",),
    "no_new_privileges": False, "rlimits": (("nofile", 1),), "time_offsets": (("boottime", 1.0),),
    "devices": ("/dev/fuse",), "mounts": (Mount("tmpfs", "/t"),),
}  # fmt: skip


@pytest.mark.parametrize("field", [one.name for one in fields(Container)])
def test_every_key_either_is_in_the_launch_and_restarts_or_is_read_again(field: str) -> None:
    """A new key of a container must come into OTHERS (it restarts) or into core.plan.IN_PLACE (it does not)."""
    if field in IN_PLACE or field == "seccomp":  # a filter is compiled from this one, beside the launch
        assert field not in OTHERS
        return
    assert lower(WEB) != lower(replace(WEB, **{field: OTHERS[field]}))


def test_another_profile_under_the_same_path_restarts_who_uses_it() -> None:
    one, two = (Profile(action) for action in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG"))
    uses, other = replace(WEB, seccomp="/profile"), replace(WEB, name="other")
    old, new = (Configuration(SETTINGS, (uses, other), seccomp=(("/profile", each),)) for each in (one, two))
    assert [(change.name, change.keys) for change in diff(old, new).restarted] == [("web", ("seccomp",))]


@pytest.mark.parametrize(
    ("after", "key"),
    [
        ({"runtime_dir": "/run/other"}, "runtime_dir"),
        ({"user": "daemon"}, "user"),
        ({"group": 7}, "group"),
        ({"id_pool": (1, 65536)}, "id_pool"),
        ({"logs": Logs("/other")}, "logs.dir"),
    ],
)
def test_what_only_a_new_start_can_take_up_is_named(after: dict[str, Any], key: str) -> None:
    assert unchangeable(SETTINGS, replace(SETTINGS, **after)) == (key,)


def test_monitoring_and_segments_change_while_the_supervisor_runs() -> None:
    after = replace(SETTINGS, monitor=Monitor(interval=9.0), logs=Logs("/logs", segment=1 << 20))
    assert unchangeable(SETTINGS, after) == ()
    plan = diff(Configuration(SETTINGS), Configuration(after))
    assert set(plan.settings) == {"monitor.interval", "logs.segment"}
    assert not plan.empty


def test_a_change_of_a_group_is_named() -> None:
    old, new = (
        Configuration(SETTINGS, groups=(Group("app", ("a",), each),))
        for each in ("one_for_one", "one_for_all")
    )
    assert diff(old, new).settings == ("group.app.strategy",)
