"""Programs that log what others print, each as it is meant to be used: segments of its own size, a time before each line.

Laws: each gets the same lines from the same producer, `cat` of a file, which begins when the file `go` appears
beside it, once every producer waits for it; the end is the last write to any of the files that are left, by their
times of modification; what it used is read from the kernel. Supervisors of several programs are one process, loggers
of one pipe are one a program, and summed.
"""

import glob
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from benchmarks import proc
from benchmarks.instance import PROJECT

#: Where tests/setup loggers puts what is not Debian's.
ENVIRONMENT = f"{PROJECT}/.cache/loggers/bin"
SEGMENT = 64 << 20
PATIENCE = 120.0


class Used(NamedTuple):
    """The moment of the producers' start (time.time()), seconds of CPU, kB of memory at most."""

    began: float
    cpu: float
    peak: int


class Logger(NamedTuple):
    """`run` gets a folder for its files and the producers' files, one a program; `files` are the patterns of what it leaves."""

    name: str
    program: str
    run: Callable[[str, str, Sequence[str]], Used]
    files: str

    def found(self) -> str | None:
        beside = f"{ENVIRONMENT}/{self.program}"
        return beside if os.path.exists(beside) else shutil.which(self.program)


def producer(data: str) -> str:
    """A script for sh beside the file: waits for `go`, then prints the file."""
    path = f"{data}.sh"
    with open(path, "w", encoding="ascii") as script:
        script.write(
            'cd "${0%/*}"; while [ ! -e go ]; do sleep 0.02; done; exec cat ' + os.path.basename(data)
        )
    os.chmod(path, 0o644)
    return path


def begin(data: Sequence[str]) -> float:
    """Now: the time of the file `go`, by the same clock as those of the logs."""
    path = os.path.join(os.path.dirname(data[0]), "go")
    with open(path, "w", encoding="ascii"):
        return os.stat(path).st_mtime


def last_write(pattern: str) -> float:
    return max(os.stat(path).st_mtime for path in glob.glob(pattern))


def piped(command: Callable[[str], list[str]]) -> Callable[[str, str, Sequence[str]], Used]:
    """One logger a program, reading its standard input until it ends."""

    def run(program: str, folder: str, data: Sequence[str]) -> Used:
        printing, logging = [], []
        for number, file in enumerate(data):
            os.mkdir(f"{folder}/{number}")
            words = command(f"{folder}/{number}")
            source = subprocess.Popen(["/bin/sh", producer(file)], stdout=subprocess.PIPE)
            logging.append(
                subprocess.Popen([program, *words], stdin=source.stdout, stderr=subprocess.DEVNULL)
            )
            assert source.stdout is not None
            source.stdout.close()
            printing.append(source)
        time.sleep(0.5)
        began = begin(data)
        peaks = {one.pid: proc.peak(one.pid) for one in logging}
        cpu = 0.0
        for one in logging:
            while os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                peaks[one.pid] = max(peaks[one.pid], proc.peak(one.pid))
                time.sleep(0.02)
            _, _, usage = os.wait4(one.pid, 0)  # whose ru_maxrss begins with what our fork had
            one.returncode = 0
            cpu += usage.ru_utime + usage.ru_stime
        for source in printing:
            source.wait()
        return Used(began, cpu, sum(peaks.values()))

    return run


def supervised(
    configure: Callable[[str, Sequence[str]], list[str]], lines: str
) -> Callable[[str, str, Sequence[str]], Used]:
    """One process for all programs, until its files hold as many lines as the producers' do."""

    def run(program: str, folder: str, data: Sequence[str]) -> Used:
        wanted = sum(count(file) for file in data)
        words = configure(folder, data)
        quiet = subprocess.DEVNULL
        # One of them is called supervisor, as we are.
        own = {**os.environ, "PYTHONPATH": ""}
        one = subprocess.Popen([program, *words], stdout=quiet, stderr=quiet, stdin=quiet, env=own)
        try:
            time.sleep(3)
            before, began = proc.used(one.pid), begin(data)
            while sum(map(count, glob.glob(f"{folder}/{lines}"))) < wanted:
                if time.time() - began > PATIENCE:
                    break
                time.sleep(0.2)
            return Used(began, proc.used(one.pid) - before, proc.peak(one.pid))
        finally:
            one.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                one.wait(20)
            one.kill()
            one.wait()

    return run


def count(path: str) -> int:
    """Lines of a file."""
    found = 0
    with suppress(FileNotFoundError), open(path, "rb", buffering=0) as file:
        while block := file.read(1 << 20):
            found += block.count(b"\n")
    return found


def _svlogd(folder: str) -> list[str]:
    with open(f"{folder}/config", "w", encoding="ascii") as file:
        file.write(f"s{SEGMENT}\nn1000\n")
    return ["-tt", folder]


def _supervisord(folder: str, data: Sequence[str]) -> list[str]:
    text = f"[supervisord]\nnodaemon=true\nlogfile={folder}/own\npidfile={folder}/pid\n"
    for number, file in enumerate(data):
        text += (
            f"[program:p{number}]\ncommand=/bin/sh {producer(file)}\nautorestart=false\nstartsecs=0\n"
            f"stdout_logfile={folder}/{number}.log\nstdout_logfile_maxbytes={SEGMENT}\nstdout_logfile_backups=1000\n"
        )
    return _written(f"{folder}/conf", text, "-c")


def _circus(folder: str, data: Sequence[str]) -> list[str]:
    text = f"[circus]\nendpoint=ipc://{folder}/one\npubsub_endpoint=ipc://{folder}/two\n"
    for number, file in enumerate(data):
        text += (
            f"[watcher:p{number}]\ncmd=/bin/sh {producer(file)}\nrespawn=false\n"
            f"stdout_stream.class=FileStream\nstdout_stream.filename={folder}/{number}.log\n"
            f"stdout_stream.max_bytes={SEGMENT}\nstdout_stream.backup_count=1000\n"
            "stdout_stream.time_format=%Y-%m-%d %H:%M:%S\n"
        )
    return _written(f"{folder}/conf", text)


def _written(path: str, text: str, *before: str) -> list[str]:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return [*before, path]


LOGGERS = (
    Logger("s6-log", "s6-log", piped(lambda folder: ["t", f"s{SEGMENT}", "n1000", folder]), "*/[@c]*"),
    Logger("svlogd", "svlogd", piped(_svlogd), "*/[@c]*[!g]"),
    Logger("multilog", "multilog", piped(lambda folder: ["t", "s16777215", "n1000", folder]), "*/[@c]*"),
    Logger("supervisord", "supervisord", supervised(_supervisord, "*.log*"), "*.log*"),
    Logger("circus", "circusd", supervised(_circus, "*.log*"), "*.log*"),
)
