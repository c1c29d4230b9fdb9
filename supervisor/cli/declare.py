"""What root declares, from its files to sealed memory: for `start`, and again for `reload`.

    python -I -m supervisor.cli.declare ANSWER REQUEST SPEC

is the process that a reload takes: a child of the helper, root as it is, that reads the same files in the same
place as `start` did. It answers once, on the socket ANSWER, with what is declared or with every problem, and
ends. REQUEST says for which instance, SPEC what is supervised now; nothing of either comes from the daemon.

What is checked here and in `start` is the same, so that what `supervisor check` says holds for both.
"""

import fcntl
import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from supervisor import __version__
from supervisor.cli import folders
from supervisor.config.load import load
from supervisor.core.plan import unchangeable
from supervisor.core.rundir import session_dir
from supervisor.core.spec import Configuration
from supervisor.errors import ConfigError, Problem
from supervisor.kernel import cgroup, descriptors
from supervisor.launcher.declaration import Instance, Origin, declare, decode_again, encode
from supervisor.launcher.ids import EACH
from supervisor.launcher.seccomp import compile_filters


def here(path: str, runtime_dir: str | None, *, root: bool) -> Origin:
    """Where the files are for a `start` now; `runtime_dir` is that of the command line or environment."""
    umask = os.umask(0o022)
    os.umask(umask)
    session = "" if root else session_dir(os.environ.get("XDG_RUNTIME_DIR", ""), os.getuid())
    return Origin(path, os.getcwd(), umask, os.path.abspath(runtime_dir) if runtime_dir else "", session)


def read(origin: Origin, *, root: bool) -> Configuration:
    """What the files declare now. Raises ConfigError with every problem."""
    configuration = load(
        origin.path, cwd=origin.cwd, root=root, environ={"XDG_RUNTIME_DIR": origin.session_dir}
    )
    if not origin.runtime_dir:
        return configuration
    return replace(configuration, settings=replace(configuration.settings, runtime_dir=origin.runtime_dir))


def objection(configuration: Configuration, *, root: bool) -> str:
    """What only the one who starts it lacks; "" when nothing."""
    private = [one.name for one in configuration.containers if one.userns == "private"]
    if private and not root:
        return (
            f"{', '.join(private)}: a private user namespace needs a range of ids, which only root has;\n"
            'start it as root, or write userns = "host" (the container then has one id: yours)'
        )
    room = configuration.settings.id_pool[1] // EACH
    if len(private) > room:
        return f"id_pool has room for {room} private user namespaces, not for {len(private)}"
    notifying = sum(one.ready is not None and one.ready.type == "notify" for one in configuration.containers)
    memory = "memory" not in cgroup.here().v1
    return descriptors.objection(len(configuration.containers), notifying, descriptors.limit(), memory=memory)


def memory(name: str, content: bytes) -> int:
    """An inheritable memory file, sealed: nobody who is given it can change what root declared."""
    descriptor = os.memfd_create(name, os.MFD_ALLOW_SEALING)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def specification(configuration: Configuration) -> int:
    """The daemon's part. The profiles are in it only so that a reload can tell that one has changed."""
    return memory("spec", msgspec.json.encode(configuration))


# ── again ──────────────────────────────────────────────────────────────────────────────


def main() -> int:
    answer, request, spec = map(int, sys.argv[1:4])
    with socket.socket(fileno=answer) as helper:
        again = decode_again(os.pread(request, os.fstat(request).st_size, 0))
        running = msgspec.json.decode(os.pread(spec, os.fstat(spec).st_size, 0), type=Configuration)
        try:
            sent = _declare_again(
                again.instance, running, again.held, apply=again.apply, root=not again.rootless
            )
            word = f"declared {__version__}"
        except ConfigError as error:
            word, sent = "problems", [memory("problems", json.dumps(error.problems).encode())]
        socket.send_fds(helper, [word.encode()], sent)
    return 0


def _declare_again(
    instance: Instance, running: Configuration, held: Mapping[str, int], *, apply: bool, root: bool
) -> list[int]:
    origin = instance.origin
    os.umask(origin.umask)
    try:
        os.chdir(origin.cwd)
        configuration = read(origin, root=root)
        filters = compile_filters(configuration)
        _refuse(origin, running, configuration, root=root)
        declared = declare(configuration, filters, instance, held=held)
        if apply:
            # In a user namespace of its own an ordinary user is root.
            folders.make(configuration, instance.uid if root else 0, instance.gid)
    except OSError as error:
        raise _problem(origin, "", f"{error.filename or ''}: {error.strerror}") from None
    except ValueError as error:
        raise _problem(origin, "supervisor.id_pool", str(error)) from None
    return [memory("declared", encode(declared)), specification(configuration)]


def _refuse(origin: Origin, running: Configuration, configuration: Configuration, *, root: bool) -> None:
    """Raise for what is sound by itself, and cannot follow what runs."""
    if text := objection(configuration, root=root):
        raise _problem(origin, "", text)
    keys = unchangeable(running.settings, configuration.settings)
    if keys:
        text = "cannot change while it runs (put it back, or stop the supervisor and start it again)"
        raise ConfigError(tuple(Problem(origin.path, 0, f"supervisor.{key}", text) for key in keys))


def _problem(origin: Origin, key: str, text: str) -> ConfigError:
    return ConfigError((Problem(origin.path, 0, key, text),))


if __name__ == "__main__":
    sys.exit(main())
