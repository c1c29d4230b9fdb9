#!/usr/bin/env python3
"""machine.py [--mem 2G] [--cpus 2] [--timeout 600] [--out DIR] -- COMMAND [ARGUMENT...]

Runs COMMAND as root in a throwaway QEMU machine with Debian's kernel and a pure cgroup v2 hierarchy, every
controller enabled. Emulated, so it runs wherever QEMU does, about 18 times slower than the machine around it.

Inside, / is this machine's / under a layer that is thrown away: everything can be read, and nothing that is
written reaches the host, except below DIR (a 9p share: for results, not for work; no flock there). /run,
/dev/shm and /tmp are fresh, save for the folders of /tmp that hold this checkout, Python or the current
directory. Same directory, same environment and MODOKI_MACHINE=1. No stdin, no network but lo; stdout and stderr
come out as one stream.

Exit code: COMMAND's; 128+N when signal N ended it; 124 on time-out; 125 when the machine failed (its console then
goes to stderr); 77 when there can be no such machine here, for the reason given.
"""

import argparse
import os
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Self

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
CHUNK = 1 << 16
GRACE = 5.0  # seconds from SIGTERM to the end of the machine
TIMED_OUT, FAILED = 124, 125


class Stopped(Exception):  # noqa: N818 - not an error: somebody asked
    def __init__(self, code: int) -> None:
        self.code = code


def setup(what: str) -> Path:
    """Where tests/setup put it. Exits as it does when it cannot."""
    done = subprocess.run([PROJECT / "tests/setup", what], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return Path(done.stdout.strip())


def folders_of_tmp(paths: Sequence[str]) -> list[str]:
    real = [Path(os.path.realpath(path)) for path in paths if path]
    return sorted({path.parts[2] for path in real if path.is_relative_to("/tmp") and path != Path("/tmp")})


def write_run(run: Path, cache: Path, out: str, command: Sequence[str]) -> None:
    """What the guest's scripts read: the settings, and the command as a script that never meets a shell's guesses."""
    keep = folders_of_tmp([os.getcwd(), str(PROJECT), sys.prefix, sys.base_prefix, out, command[0]])
    settings = {"guest": f"{HERE}/guest", "cache": str(cache), "out": out, "keep": shlex.join(keep)}
    environment = {**os.environ, "PWD": os.getcwd(), "MODOKI_MACHINE": "1"}
    words = [
        "exec",
        "/usr/bin/env",
        "-i",
        *(f"{key}={value}" for key, value in environment.items()),
        *command,
    ]
    (run / "settings").write_text("".join(f"{key}={shlex.quote(value)}\n" for key, value in settings.items()))
    (run / "command").write_bytes(
        os.fsencode(
            f"echo 0 >/proc/self/oom_score_adj\ncd {shlex.quote(os.getcwd())} || exit {FAILED}\n{shlex.join(words)}\n"
        )
    )


def share(tag: str, path: str, options: str = "") -> list[str]:
    return [
        *("-fsdev", f"local,id={tag},path={path},security_model=none,multidevs=remap{options}"),
        *("-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"),
    ]


def port(name: str, fd: int) -> list[str]:
    return [
        *("-chardev", f"socket,id={name},fd={fd}"),
        *("-device", f"virtserialport,chardev={name},name={name}"),
    ]


def qemu_command(options: argparse.Namespace, run: Path, cache: Path) -> list[str]:
    # norandmaps: emulation translates a program once, not once a run, and forks are three times quicker.
    # AVX off: emulated vectors are slower than what libc does without them.
    kernel = f"console=ttyS0 quiet panic=-1 mitigations=off norandmaps cgroup_no_v1=all run={run}"
    # One thread for all virtual CPUs: with one each, QEMU 7.2 may keep its translation of a breakpoint that the kernel
    # has just taken away from its own code (text_poke_bp: the first cpu.max that is set has it patch the scheduler), and
    # a virtual CPU meets that breakpoint for ever. It takes no longer.
    return [
        "qemu-system-x86_64",
        *("-M", "q35", "-accel", "tcg,thread=single", "-cpu", "max,-avx,-avx2"),
        *("-smp", options.cpus, "-m", options.mem),
        *("-nodefaults", "-no-reboot", "-display", "none", "-serial", f"file:{run}/console"),
        *("-kernel", f"{cache}/kernel", "-initrd", f"{cache}/initrd", "-append", kernel),
        *share("root", "/", ",readonly=on"),
        *(share("out", options.out) if options.out else []),
        *("-device", "virtio-serial"),
    ]


class Machine:
    """A running QEMU and the host's ends of its two ports."""

    def __init__(self, qemu: list[str], stack: ExitStack) -> None:
        self.output, far_output = (stack.enter_context(end) for end in socket.socketpair())
        self.control, far_control = (stack.enter_context(end) for end in socket.socketpair())
        fds = far_output.fileno(), far_control.fileno()
        # A session of its own, so that ^C reaches the command inside and not QEMU; and it dies with us.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *qemu, *port("output", fds[0]), *port("control", fds[1])],
            pass_fds=fds,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
        )
        far_output.close()
        far_control.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def relay(self, seconds: float) -> int | None:
        """Passes output on until the command ends; its exit code, or None if the machine ended without one."""
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as ready:
            ready.register(self.output, selectors.EVENT_READ)
            ready.register(self.control, selectors.EVENT_READ)
            while True:
                events = ready.select(max(0.0, deadline - time.monotonic()))
                if not events:
                    raise Stopped(TIMED_OUT)
                if any(key.fileobj is self.control for key, _ in events):
                    code = receive(self.control)
                    self.drain()
                    return int(code) if code else None
                write_out(receive(self.output))

    def drain(self) -> None:
        """The guest says its exit code only when all output has left it: what is still here is the rest."""
        self.process.kill()
        while data := receive(self.output):
            write_out(data)

    def end(self) -> None:
        """Asks the command to end, and lets it say its last words."""
        self.control.send(b"TERM\n")
        try:
            self.relay(GRACE)
        except Stopped:
            return


def receive(port: socket.socket) -> bytes:
    try:
        return port.recv(CHUNK)
    except ConnectionResetError:  # QEMU ended with a signal for the guest still in its hands
        return b""


def write_out(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def stop(number: int, _: FrameType | None) -> None:
    raise Stopped(128 + number)


def run_in_machine(options: argparse.Namespace, run: Path) -> int:
    cache = setup("machine")
    write_run(run, cache, options.out, options.command)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with ExitStack() as stack, Machine(qemu_command(options, run, cache), stack) as machine:
        try:
            code = machine.relay(options.timeout)
        except Stopped as stopped:
            print(f"machine: stopped ({stopped.code})", file=sys.stderr, flush=True)
            machine.end()
            return stopped.code
    if code is None:
        print("machine: ended before the command did", file=sys.stderr)
        sys.stderr.write((run / "console").read_text(errors="replace"))
        return FAILED
    return code


def main() -> int:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--mem", default="2G")
    parser.add_argument("--cpus", default="2")
    parser.add_argument("--timeout", type=float, default=600.0)
    parser.add_argument("--out", default="")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    if options.out:
        options.out = os.path.realpath(options.out)
        os.makedirs(options.out, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="machine.", dir="/var/tmp") as run:
        try:
            return run_in_machine(options, Path(run))
        except BrokenPipeError:  # `machine.py … | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE


if __name__ == "__main__":
    sys.exit(main())
