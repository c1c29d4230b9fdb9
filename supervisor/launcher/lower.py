"""A declared container, lowered to what the helper needs to launch it: pure."""

from supervisor.core.spec import Container
from supervisor.helper.protocol import Bind, Launch
from supervisor.launcher.probes import lower_health, lower_ready

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: What a container may do that has a user namespace of its own and does not say.
PRIVATE_CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "NET_BIND_SERVICE",
)  # fmt: skip


def lower(
    container: Container, *, ids: int = -1, layers: str = "", filter_at: int = -1, runtime_dir: str = ""
) -> Launch:
    """`ids` is the first of its own ids on the host, `layers` the folder of persistent layers, `filter_at`
    the place of its seccomp programs in what is declared, `runtime_dir` is what the files of its runs are in.
    """
    notifies = container.ready is not None and container.ready.type == "notify"
    return Launch(
        name=container.name,
        argv=container.command,
        env=environment(container),
        rootfs=container.rootfs,
        rootfs_mode=container.rootfs_mode,
        user=container.user,
        groups=container.groups,
        workdir=container.workdir,
        hostname=container.hostname or container.name,
        init=container.init,
        namespaces=container.namespaces + (("net",) if container.network == "none" else ()),
        mounts=tuple(Bind(one.source, one.target, one.options) for one in container.mounts),
        capabilities=capabilities(container),
        no_new_privileges=container.no_new_privileges,
        rlimits=tuple((name, value, value) for name, value in container.rlimits),
        cgroup=container.cgroup,
        devices=container.devices,
        ids=ids,
        layer=f"{layers}/{container.name}" if container.rootfs_mode == "persistent" else "",
        filter=filter_at,
        ambient=container.capabilities is not None,
        # Limits that were declared are for the service alone.
        spawn=container.init and not container.rlimits and _known(container.seccomp),
        ready=lower_ready(container.ready),
        health=lower_health(container.health),
        notify=f"{runtime_dir}/containers/{container.name}/notify" if notifies else "",
        watchdog=round(container.ready.watchdog * 1e6) if container.ready and container.ready.watchdog else 0,
        time_offsets=tuple((clock, round(shift * 1e9)) for clock, shift in container.time_offsets),
    )


def _known(seccomp: str) -> bool:
    """A profile of its own may not let our init live."""
    return seccomp in ("default", "unconfined")


def capabilities(container: Container) -> tuple[str, ...]:
    """The exact set: as declared, or by default none with the host's user namespace."""
    if container.capabilities is not None:
        return container.capabilities
    return PRIVATE_CAPABILITIES if container.userns == "private" else ()


def environment(container: Container) -> tuple[tuple[str, str], ...]:
    """What the supervisor sets, under what was declared. HOME follows from the user, at launch."""
    replica = container.name.removeprefix(container.service).lstrip(".")
    ours = {
        "PATH": PATH,
        "HOSTNAME": container.hostname or container.name,
        "SUPERVISOR_NAME": container.name,
        "SUPERVISOR_INSTANCE": replica or "1",
    }
    return tuple((ours | dict(container.env)).items())
