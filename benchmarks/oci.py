"""What our default confinement is in the words of the OCI runtime specification, for crun to run.

`python -m benchmarks.oci COMMAND…` is a process that shows itself the v2 cgroup tree alone, where v1's
stand beside it (crun refuses to run otherwise), and then runs COMMAND once for each line it reads,
answering with the seconds it took; a word {} of it is the line.
"""

import os
import subprocess
import sys
import time
from typing import Any

from supervisor.core.seccomp import Profile, Rule
from supervisor.helper.slots import OTHER
from supervisor.helper.steps import MASKED, PROTECTED
from supervisor.helper.world import Site, private
from supervisor.kernel import namespaces
from supervisor.kernel.program import run, slots
from supervisor.launcher.lower import PATH, PRIVATE_CAPABILITIES
from supervisor.launcher.seccomp_default import DEFAULT

_SAFE = ["nosuid", "noexec", "nodev"]
_V2 = "/sys/fs/cgroup/unified"


def specification(root: str, argv: list[str], *, userns: bool = True) -> dict[str, Any]:
    """config.json of a read-only root with the namespaces, masks, capabilities and filter of our default."""
    capabilities = [f"CAP_{name}" for name in PRIVATE_CAPABILITIES]
    kinds = ["pid", "ipc", "uts", "mount", "network", "cgroup", *(["user"] if userns else [])]
    mapping = [{"containerID": 0, "hostID": 524288, "size": 65536}]
    linux: dict[str, Any] = {
        "namespaces": [{"type": kind} for kind in kinds],
        "maskedPaths": [f"{parent}/{name.rstrip('/')}" for parent, names in MASKED.items() for name in names],
        "readonlyPaths": [f"/proc/{name}" for name in PROTECTED],
        "seccomp": _profile(DEFAULT),
    }
    if userns:
        linux |= {"uidMappings": mapping, "gidMappings": mapping}
    return {
        "ociVersion": "1.0.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": argv,
            "env": [f"PATH={PATH}"],
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}],
        },
        "root": {"path": root, "readonly": True},
        "hostname": "true",
        "mounts": _mounts(),
        "linux": linux,
    }


def _mounts() -> list[dict[str, Any]]:
    tmpfs = ["nosuid", "noexec", "mode=755", "size=65536k"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": _SAFE},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*_SAFE, "ro"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": tmpfs},
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        },
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*_SAFE, "mode=1777"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": _SAFE},
    ]


def _profile(profile: Profile) -> dict[str, Any]:
    """The default filter's allow-list as a runtime reads it; what needs a capability stays refused."""
    allowed = [rule for rule in profile.rules if rule.action == "SCMP_ACT_ALLOW" and not _conditional(rule)]
    names = sorted({name for rule in allowed for name in rule.names})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64" if os.uname().machine == "x86_64" else "SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    }


def _conditional(rule: Rule) -> bool:
    return bool(rule.includes.capabilities)


def main(command: list[str]) -> int:
    if os.path.isdir(_V2):
        namespaces.unshare(("mount",))
        run(private(Site("")), slots(OTHER))
        subprocess.run(["mount", "--bind", _V2, "/sys/fs/cgroup"], check=True)
    for line in sys.stdin:
        began = time.perf_counter()
        subprocess.run(
            [line.strip() if word == "{}" else word for word in command], check=True, stdin=subprocess.DEVNULL
        )
        print(time.perf_counter() - began, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
