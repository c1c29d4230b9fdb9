"""What root declares to the helper, as the bytes that it decodes."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from supervisor.core.spec import Configuration, Container
from supervisor.helper.again import decode_again as _decode_again
from supervisor.helper.protocol import Declared, Launch, Origin, encode_declared
from supervisor.launcher.ids import allocate
from supervisor.launcher.lower import lower

__all__ = [
    "Again",
    "Declared",
    "Filters",
    "Instance",
    "Origin",
    "declare",
    "decode_again",
    "encode",
    "layers",
    "subtree",
]

DEFAULT_RUNTIME_DIR = "/run/supervisor"
#: For each container its seccomp programs, () for none.
Filters = Mapping[str, tuple[bytes, ...]]


class Instance(NamedTuple):
    """What stays for as long as the helper lives: the daemon's account, its interpreter `python`, where the
    files are; `spec`, `ready` and `locks` are inherited descriptors.
    """

    uid: int
    gid: int
    python: str
    origin: Origin
    spec: int = -1
    ready: int = -1
    locks: tuple[int, ...] = ()


class Again(NamedTuple):
    """What the helper asks of who reads the files again; see helper.again."""

    instance: Instance
    held: Mapping[str, int]
    apply: bool
    rootless: bool


def decode_again(data: bytes) -> Again:
    again = _decode_again(data)
    one = again.declared
    return Again(Instance(one.uid, one.gid, one.python, one.origin), again.held, again.apply, again.rootless)


def encode(declared: Declared) -> bytes:
    return encode_declared(declared)


def declare(
    configuration: Configuration,
    filters: Filters,
    instance: Instance,
    *,
    held: Mapping[str, int] | None = None,
) -> Declared:
    """`held` is the first id of each container that has ids already, and keeps them. Raises ValueError when
    the id pool is too small for the containers.
    """
    distinct = list(dict.fromkeys(programs for programs in filters.values() if programs))
    return Declared(
        runtime_dir=configuration.settings.runtime_dir,
        uid=instance.uid,
        gid=instance.gid,
        python=instance.python,
        spec=instance.spec,
        ready=instance.ready,
        locks=instance.locks,
        containers=_launches(configuration, filters, distinct, held or {}),
        filters=tuple(tuple(one.hex() for one in programs) for programs in distinct),
        origin=instance.origin,
        subtree=subtree(configuration.settings.runtime_dir),
    )


def _launches(
    configuration: Configuration, filters: Filters, distinct: list[tuple[bytes, ...]], held: Mapping[str, int]
) -> tuple[Launch, ...]:
    settings = configuration.settings
    private = [one.name for one in configuration.containers if one.userns == "private"]
    ids = allocate(private, *settings.id_pool, settings.runtime_dir, held)

    def launch(container: Container) -> Launch:
        programs = filters.get(container.name, ())
        return lower(
            container,
            ids=ids.get(container.name, -1),
            layers=layers(settings.state_dir),
            filter_at=distinct.index(programs) if programs else -1,
            runtime_dir=settings.runtime_dir,
        )

    return tuple(launch(container) for container in configuration.containers)


def subtree(runtime_dir: str) -> str:
    """One cgroup an instance, the same at the next start, so that what a crash left is found."""
    if runtime_dir == DEFAULT_RUNTIME_DIR:
        return "supervisor"
    return f"supervisor-{hashlib.sha256(runtime_dir.encode()).hexdigest()[:8]}"


def layers(state_dir: str) -> str:
    """The folder that holds a folder for each persistent layer."""
    return f"{state_dir}/layers"
