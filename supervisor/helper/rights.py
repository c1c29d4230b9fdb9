"""Which capabilities the helper keeps: those without which what is declared could not be launched. Pure."""

from supervisor.helper.protocol import Launch

#: What launching takes: mounts and namespaces, identities, other accounts' files and processes, device
#: nodes, a loopback device, limits above one's own. The daemon's account needs none of it.
NEEDED = (
    "SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE", "SYS_RESOURCE", "SETUID", "SETGID", "SETPCAP", "CHOWN",
    "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_ADMIN",
)  # fmt: skip


def needed(launches: tuple[Launch, ...]) -> tuple[str, ...]:
    """The capabilities without which the declared containers could not be launched."""
    return tuple(set(NEEDED).union(*map(_own, launches)))


def lacking(launches: tuple[Launch, ...], kept: tuple[str, ...]) -> str:
    """What a reload may not declare, in a sentence: a right that was given up does not come back. "" if none."""
    for launch in launches:
        missing = sorted(_own(launch).difference(kept))
        if missing:
            return (
                f"container.{launch.name}: needs {', '.join(f'CAP_{one}' for one in missing)}, which the supervisor "
                "gave up when it started, because nothing needed it: stop it and start it again"
            )
    return ""


def _own(launch: Launch) -> frozenset[str]:
    # With ids of its own its capabilities are those of its own user namespace.
    own = () if launch.ids >= 0 else launch.capabilities
    return frozenset((*own, "SYS_TIME") if launch.time_offsets else own)
