"""Who the service is, what it may, and what it inherited from whoever started the supervisor."""

from __future__ import annotations

import ctypes
import os
import resource

from tests.escape.calls import call
from tests.escape.check import MAIN, Told, add, check, status, text

#: What a private user namespace is given by default; over one's own ids they are harmless.
ORDINARY = {0: "CHOWN", 1: "DAC_OVERRIDE", 3: "FOWNER", 4: "FSETID", 5: "KILL", 6: "SETGID", 7: "SETUID", 10: "NET_BIND_SERVICE"}  # fmt: skip
SESSION, USER, PROCESS = -3 & 0xFFFFFFFF, -4 & 0xFFFFFFFF, -2 & 0xFFFFFFFF
KEYCTL_READ, KEYCTL_SEARCH = 11, 10
#: What any service may be told by its environment.
USUAL = set(
    "PATH HOME HOSTNAME TERM LANG LC_ALL LC_CTYPE PWD SHLVL _ USER LOGNAME SHELL NOTIFY_SOCKET container".split()
)
UNMAPPED = 0xFFFFFFFF


def _in_kernel(number: int, path: str) -> int:
    """What an id is outside of all user namespaces but the next (user_namespaces(7))."""
    for line in text(path).splitlines():
        inside, outside, count = map(int, line.split())
        if inside <= number < inside + count:
            return outside + number - inside
    return UNMAPPED


@check("high", "to the kernel the service is root: any slip of confinement is total")
def kernel_uid_0(_: Told) -> str | None:
    return None if _in_kernel(os.getuid(), "/proc/self/uid_map") else "uid 0"


@check("medium", "to the kernel the service's group is root's")
def kernel_gid_0(_: Told) -> str | None:
    return None if _in_kernel(os.getgid(), "/proc/self/gid_map") else "gid 0"


@check("high", "real, effective, saved and file system ids differ: an identity can be taken back")
def ids_differ(_: Told) -> str | None:
    found = [set(status(field).split()) for field in ("Uid", "Gid")]
    return f"{found}" if max(map(len, found)) > 1 else None


@check("high", "supplementary groups of whoever started the supervisor are the service's")
def supplementary_groups(host: Told) -> str | None:
    found = set(os.getgroups()) & set(host["groups"])
    return " ".join(map(str, sorted(found))) or None


@check("medium", "supplementary groups that nobody declared are the service's")
def groups_undeclared(_: Told) -> str | None:
    found = set(os.getgroups()) - {os.getgid()}
    return " ".join(map(str, sorted(found))) or None


def _capabilities(field: str, severity: str, wrong: str) -> None:
    def attempt(_: Told) -> str | None:
        held = int(status(field), 16)
        beyond = [bit for bit in range(64) if held >> bit & 1 and bit not in ORDINARY]
        return f"{held:016x}" if beyond else None

    add(f"cap_{field[3:].lower()}", severity, wrong, attempt)


_capabilities("CapEff", "high", "it holds a capability beyond the eight of an ordinary root over its own ids")
_capabilities("CapPrm", "high", "it can take up such a capability")
_capabilities("CapBnd", "high", "a program it executes could gain such a capability")


@check("high", "inherited or ambient capabilities are passed on to every program (CVE-2022-24769)")
def cap_inheritable_ambient_nonempty(_: Told) -> str | None:
    found = [f"{field} {status(field)}" for field in ("CapInh", "CapAmb") if int(status(field), 16)]
    return ", ".join(found) or None


@check("low", "capabilities over the machine's own ids are held")
def cap_over_the_machine(_: Told) -> str | None:
    whole = text("/proc/self/uid_map").split() == ["0", "0", "4294967295"]
    return status("CapEff") if whole and int(status("CapEff"), 16) else None


@check("high", "programs that it executes may gain privileges")
def no_new_privs(_: Told) -> str | None:
    return "NoNewPrivs: 0" if status("NoNewPrivs") == "0" else None


@check("medium", "no filter of system calls is in force")
def seccomp_mode(_: Told) -> str | None:
    return None if status("Seccomp") == "2" else f"Seccomp: {status('Seccomp')}"


# ── keys ───────────────────────────────────────────────────────────────────────────────


@check("high", "the session keyring of whoever started the supervisor is the service's")
def session_keyring_of_parent(host: Told) -> str | None:
    try:
        return _reads_key(host, call("keyctl", KEYCTL_SEARCH, SESSION, b"user", host["nonce"].encode(), 0))
    except OSError as error:
        # It may be known by its number, without being found.
        try:
            return _reads_key(host, host["key"])
        except OSError:
            raise error from None


def _reads_key(host: Told, serial: int) -> str | None:
    room = ctypes.create_string_buffer(256)
    size = call("keyctl", KEYCTL_READ, serial, room, 256)
    return f"key {serial}" if room.raw[:size] == host["nonce"].encode() else None


@check("medium", "keys of root's user keyring on the host are the service's")
def user_keyring_of_host(host: Told) -> str | None:
    name = host["nonce"].encode() + b"-user"
    return f"key {call('keyctl', KEYCTL_SEARCH, USER, b'user', name, 0)}"


@check("low", "keys can be made: kernel memory and code that no service needs")
def add_key_call(_: Told) -> str | None:
    return f"key {call('add_key', b'user', b'escape-probe', b'x', 1, PROCESS)}"


@check("low", "keyrings can be asked for")
def keyctl_call(_: Told) -> str | None:
    return f"keyring {call('keyctl', 0, PROCESS, 1)}"


# ── inherited ──────────────────────────────────────────────────────────────────────────


@check("high", "a secret in the environment of whoever started the supervisor reaches the service")
def environment_secret(host: Told) -> str | None:
    return next((name for name, value in os.environ.items() if host["nonce"] in value), None)


@check("medium", "the environment of whoever started the supervisor reaches the service")
def environment_inherited(host: Told) -> str | None:
    same = [name for name, value in host["environment"].items() if os.environ.get(name) == value]
    return " ".join(sorted(set(same) - USUAL)) or None


@check("low", "core dumps are made: memory is handed to the program in the host's core_pattern")
def rlimit_core(_: Told) -> str | None:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    return f"core {soft} {hard}" if soft or hard else None


@check("low", "descriptors are not limited: kernel memory is the service's to fill")
def rlimit_nofile(_: Told) -> str | None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return f"nofile {soft} {hard}" if not 0 < hard <= 1 << 20 else None


@check(
    "low",
    "the file mode mask of whoever started the supervisor is the service's: files that anyone may write",
)
def umask_inherited(_: Told) -> str | None:
    mask = int(status("Umask", str(MAIN)), 8)
    return f"{mask:04o}" if mask & 0o022 != 0o022 else None


@check("low", "signals that whoever started the supervisor blocked or ignored stay so")
def signals_inherited(_: Told) -> str | None:
    # SIGUSR1 is ignored by the dirty parent, SIGUSR2 blocked; Python itself touches neither.
    ignored, blocked = int(status("SigIgn"), 16) >> 9 & 1, int(status("SigBlk"), 16) >> 11 & 1
    return f"SIGUSR1 ignored {ignored}, SIGUSR2 blocked {blocked}" if ignored or blocked else None
