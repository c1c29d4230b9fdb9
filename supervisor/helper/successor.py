"""The helper becomes its successor: `supervisor start` as it is installed now, in the same process.

The PID stays, and with it the service manager's, the terminal's and the parent's idea of the supervisor; all children
stay its children. Everything else happens as after a crash: `start` reads the files, becomes a helper, and takes over what
the run directory names. So there is one way to carry on, and it is tried every day. Descriptors close at exec, the lock's too.

Safe: root alone can send the signal that asks for it, and what is executed is the interpreter that root started.
"""

import os

from supervisor.helper.protocol import Declared
from supervisor.kernel import process


def become(declared: Declared) -> None:
    """Raises OSError when it cannot be executed, and then nothing has changed."""
    origin = declared.origin
    place = ("--runtime-dir", origin.runtime_dir) if origin.runtime_dir else ()
    arguments = [declared.python, "-I", "-m", "supervisor", *place, "start", origin.path]
    umask = os.umask(origin.umask)
    before = process.block_signals()
    try:
        os.chdir(origin.cwd)
        os.execve(declared.python, arguments, dict(os.environ))
    finally:
        os.chdir("/")
        os.umask(umask)
        process.unblock_signals(before)
