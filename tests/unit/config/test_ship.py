"""Tables of sinks become exactly what they say; files that they name are read when they are, and never shown."""

from pathlib import Path

import pytest

from supervisor.config.load import load
from supervisor.core.backoff import Backoff
from supervisor.core.plan import diff
from supervisor.core.sinks import Sink, Template
from supervisor.errors import ConfigError

HEAD = '[container.web]\nrootfs = "host"\ncommand = ["/bin/true"]\n'


def read(folder: Path, text: str) -> dict[str, Sink]:
    (folder / "all.toml").write_text(HEAD + text)
    return dict(load(str(folder)).settings.ship)


def test_a_sink_that_says_little_takes_everything(tmp_path: Path) -> None:
    found = read(tmp_path, '[supervisor.ship.vector]\ntype = "http"\nurl = "http://127.0.0.1:9000/"\n')
    sink = found["vector"]
    assert (sink.type, sink.url) == ("http", "http://127.0.0.1:9000/")
    assert (sink.containers, sink.events, sink.level) == (("*",), ("*",), "debug")
    assert (sink.batch, sink.records, sink.linger, sink.timeout) == (1 << 20, 5000, 0.5, 30.0)
    assert sink.fields == (("host", sink.host),)
    assert sink.host


def test_every_key_arrives_and_files_are_read(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / f"{name}.pem").write_text(f"the {name}\n")
    (tmp_path / "token").write_text("s3cret\n")
    found = read(
        tmp_path,
        r"""
[supervisor.ship.all]
type = "http"
containers = ["web", "db-*"]
streams = ["stderr"]
level = "warning"
events = []
start = "end"
batch = "64KiB"
records = 7
linger = "2s"
timeout = "5s"
backoff = { initial = "1s", factor = 3, max = "1m", jitter = 0 }
url = "https://logs.example.com:8443/in?x=%20"
headers = { X-Scope-OrgID = "me" }
token_file = "token"
template = { record = "<${text}> $$", head = "[", between = ",", tail = "]" }
content_type = "application/json"
compression = "gzip"
fields = { site = "north" }
ca_file = "ca.pem"
cert_file = "cert.pem"
key_file = "key.pem"
""",
    )
    sink = found["all"]
    assert sink == Sink(
        type="http",
        url="https://logs.example.com:8443/in?x=%20",
        containers=("web", "db-*"),
        streams=("stderr",),
        level="warning",
        events=(),
        start="end",
        batch=64 << 10,
        records=7,
        linger=2.0,
        timeout=5.0,
        backoff=Backoff(1.0, 3.0, 60.0, 0.0),
        headers=(("X-Scope-OrgID", "me"),),
        token_file="s3cret",
        format="template",
        template=Template("<${text}> $$", "[", ",", "]"),
        content_type="application/json",
        compression="gzip",
        fields=(("site", "north"),),
        host=sink.host,
        ca_file="the ca\n",
        cert_file="the cert\n",
        key_file="the key\n",
    )


@pytest.mark.parametrize("address", ["unix:/dev/log", "udp:[::1]:514", "tcp:logs:601", "tls:10.0.0.1:6514"])
def test_syslog_has_an_address_of_four_kinds(tmp_path: Path, address: str) -> None:
    text = f'[supervisor.ship.s]\ntype = "syslog"\naddress = "{address}"\nmax_message = "8KiB"\n'
    sink = read(tmp_path, text)["s"]
    assert (sink.address, sink.facility, sink.max_message) == (address, "daemon", 8192)


def test_more_than_sixteen_sinks_are_too_many(tmp_path: Path) -> None:
    text = "".join(f'[supervisor.ship.s{n}]\ntype = "http"\nurl = "http://x/"\n' for n in range(17))
    with pytest.raises(ConfigError, match="is one sink too many"):
        read(tmp_path, text)


def test_a_reload_names_the_key_of_a_sink_and_not_its_value(tmp_path: Path) -> None:
    text = '[supervisor.ship.x]\ntype = "http"\nurl = "http://x/"\ntoken_file = "token"\n'
    (tmp_path / "token").write_text("one")
    read(tmp_path, text)
    before = load(str(tmp_path))
    (tmp_path / "token").write_text("two")
    assert diff(before, load(str(tmp_path))).settings == ("ship.x.token_file",)
