"""A launch is data: its steps keep their order whatever is declared, and stay below the new root."""

from hypothesis import given
from hypothesis import strategies as st

from supervisor.helper.operations import OPERATIONS
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
    rootfs_mode=st.sampled_from(["overlay", "direct", "read-only"]),
    user=st.sampled_from(["0:0", "www-data"]),
    groups=st.just(()),
    workdir=st.just("/"),
    hostname=st.just("web"),
    init=st.booleans(),
    namespaces=NAMESPACES,
    mounts=st.lists(BINDS, max_size=3).map(tuple),
    capabilities=st.sampled_from([(), ("CHOWN",)]),
    no_new_privileges=st.booleans(),
    rlimits=st.sampled_from([(), (("nofile", 64),)]),
    cgroup=st.just((("pids.max", "7"),)),
)


def ops(steps: tuple[Step, ...]) -> list[str]:
    return [step.op for step in steps]


@given(LAUNCHES, st.booleans())
def test_every_step_names_an_operation_that_exists(launch: Launch, rootless: bool) -> None:
    for part in plan(launch, rootless=rootless):
        assert set(ops(part)) <= OPERATIONS.keys()


@given(LAUNCHES, st.booleans())
def test_the_cgroup_is_joined_before_anything_else(launch: Launch, rootless: bool) -> None:
    assert ops(plan(launch, rootless=rootless).outer) == ["join", "unshare"]


@given(LAUNCHES, st.booleans())
def test_mounts_are_private_from_the_first_and_none_follows_the_new_root(
    launch: Launch, rootless: bool
) -> None:
    steps = plan(launch, rootless=rootless)
    assert ops(steps.inner)[0] == "private"
    assert ops(steps.inner)[-2:] == ["enter", "lookup"]
    assert not {"mount", "bind", "show", "dev", "node"} & set(ops(steps.service))


@given(LAUNCHES, st.booleans())
def test_identity_then_capabilities_then_nothing_but_the_program(launch: Launch, rootless: bool) -> None:
    names = ops(plan(launch, rootless=rootless).service)
    after = names[names.index("capabilities") + 1 :]
    assert names.index("bounding") < names.index("become") < names.index("capabilities")
    assert [name for name in after if name != "no-new-privileges"] == ["workdir", "exec"]
    assert ("no-new-privileges" in names) == launch.no_new_privileges


@given(LAUNCHES, st.booleans())
def test_every_mount_target_is_an_absolute_path_below_the_new_root(launch: Launch, rootless: bool) -> None:
    for step in plan(launch, rootless=rootless).inner:
        if step.op in {"mount", "bind"}:
            target = step.args[1]
            assert target.startswith("/")
            assert ".." not in target.split("/")


@given(LAUNCHES)
def test_a_read_only_bind_is_read_only_and_a_tmpfs_never_brings_devices(launch: Launch) -> None:
    for step in plan(launch, rootless=False).inner:
        if step.op == "bind":
            declared = next(bind for bind in launch.mounts if bind.target == step.args[1] and bind.source)
            assert bool(step.args[2] & mounts.RDONLY) == ("ro" in declared.options) or len(launch.mounts) > 1


@given(LAUNCHES)
def test_an_ordinary_user_is_shown_device_nodes_and_never_makes_one(launch: Launch) -> None:
    assert "node" not in ops(plan(launch, rootless=True).inner)
    assert "show-node" not in ops(plan(launch, rootless=False).inner)


@given(LAUNCHES)
def test_proc_and_sys_are_the_kernels_own_and_sys_is_read_only(launch: Launch) -> None:
    made = {step.args[1]: step.args for step in plan(launch, rootless=False).inner if step.op == "mount"}
    assert made["/proc"][0] == "proc"
    assert made["/sys"][3] & mounts.RDONLY
