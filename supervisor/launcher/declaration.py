"""What root declares to the helper, as the bytes that it decodes."""

from supervisor.core.spec import Configuration
from supervisor.helper.protocol import Declared, encode_declared
from supervisor.launcher.lower import lower


def declare(
    configuration: Configuration, *, uid: int, gid: int, python: str, spec: int, ready: int, lock: int
) -> bytes:
    """`python` is the daemon's interpreter; `spec`, `ready` and `lock` are inherited descriptors."""
    return encode_declared(
        Declared(
            runtime_dir=configuration.settings.runtime_dir,
            uid=uid,
            gid=gid,
            python=python,
            spec=spec,
            ready=ready,
            lock=lock,
            containers=tuple(lower(container) for container in configuration.containers),
        )
    )
