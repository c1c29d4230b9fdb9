"""Entry of the helper: `python -I -S supervisor/helper/__main__.py FD`, FD holding what root declared.

Isolated (-I) and without site (-S): no environment variable, .pth file or sitecustomize of anybody
runs here as root. The package's own folder goes last on the path, so that nothing in it can stand
in for the standard library.
"""

import errno
import gc
import os
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from supervisor.errors import KernelError  # after the path above
from supervisor.helper.protocol import decode_declared
from supervisor.helper.rights import needed
from supervisor.helper.serve import Helper
from supervisor.helper.subtree import open_subtree
from supervisor.kernel import caps, namespaces, process


def main() -> int:
    descriptor = int(sys.argv[1])
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        declared = decode_declared(file.read())
    for inherited in (declared.spec, declared.ready, *declared.locks):
        if inherited >= 0:
            os.set_inheritable(inherited, False)
    os.umask(0o022)
    process.reset_personality()
    os.chdir("/")
    rootless = os.geteuid() != 0
    if rootless:
        namespaces.map_self_as_root(os.getuid(), os.getgid())
    else:
        caps.keep_only(needed(declared.containers))
    process.show_as(b"supervisor: helper")  # a container's PID 1 is its fork: no path of the host's
    process.open_more_files()  # a container holds eight descriptors here; its own limit is a step of its launch
    process.set_undumpable()
    process.adopt_orphans()
    try:
        tree = open_subtree(declared.subtree)
    except KernelError as error:
        print(f"supervisor: {error.call}: {os.strerror(error.errno)}: {error.path}", file=sys.stderr)
        return 1
    helper = Helper(declared, tree, rootless=rootless)
    gc.collect()
    gc.freeze()  # what is shared with every fork stays shared: the collector never touches it
    code = helper.run()
    _tidy(declared.runtime_dir)
    return code


def _tidy(runtime_dir: str) -> None:
    """Leave the lock and the daemon's ledger (run numbers, history), and what others put there."""
    for name, remove in (
        ("api.sock", os.unlink),
        ("exec.sock", os.unlink),
        ("capture.intent", os.unlink),
        ("root", os.rmdir),
        ("containers", os.rmdir),
    ):
        try:
            remove(f"{runtime_dir}/{name}")
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise


if __name__ == "__main__":
    process.ignore_nothing()
    sys.exit(main())
