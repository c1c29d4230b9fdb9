"""A launch is data: its steps keep their order whatever is declared, and stay below the new root."""

from collections.abc import Iterable
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from supervisor.helper.asked import Visit
from supervisor.helper.inward import visiting
from supervisor.helper.operations import Task, prepare, prepare_launch
from supervisor.helper.programs import Site
from supervisor.helper.protocol import Bind, Launch
from supervisor.helper.steps import Step, plan
from supervisor.kernel import mounts

WORDS = st.sampled_from([*mounts.SET, *mounts.CLEAR, "size=65536", "mode=755"])
BINDS = st.builds(
    Bind,
    st.sampled_from(["", "/srv/www"]),
    st.sampled_from(["/data", "/a/b"]),
    st.lists(WORDS, max_size=4).map(tuple),
)
NAMESPACES = st.lists(st.sampled_from(["mount", "pid", "uts", "ipc", "cgroup", "net"]), unique=True).map(
    lambda names: tuple({"mount", *names})
)
LAUNCHES = st.builds(
    Launch,
    name=st.just("web"),
    argv=st.just(("/bin/true",)),
    env=st.just((("PATH", "/bin"),)),
    rootfs=st.sampled_from(["host", "/srv/debian"]),
    rootfs_mode=st.sampled_from(["overlay", "persistent", "direct", "read-only"]),
    user=st.sampled_from(["0:0", "www-data"]),
    groups=st.just(()),
    workdir=st.just("/"),
    hostname=st.just("web"),
    init=st.booleans(),
    namespaces=NAMESPACES,
    mounts=st.lists(BINDS, max_size=3).map(tuple),
    capabilities=st.sampled_from([(), ("CHOWN",)]),
    no_new_privileges=st.booleans(),
    rlimits=st.sampled_from([(), (("nofile", 64, 64),)]),
    cgroup=st.just((("pids.max", "7"),)),
    devices=st.sampled_from([(), ("/dev/fuse",)]),
    ids=st.sampled_from([-1, 524288]),
    layer=st.just("/var/lib/layer"),
    filter=st.sampled_from([-1, 0]),
    time_offsets=st.sampled_from([(), (("boottime", 5),)]),
    spawn=st.booleans(),
).map(lambda launch: launch._replace(spawn=launch.spawn and launch.init))
SITE = Site("/run/supervisor/root", folders=("/sys/fs/cgroup/cpu/web",), limits=(("nofile", 20000),))
FILTERS = ((b"program.", b"second: "),)
#: Before its exec a service that PID 1 has forked waits for it.
FORKED: dict[bool, list[str]] = {True: ["await-init"], False: []}


def ops(steps: tuple[Step, ...]) -> list[str]:
    return [step.op for step in steps]


def target_of(step: Step) -> str:
    """Where it mounts something, "" if it does not."""
    targets = {"mount-kernel": 1, "bind": 1, "tmpfs": 0}
    return str(step.args[targets[step.op]]) if step.op in targets else ""


def in_turn(stages: Iterable[str]) -> list[str]:
    """Without those that repeat the one before."""
    return [stage for stage, _ in groupby(stages)]


def stages_of(tasks: tuple[Task, ...]) -> list[str]:
    return in_turn(stage for task in tasks for stage in task.stages or (task.stage,))


@given(LAUNCHES, st.booleans())
def test_every_step_can_be_made_ready(launch: Launch, rootless: bool) -> None:
    steps = plan(launch, FILTERS, rootless=rootless)
    ready = prepare_launch(steps, SITE._replace(ids=launch.ids))
    for made, wanted in (
        (ready.first, steps.first),
        (ready.root, steps.root),
        (ready.service, steps.service),
    ):
        assert stages_of(made) == in_turn(step.stage for step in wanted)
    assert ready.spawns == (steps.service[-1].op == "spawn")


@given(LAUNCHES, st.booleans())
def test_the_cgroup_is_joined_before_anything_else(launch: Launch, rootless: bool) -> None:
    assert ops(plan(launch, FILTERS, rootless=rootless).first)[:2] == ["join", "unshare"]


@given(LAUNCHES, st.booleans())
def test_mounts_are_private_from_the_first_and_none_follows_the_new_root(
    launch: Launch, rootless: bool
) -> None:
    steps = plan(launch, FILTERS, rootless=rootless)
    assert ops(steps.first)[2:4] == ["keyring", "private"]
    assert ops(steps.root)[-2:] == ["enter", "lookup"]
    assert not {"mount-kernel", "mount-dev", "tmpfs", "bind", "show", "dev", "node", "mask"} & set(
        ops(steps.service)
    )


@given(LAUNCHES, st.booleans())
def test_identity_then_capabilities_then_nothing_but_the_program(launch: Launch, rootless: bool) -> None:
    names = ops(plan(launch, FILTERS, rootless=rootless).service)
    after = names[names.index("capabilities") + 1 :]
    assert names.index("bounding") < names.index("become") < names.index("capabilities")
    last = ["workdir", "spawn"] if launch.spawn else ["workdir", *FORKED[launch.init], "exec"]
    assert [name for name in after if name not in {"no-new-privileges", "filter"}] == last
    assert ("no-new-privileges" in names) == launch.no_new_privileges


@given(LAUNCHES, st.booleans())
def test_nothing_but_exec_follows_the_filter_unless_it_needs_privileges_to_load(
    launch: Launch, rootless: bool
) -> None:
    steps = plan(launch, FILTERS, rootless=rootless)
    names = ops(steps.service)
    assert ("filter" in names) == (launch.filter >= 0) == bool(steps.filters)
    if "filter" in names:
        last = "spawn" if launch.spawn else [*FORKED[launch.init], "exec"][0]
        before = last if launch.no_new_privileges else "become"
        assert names[names.index("filter") + 1] == before


@given(LAUNCHES)
def test_the_hosts_privileges_end_before_an_identity_is_taken(launch: Launch) -> None:
    steps = plan(launch, FILTERS, rootless=False)
    assert ("userns" in ops(steps.service)) == ("own-ids" in ops(steps.root)) == (launch.ids >= 0)
    if launch.ids >= 0:
        names = ops(steps.service)
        assert names.index("output") < names.index("userns") < names.index("become")


@given(LAUNCHES)
def test_what_tells_of_the_machine_is_masked_before_anything_of_the_containers_is_mounted(
    launch: Launch,
) -> None:
    steps = plan(launch, FILTERS, rootless=False).root
    masked = [
        f"{step.args[0]}/{name.rstrip('/')}" for step in steps if step.op == "mask" for name in step.args[1]
    ]
    assert {"/proc/kcore", "/proc/keys", "/sys/firmware", "/sys/kernel"} <= set(masked)
    targets = [bind.target for bind in launch.mounts]
    declared = [i for i, step in enumerate(steps) if target_of(step) in targets]
    assert max(i for i, one in enumerate(ops(steps)) if one in {"mask", "protect"}) < min([*declared, 999])


@given(LAUNCHES)
def test_a_limit_that_is_declared_is_set_as_declared_and_every_other_default_is_lowered(
    launch: Launch,
) -> None:
    steps = plan(launch, FILTERS, rootless=False).service
    names = [step.args[0] for step in steps if step.op in {"rlimit", "lower-rlimit"}]
    assert len(names) == len(set(names))
    assert {"core", "nofile"} <= set(names)


@given(LAUNCHES, st.booleans())
def test_every_mount_target_is_an_absolute_path_below_the_new_root(launch: Launch, rootless: bool) -> None:
    for step in plan(launch, FILTERS, rootless=rootless).root:
        if target := target_of(step):
            assert target.startswith("/")
            assert ".." not in target.split("/")


@given(LAUNCHES)
def test_a_read_only_bind_is_read_only_and_a_tmpfs_never_brings_devices(launch: Launch) -> None:
    for step in plan(launch, FILTERS, rootless=False).root:
        if step.op == "bind":
            declared = next(bind for bind in launch.mounts if bind.target == step.args[1] and bind.source)
            assert bool(step.args[2] & mounts.RDONLY) == ("ro" in declared.options) or len(launch.mounts) > 1


@given(LAUNCHES)
def test_an_ordinary_user_is_shown_device_nodes_and_never_makes_one(launch: Launch) -> None:
    assert "node" not in ops(plan(launch, FILTERS, rootless=True).root)
    assert "show-node" not in ops(plan(launch, FILTERS, rootless=False).root)


@given(LAUNCHES)
def test_proc_and_sys_are_the_kernels_own_and_sys_is_read_only(launch: Launch) -> None:
    steps = plan(launch, FILTERS, rootless=False).root
    made = {step.args[1]: step.args for step in steps if step.op == "mount-kernel"}
    assert made["/proc"][0] == "proc"
    assert made["/sys"][2] & mounts.RDONLY


# ── a command in what lives already ────────────────────────────────────────────────────

VISITS = st.builds(
    Visit,
    st.just("web"),
    st.just(("/bin/ls",)),
    st.booleans(),
    st.just(24),
    st.just(80),
    st.sampled_from(["", "vt100"]),
)


@given(LAUNCHES, VISITS)
def test_a_command_takes_every_step_that_its_service_took_in_the_same_order(
    launch: Launch, visit: Visit
) -> None:
    service = plan(launch, FILTERS, rootless=False).service
    programs = plan(launch, FILTERS, rootless=False).filters
    steps = visiting(launch, programs, visit)
    taken = steps.visitor + steps.command
    assert stages_of(prepare(taken, SITE)) == in_turn(step.stage for step in taken)
    own = {"lookup", "own-session", "streams", "terminal"}
    taken = tuple(step for step in steps.command if step.op not in own)
    assert (
        list(taken[:-1])
        == [step for step in service if step.op not in {"session", "output", "await-init"}][:-1]
    )
    assert (taken[-1].op, taken[-1].args[0]) == ("exec", visit.argv)


@given(LAUNCHES, VISITS)
def test_it_enters_every_namespace_its_container_has_but_the_users_which_comes_last(
    launch: Launch, visit: Visit
) -> None:
    steps = visiting(launch, (), visit)
    (entered,) = [step.args[0] for step in steps.visitor if step.op == "setns"]
    assert {*entered} == {*launch.namespaces} | ({"time"} if launch.time_offsets else set())
    assert ("userns" in ops(steps.command)) == (launch.ids >= 0)
    assert ops(steps.visitor)[:3] == ["join", "keyring", "setns"]


@given(LAUNCHES, VISITS)
def test_a_terminal_is_opened_by_whom_the_command_will_be(launch: Launch, visit: Visit) -> None:
    names = ops(visiting(launch, (b"program.",), visit).command)
    assert ("terminal" in names) == visit.tty == ("streams" not in names)
    if visit.tty:
        assert names.index("capabilities") < names.index("terminal")
        assert names.index("terminal") < names.index("filter") or not launch.no_new_privileges


@given(LAUNCHES)
def test_a_network_of_its_own_is_there_before_sys_shows_it(launch: Launch) -> None:
    steps = plan(launch, FILTERS, rootless=False)
    names = ops(steps.root)
    shown = next(i for i, step in enumerate(steps.root) if target_of(step) == "/sys")
    if "net" not in launch.namespaces:
        assert not {"join-network", "network"} & set(names + ops(steps.aside))
    elif launch.init and not launch.spawn:
        assert ops(steps.aside) == ["network"]
        assert names.index("join-network") < shown
    else:
        assert names.index("network") < shown
