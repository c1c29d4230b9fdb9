"""Real receivers of records, unpacked by tests/setup: started, stopped, held still, and asked what they have got.

Laws: everything of one is in a folder of its own; it writes down what it receives as it comes, with the identity.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.support.running import until


class Got(NamedTuple):
    id: str
    text: str


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Receiver:
    """`command` and `environment` are those of its program; `ready` tells when it listens."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.folder = Path(tempfile.mkdtemp(prefix="modoki-receiver-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        libraries = [
            f"{tree}/{one}"
            for one in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib/syslog-ng")
        ]
        self.environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}
        self.command: list[str] = []
        self.longest = 20_000  # characters of a line

    def start(self) -> None:
        with (self.folder / "said").open("ab") as said:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        until(self._listens, lambda: f"{self.command[0]} listens\n{(self.folder / 'said').read_text()}")

    def _listens(self) -> bool:
        assert self.process
        assert self.process.poll() is None, (self.folder / "said").read_text()
        return self.ready()

    def ready(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """As a service manager does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def hold(self) -> None:
        """It is there, and does nothing."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def release(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def got(self) -> list[Got]:
        """What it has written down, in the order in which it came."""
        file = self.folder / "got"
        lines = file.read_bytes().decode().split("\n")[:-1] if file.exists() else []
        return [_syslog(line) for line in lines]

    def clean(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder)


def _syslog(line: str) -> Got:
    """Structured data, a tab, the text."""
    data, _, text = line.partition("\t")
    found = re.search(r'[ []id="([^"]*)"', data)
    return Got(found[1] if found else "", text)


class Rsyslog(Receiver):
    """`kind` is "tcp", "tls" or "unix"."""

    def __init__(self, tree: Path, kind: str) -> None:
        super().__init__(tree)
        self.kind = kind
        self.socket = self.folder / "log"
        if kind == "tls":
            certificate(self.folder)
        (self.folder / "conf").write_text(self._configuration())
        modules = f"{tree}/usr/lib/x86_64-linux-gnu/rsyslog"
        self.command = [
            f"{tree}/usr/sbin/rsyslogd", "-n", "-f", f"{self.folder}/conf", "-i", f"{self.folder}/pid", "-M", modules,
        ]  # fmt: skip

    def ready(self) -> bool:
        return self.socket.exists() if self.kind == "unix" else super().ready()

    def _configuration(self) -> str:
        here, files = self.folder, ""
        if self.kind == "tls":
            files = (
                f'defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{here}/cert.pem" '
                f'defaultNetstreamDriverCertFile="{here}/cert.pem" defaultNetstreamDriverKeyFile="{here}/key.pem"'
            )
        secure = 'StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon"'
        tcp = f"""
module(load="imtcp" {secure if self.kind == "tls" else ""})
input(type="imtcp" address="127.0.0.1" port="{self.port}")
"""
        unix = f"""
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{self.socket}" UseSpecialParser="off" ParseHostname="on" RateLimit.Interval="0")
"""
        return f"""
global(workDirectory="{here}" maxMessageSize="128k" parser.escapeControlCharactersOnReceive="off" {files})
{unix if self.kind == "unix" else tcp}
template(name="got" type="string" string="%STRUCTURED-DATA%\\t%msg%\\n")
action(type="omfile" file="{here}/got" template="got")
"""


class SyslogNg(Receiver):
    """`kind` is "tcp" or "unix"."""

    def __init__(self, tree: Path, kind: str) -> None:
        super().__init__(tree)
        self.kind = kind
        self.socket = here = self.folder / "log"
        tcp = f'syslog(transport("tcp") ip("127.0.0.1") port({self.port}) max-connections(100));'
        source = tcp if kind == "tcp" else f'unix-dgram("{here}" flags(syslog-protocol));'
        (self.folder / "conf").write_text(f"""@version: 3.38
options {{ keep-hostname(yes); log-msg-size(131072); stats-freq(0); use-dns(no); }};
source s {{ {source} }};
destination d {{ file("{self.folder}/got" template("${{SDATA}}\\t${{MSG}}\\n")); }};
log {{ source(s); destination(d); flags(flow-control); }};
""")
        self.command = [
            f"{tree}/usr/sbin/syslog-ng", "--foreground", "--no-caps", f"--cfgfile={self.folder}/conf",
            f"--persist-file={self.folder}/persist", f"--pidfile={self.folder}/pid",
            f"--control={self.folder}/control", f"--module-path={tree}/usr/lib/syslog-ng/3.38",
        ]  # fmt: skip

    def ready(self) -> bool:
        return self.socket.exists() if self.kind == "unix" else super().ready()


class ClickHouse(Receiver):
    """A table that drops doubles by itself."""

    def __init__(self, tree: Path) -> None:
        super().__init__(tree)
        (self.folder / "users.xml").write_text(
            "<yandex><profiles><default/></profiles><quotas><default/></quotas><users><default><password/>"
            "<networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users></yandex>"
        )
        (self.folder / "config.xml").write_text(
            f"<yandex><logger><level>warning</level><console>1</console></logger><http_port>{self.port}</http_port>"
            f"<tcp_port>{free_port()}</tcp_port><listen_host>127.0.0.1</listen_host><path>{self.folder}/data/</path>"
            f"<tmp_path>{self.folder}/tmp/</tmp_path><users_config>users.xml</users_config><timezone>UTC</timezone>"
            "<default_profile>default</default_profile><default_database>default</default_database>"
            "<mark_cache_size>67108864</mark_cache_size></yandex>"
        )
        self.command = [f"{tree}/usr/sbin/clickhouse-server", f"--config-file={self.folder}/config.xml"]

    def start(self) -> None:
        super().start()
        columns = (
            "id String, host String, container String, run UInt32, stream String, seq UInt64, line String"
        )
        self.query(f"CREATE TABLE IF NOT EXISTS logs ({columns}) ENGINE = ReplacingMergeTree ORDER BY id")

    @property
    def url(self) -> str:
        query = urllib.parse.quote("INSERT INTO logs FORMAT JSONEachRow")
        return f"http://127.0.0.1:{self.port}/?query={query}&input_format_skip_unknown_fields=1"

    def query(self, text: str) -> str:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.port}/", data=text.encode(), timeout=60
        ) as answer:
            said: bytes = answer.read()
            return said.decode()

    def got(self) -> list[Got]:
        said = self.query(
            "SELECT id, line FROM logs FINAL ORDER BY container, run, stream, seq FORMAT JSONEachRow"
        )
        return [Got(one["id"], one["line"]) for one in map(json.loads, said.splitlines())]


class Otlp(Receiver):
    """Built on OpenTelemetry's own protobuf classes."""

    def __init__(self, tree: Path) -> None:
        super().__init__(tree)
        program = Path(__file__).with_name("otlp_receiver.py")
        self.command = [sys.executable, str(program), str(self.port), f"{self.folder}/got"]

    def got(self) -> list[Got]:
        lines = (self.folder / "got").read_text().splitlines()
        return [Got(one["id"], one["text"]) for one in map(json.loads, lines)]


class Journald(Receiver):
    """systemd-journald on a /run of its own; its socket and its files are in our folder."""

    PROGRAM = "/lib/systemd/systemd-journald"
    CONF = "[Journal]\\nStorage=volatile\\nRateLimitIntervalSec=0\\nReadKMsg=no\\nForwardToSyslog=no\\nForwardToWall=no\\n"

    def __init__(self, tree: Path) -> None:
        super().__init__(tree)
        self.environment = dict(os.environ)
        self.longest = 300_000  # more than a datagram holds
        self.socket = self.folder / "systemd/journal/socket"
        (self.folder / "systemd/journald.conf.d").mkdir(parents=True)
        (self.folder / "journal").mkdir()
        script = (
            "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd /run/log/journal && "
            f"mount --bind {self.folder}/systemd /run/systemd && mount --bind {self.folder}/journal /run/log/journal && "
            f"printf '{self.CONF}' >/run/systemd/journald.conf.d/test.conf && exec {self.PROGRAM}"
        )
        self.command = ["unshare", "--mount", "--propagation=private", "sh", "-c", script]

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        super().start()

    def ready(self) -> bool:
        return self.socket.exists()

    def got(self) -> list[Got]:
        command = ["journalctl", f"--directory={self.folder}/journal", "--output=json", "--all", "--quiet"]
        said = subprocess.run(command, capture_output=True, check=True).stdout
        found = [json.loads(line) for line in said.splitlines()]
        return [Got(one["MODOKI_ID"], _journal(one["MESSAGE"])) for one in found if "MODOKI_ID" in one]


def _journal(value: str | list[int]) -> str:
    """Text with controls is given as a list of bytes."""
    return value if isinstance(value, str) else bytes(value).decode()


def certificate(folder: Path) -> None:
    """One that signs itself, for localhost: cert.pem and key.pem."""
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem", "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ],
        check=True, capture_output=True,
    )  # fmt: skip


#: By name, from the folder that tests/setup made.
RECEIVERS: dict[str, Callable[[Path], Receiver]] = {
    "rsyslog-tcp": lambda tree: Rsyslog(tree, "tcp"),
    "rsyslog-tls": lambda tree: Rsyslog(tree, "tls"),
    "rsyslog-unix": lambda tree: Rsyslog(tree, "unix"),
    "syslog-ng-tcp": lambda tree: SyslogNg(tree, "tcp"),
    "syslog-ng-unix": lambda tree: SyslogNg(tree, "unix"),
    "clickhouse": ClickHouse,
    "otlp": Otlp,
    "journald": Journald,
}
