"""The same probe from the same dirty parent in one sandbox after another: ours, crun's, bwrap's, none.

A run gives a list of what the probe said, one dictionary a check, by name.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.escape.check import status
from tests.escape.host import PROBE, Host
from tests.support.running import PROGRAM, Running

Said = dict[str, dict[str, Any]]
PROJECT = Path(__file__).resolve().parents[2]
#: Where the stage is shown: a folder that every root directory has, so that none is written to.
SHOWN = "/mnt"
SECONDS = 500

#: Kinds of container, by the keys that are not left at their defaults.
KINDS: dict[str, dict[str, Any]] = {
    "default": {},
    "user": {"user": "www-data"},
    "private": {"userns": "private"},
    "strict": {"user": "www-data", "capabilities": [], "rootfs_mode": "read-only"},
}


def read(lines: list[str]) -> Said:
    records = [json.loads(line) for line in lines if line.startswith("{")]
    found = {one["check"]: one for one in records if "check" in one}
    assert records[-1]["summary"]["checks"] == len(found), "the probe did not reach its end"
    return found


def dirty(host: Host, *command: str) -> list[str]:
    """The command line of a program that has a dirty parent."""
    # By a path: the working directory is not the project's.
    script = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('tests.escape.dirty', run_name='__main__')"
    return [sys.executable, "-c", script, str(PROJECT), str(host.folder), host.nonce, *command]


def run(host: Host, *command: str) -> Said:
    done = subprocess.run(
        dirty(host, *command),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
    )
    try:
        return read(done.stdout.splitlines())
    except (AssertionError, IndexError) as error:
        raise RuntimeError(
            f"{command}: {done.returncode}, {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        ) from error


def container(host: Host, root: str | Path, keys: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a container that runs the probe once."""
    shown = {"type": "bind", "source": str(host.stage), "target": SHOWN, "options": ["ro"]}
    command = ["/usr/bin/python3", f"{SHOWN}/{PROBE}"]
    return {"rootfs": str(root), "command": command, "mounts": [shown], "restart": "never", **keys}


def start(running: Running, host: Host) -> None:
    """Start a supervisor from the dirty parent, and then ask it as anybody would."""
    running.program = tuple(dirty(host, *PROGRAM))
    try:
        running.start()
    finally:
        running.program = PROGRAM


def ours(host: Host, root: str | Path, containers: Mapping[str, Mapping[str, Any]]) -> dict[str, Said]:
    """In containers of these keys, all others left at their defaults; what the probe said in each, by name."""
    with tempfile.TemporaryDirectory(prefix="escape-") as folder, contextlib.ExitStack() as after:
        Path(folder).chmod(0o755)
        declared = {name: container(host, root, keys) for name, keys in containers.items()}
        running = Running(Path(folder), declared, {}, {})
        after.callback(running.clean)
        start(running, host)
        found = {}
        for name in containers:
            running.until(lambda: running.of(name)["state"] in {"exited", "failed"}, name, SECONDS)  # noqa: B023
            found[name] = read(running.result(name))
        running.stop()
        return found


def nothing(host: Host) -> Said:
    """As root, confined by nothing."""
    return run(host, sys.executable, str(host.stage / PROBE))


def chroot(host: Host, root: str | Path) -> Said:
    """As an ordinary user in a bare chroot with the host's /proc, /sys and /dev; mounted where nobody else sees it."""
    script = """
        stage=$1 root=$2 probe=$3
        for each in proc sys dev; do mount --rbind /$each "$root/$each"; done
        mount --bind "$stage" "$root/mnt" && exec chroot --userspec=1000:1000 "$root" /usr/bin/python3 "$probe"
    """
    words = (str(host.stage), str(root), f"{SHOWN}/{PROBE}")
    return run(host, "unshare", "--mount", "sh", "-c", script, "sh", *words)


def bwrap(host: Host, root: str | Path) -> Said:
    """bubblewrap as its manual page's first example has it, with every namespace."""
    shown = ("--ro-bind", str(root), "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp")
    stage = ("--ro-bind", str(host.stage), SHOWN)
    return run(host, "bwrap", "--unshare-all", *shown, *stage, "/usr/bin/python3", f"{SHOWN}/{PROBE}")


def crun(host: Host, root: str | Path) -> Said:
    """crun by what `crun spec` writes, but for the root directory, the command and the terminal."""
    name = host.nonce
    with tempfile.TemporaryDirectory(prefix="escape-") as bundle:
        subprocess.run(["crun", "spec"], cwd=bundle, check=True)
        config = Path(bundle, "config.json")
        spec = json.loads(config.read_text())
        spec["root"]["path"] = str(root)
        spec["process"] |= {"terminal": False, "args": ["/usr/bin/python3", f"{SHOWN}/{PROBE}"]}
        stage = {"destination": SHOWN, "type": "bind", "source": str(host.stage), "options": ["rbind", "ro"]}
        spec["mounts"].append(stage)
        spec["linux"]["cgroupsPath"] = f"/{name}"
        config.write_text(json.dumps(spec))
        # Without CAP_SYS_RESOURCE it cannot raise RLIMIT_MEMLOCK for its device filter, and refuses to start.
        manager = "cgroupfs" if int(status("CapEff"), 16) >> 24 & 1 else "disabled"
        command = ["crun", f"--cgroup-manager={manager}", f"--root={bundle}/state"]
        try:
            return run(host, *_unified(*command, "run", f"--bundle={bundle}", name))
        finally:
            subprocess.run(_unified(*command, "delete", "--force", name), check=False, capture_output=True)
            for left in (Path(_cgroup2(), name), Path(_cgroup2(), name, "container")):
                with contextlib.suppress(OSError):
                    left.rmdir()


def _cgroup2() -> str:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return next(where for _, where, kind, *_ in mounts if kind == "cgroup2")


def _unified(*command: str) -> list[str]:
    """crun refuses a hybrid host: in a mount namespace of its own it is shown the v2 tree alone."""
    if _cgroup2() == "/sys/fs/cgroup":
        return list(command)
    script = f'mount --bind {_cgroup2()} /sys/fs/cgroup && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", *command]
