"""A spec is lowered to a launch that grants no more than was declared."""

from supervisor.core.spec import Container, Mount
from supervisor.helper.protocol import Bind
from supervisor.launcher.lower import environment, lower

WEB = Container(name="web", rootfs="/srv", command=("/bin/web",), service="web", userns="host")


def test_a_container_without_a_network_gets_a_namespace_for_it() -> None:
    assert "net" in lower(WEB).namespaces


def test_a_container_on_the_hosts_network_gets_none() -> None:
    launch = lower(Container(name="web", rootfs="/srv", command=("x",), network="host", userns="host"))
    assert "net" not in launch.namespaces


def test_without_a_user_namespace_the_default_is_no_capability() -> None:
    assert lower(WEB).capabilities == ()


def test_declared_capabilities_are_taken_exactly() -> None:
    spec = Container(name="web", rootfs="/srv", command=("x",), userns="host", capabilities=("CHOWN",))
    assert lower(spec).capabilities == ("CHOWN",)


def test_the_environment_holds_what_is_set_and_what_is_declared_and_nothing_else() -> None:
    spec = Container(
        name="web", rootfs="/", command=("x",), service="web", env=(("LANG", "C"), ("PATH", "/x"))
    )
    assert dict(environment(spec)) == {
        "PATH": "/x", "HOSTNAME": "web", "SUPERVISOR_NAME": "web", "SUPERVISOR_INSTANCE": "1", "LANG": "C",
    }  # fmt: skip


def test_a_replica_knows_its_number() -> None:
    spec = Container(name="web.3", rootfs="/", command=("x",), service="web")
    assert dict(environment(spec))["SUPERVISOR_INSTANCE"] == "3"


def test_mounts_keep_their_order_and_options() -> None:
    spec = Container(
        name="web", rootfs="/", command=("x",),
        mounts=(Mount("bind", "/a", "/src", ("ro",)), Mount("tmpfs", "/b", options=("size=1",))),
    )  # fmt: skip
    assert lower(spec).mounts == (Bind("/src", "/a", ("ro",)), Bind("", "/b", ("size=1",)))
