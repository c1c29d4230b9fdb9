"""A launch is data: its steps keep their order whatever is declared, and stay below the new root."""

import stat

from hypothesis import given
from hypothesis import strategies as st

from supervisor.helper.accounts import Account
from supervisor.helper.asked import Visit
from supervisor.helper.inward import entering, visiting
from supervisor.helper.operations import segments, spelled
from supervisor.helper.protocol import Bind, Launch
from supervisor.helper.steps import Step, building, serving
from supervisor.helper.world import Site
from supervisor.kernel import mounts
from supervisor.kernel.image import CALL

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
FILTERS = (b"program.", b"second: ")
NODES = (("/dev/fuse", stat.S_IFCHR, 0x0AE5),)
ACCOUNTS = st.sampled_from([Account(0, 0, (0,), "/root"), Account(33, 33, (33, 50), "/var/www")])
ROOT = Account(0, 0, (0,), "/root")
#: Of the two, what has nothing to do with giving up rights.
BESIDE = {"introduce", "lead", "word"}


def root_of(launch: Launch, *, rootless: bool = False) -> tuple[Step, ...]:
    return building(launch, NODES if launch.devices else (), rootless=rootless)


def filters_of(launch: Launch) -> tuple[bytes, ...]:
    return FILTERS if launch.filter >= 0 else ()


def service_of(launch: Launch, account: Account = ROOT) -> tuple[Step, ...]:
    """All that is taken before the program begins, by PID 1 or by the service."""
    steps = serving(launch, filters_of(launch), account)
    return tuple(step for step in (*steps.service, *steps.child) if step.op not in BESIDE)


def ops(steps: tuple[Step, ...]) -> list[str]:
    return [step.op for step in steps]


def target_of(step: Step) -> str:
    """Where it mounts something, "" if it does not."""
    targets = {"mount-kernel": 1, "bind": 1, "tmpfs": 0}
    return str(step.args[targets[step.op]]) if step.op in targets else ""


@given(LAUNCHES, ACCOUNTS, st.booleans())
def test_every_step_is_a_program_and_its_segments_have_the_same_calls(
    launch: Launch, account: Account, rootless: bool
) -> None:
    site = SITE._replace(ids=launch.ids, rootless=rootless)
    steps = serving(launch, filters_of(launch), account)
    for one in (root_of(launch, rootless=rootless), *steps):
        calls = sum(len(segment.calls) for segment in segments(one, site)) // CALL
        assert calls == len(spelled(one, site)) >= len(one) - 1  # a container may have no v1 cgroup to join


@given(LAUNCHES, st.booleans())
def test_the_cgroup_is_joined_before_anything_else(launch: Launch, rootless: bool) -> None:
    assert ops(root_of(launch, rootless=rootless))[:3] == ["take-places", "join", "unshare"]


@given(LAUNCHES, st.booleans())
def test_mounts_are_private_from_the_first_and_none_follows_the_new_root(
    launch: Launch, rootless: bool
) -> None:
    names = ops(root_of(launch, rootless=rootless))
    assert names[3:5] == ["keyring", "private"]
    assert names[-1] == "enter"
    mounting = {"mount-kernel", "mount-dev", "tmpfs", "bind", "show", "dev", "node", "mask"}
    assert not mounting & set(ops(service_of(launch)))


@given(LAUNCHES, ACCOUNTS)
def test_identity_then_capabilities_then_nothing_but_the_program(launch: Launch, account: Account) -> None:
    names = ops(service_of(launch, account))
    after = names[names.index("capabilities") + 1 :]
    assert names.index("bounding") < names.index("become") < names.index("capabilities")
    waits = ["await-word"] if launch.init and not launch.spawn else []
    last = ["workdir", *waits, "exec"]
    assert [name for name in after if name not in {"no-new-privileges", "filter"}] == last
    assert ("no-new-privileges" in names) == launch.no_new_privileges


@given(LAUNCHES)
def test_nothing_but_exec_follows_the_filter_unless_it_needs_privileges_to_load(launch: Launch) -> None:
    names = ops(service_of(launch))
    assert ("filter" in names) == (launch.filter >= 0)
    if "filter" in names:
        after = names[names.index("filter") + 1]
        assert after in ({"await-word", "exec"} if launch.no_new_privileges else {"become"})


@given(LAUNCHES)
def test_no_program_begins_before_pid_1_has_nothing_left(launch: Launch) -> None:
    steps = serving(launch, filters_of(launch), ROOT)
    assert bool(steps.child) == bool(steps.init) == launch.init
    if launch.init and not launch.spawn:
        assert ops(steps.child)[-2:] == ["await-word", "exec"]
        given = ops(steps.init)
        assert max(map(given.index, ("bounding", "become", "capabilities"))) < given.index("give-word")
        assert ("filter" in given) == ("filter" in ops(steps.child))
        assert given[-2:] == ["give-word", "part"]


@given(LAUNCHES)
def test_the_hosts_privileges_end_before_an_identity_is_taken(launch: Launch) -> None:
    names = ops(service_of(launch))
    assert ("userns" in names) == ("own-ids" in ops(root_of(launch))) == (launch.ids >= 0)
    if launch.ids >= 0:
        assert names.index("output") < names.index("userns") < names.index("become")


@given(LAUNCHES)
def test_what_tells_of_the_machine_is_masked_before_anything_of_the_containers_is_mounted(
    launch: Launch,
) -> None:
    steps = root_of(launch)
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
    steps = service_of(launch)
    names = [step.args[0] for step in steps if step.op in {"rlimit", "lower-rlimit"}]
    assert len(names) == len(set(names))
    assert {"core", "nofile"} <= set(names)


@given(LAUNCHES, st.booleans())
def test_every_mount_target_is_an_absolute_path_below_the_new_root(launch: Launch, rootless: bool) -> None:
    for step in root_of(launch, rootless=rootless):
        if target := target_of(step):
            assert target.startswith("/")
            assert ".." not in target.split("/")


@given(LAUNCHES)
def test_a_read_only_bind_is_read_only_and_a_tmpfs_never_brings_devices(launch: Launch) -> None:
    for step in root_of(launch):
        if step.op == "bind":
            declared = next(bind for bind in launch.mounts if bind.target == step.args[1] and bind.source)
            assert bool(step.args[2] & mounts.RDONLY) == ("ro" in declared.options) or len(launch.mounts) > 1


@given(LAUNCHES)
def test_an_ordinary_user_is_shown_device_nodes_and_never_makes_one(launch: Launch) -> None:
    assert "node" not in ops(root_of(launch, rootless=True))
    assert "show-node" not in ops(root_of(launch))


@given(LAUNCHES)
def test_proc_and_sys_are_the_kernels_own_and_sys_is_read_only(launch: Launch) -> None:
    steps = root_of(launch)
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


@given(LAUNCHES, ACCOUNTS, VISITS)
def test_a_command_takes_every_step_that_its_service_took_in_the_same_order(
    launch: Launch, account: Account, visit: Visit
) -> None:
    command = entering(launch, filters_of(launch), visit, account)
    taken = [step for step in command if step.op not in {"own-session", "streams", "terminal"}]
    service = [
        step for step in service_of(launch, account) if step.op not in {"session", "output", "await-word"}
    ]
    assert taken[:-1] == service[:-1]
    assert (taken[-1].op, taken[-1].args[0]) == ("exec", visit.argv)


@given(LAUNCHES, VISITS)
def test_it_enters_every_namespace_its_container_has_but_the_users_which_comes_last(
    launch: Launch, visit: Visit
) -> None:
    steps = visiting(launch, visit)
    (entered,) = [step.args[0] for step in steps if step.op == "setns"]
    assert {*entered} == {*launch.namespaces} | ({"time"} if launch.time_offsets else set())
    assert ("userns" in ops(entering(launch, (), visit, ROOT))) == (launch.ids >= 0)
    assert ops(steps)[:3] == ["join", "keyring", "setns"]


@given(LAUNCHES, VISITS)
def test_a_terminal_is_opened_by_whom_the_command_will_be(launch: Launch, visit: Visit) -> None:
    names = ops(entering(launch, (b"program.",), visit, ROOT))
    assert ("terminal" in names) == visit.tty == ("streams" not in names)
    if visit.tty:
        assert names.index("capabilities") < names.index("terminal")
        assert names.index("terminal") < names.index("filter") or not launch.no_new_privileges


@given(LAUNCHES)
def test_a_network_of_its_own_is_there_before_sys_shows_it(launch: Launch) -> None:
    steps = root_of(launch)
    names = ops(steps)
    shown = next(i for i, step in enumerate(steps) if target_of(step) == "/sys")
    assert ("network" in names) == ("net" in launch.namespaces)
    if "network" in names:
        assert names.index("network") < shown
