"""What root declares to the helper, as the bytes that it decodes."""

import hashlib
from collections.abc import Mapping

from supervisor.core.spec import Configuration, Container
from supervisor.helper.protocol import Declared, Launch, encode_declared
from supervisor.launcher.ids import allocate
from supervisor.launcher.lower import lower

DEFAULT_RUNTIME_DIR = "/run/supervisor"
#: For each container its seccomp programs, () for none.
Filters = Mapping[str, tuple[bytes, ...]]


def declare(
    configuration: Configuration,
    filters: Filters,
    *,
    uid: int,
    gid: int,
    python: str,
    spec: int,
    ready: int,
    lock: int,
) -> bytes:
    """`python` is the daemon's interpreter; `spec`, `ready` and `lock` are inherited descriptors. Raises
    ValueError when the id pool is too small for the containers.
    """
    distinct = list(dict.fromkeys(programs for programs in filters.values() if programs))
    return encode_declared(
        Declared(
            runtime_dir=configuration.settings.runtime_dir,
            uid=uid,
            gid=gid,
            python=python,
            spec=spec,
            ready=ready,
            lock=lock,
            containers=_launches(configuration, filters, distinct),
            subtree=subtree(configuration.settings.runtime_dir),
            filters=tuple(tuple(one.hex() for one in programs) for programs in distinct),
        )
    )


def _launches(
    configuration: Configuration, filters: Filters, distinct: list[tuple[bytes, ...]]
) -> tuple[Launch, ...]:
    settings = configuration.settings
    private = [one.name for one in configuration.containers if one.userns == "private"]
    ids = allocate(private, *settings.id_pool, settings.runtime_dir)

    def launch(container: Container) -> Launch:
        programs = filters.get(container.name, ())
        return lower(
            container,
            ids=ids.get(container.name, -1),
            layers=layers(settings.state_dir),
            filter_at=distinct.index(programs) if programs else -1,
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
