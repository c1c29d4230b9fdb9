"""What the figures are about: the machine and the programs compared, without a name that would tell whose it is."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import packages

#: How each says its version.
_ASKED = {
    "crun": ["crun", "--version"],
    "runc": ["runc", "--version"],
    "bwrap": ["bwrap", "--version"],
    "runit": ["dpkg-query", "-W", "-f", "runit ${Version}", "runit"],
    "s6": ["dpkg-query", "-W", "-f", "s6 ${Version}", "s6"],
}


def facts() -> dict[str, str]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"Linux {platform.release().split('-')[0]}, {platform.machine()}",
        "Python": platform.python_version(),
        "load before": f"{os.getloadavg()[0]:.1f} processes wanted to run, on average over a minute",
    }


def versions() -> dict[str, str]:
    found = {}
    for name, command in _ASKED.items():
        if shutil.which(command[0]):
            said = subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()
            if said:
                found[name] = said[0].removeprefix("bubblewrap ").split()[-1]
    folder, _ = packages.peers()
    if folder:
        listed = subprocess.run(
            [f"{folder}/bin/pip", "list", "--format=freeze"], check=False, capture_output=True, text=True
        ).stdout
        installed = dict(line.split("==") for line in listed.splitlines() if "==" in line)
        found |= {"supervisord": installed["supervisor"], "circus": installed["circus"]}
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()
