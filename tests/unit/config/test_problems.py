"""Broken configurations: each is refused at its line and key, with words that say what to write."""

from pathlib import Path

import pytest

from supervisor.config.load import load
from supervisor.errors import ConfigError, Problem

#: Lines 1 to 4 of every case; the case's own text follows from line 5.
WEB = '[container.web]\nrootfs = "host"\nuserns = "host"\ncommand = ["/bin/true"]\n'
MOUNT = '[[container.web.mounts]]\ntype = "bind"\nsource = "/srv"\n'

SYSLOG = "[supervisor.ship.x]\ntype = 'syslog'\naddress = 'unix:/dev/log'\n"
HTTP = "[supervisor.ship.x]\ntype = 'http'\nurl = 'http://x/'\n"

#: The text, the line and key of a problem, and a fragment of what is said.
CASES = [
    # keys
    ("comand = []", 5, "container.web.comand", 'unknown key (did you mean "command"?)'),
    ("zzz = 1", 5, "container.web.zzz", "unknown key"),
    ('"a\\u001bb" = 1', 5, 'container.web."a\\u001bb"', "unknown key"),
    ("[containers.db]", 5, "containers", 'did you mean "container"?'),
    ("[supervisr]", 5, "supervisr", 'did you mean "supervisor"?'),
    ("[supervisor.log]", 5, "supervisor.log", 'did you mean "logs"?'),
    ("[container.web.restart]\nbackof = {}", 6, "container.web.restart.backof", 'did you mean "backoff"?'),
    ("[container.web.stop]\nsig = 1", 6, "container.web.stop.sig", 'did you mean "signal"?'),
    ("[container.Web]", 5, "container.Web", "use [a-z0-9][a-z0-9_-]{0,62}"),
    ('[container."a.b"]', 5, "container.a.b", "is not a name"),
    ("[container.supervisor]", 5, "container.supervisor", "use another"),
    ("[container]\ndb = 1", 6, "container.db", "1 is not a table"),
    ("[container.db]", 5, "container.db.command", 'is missing (write command = ["/bin/program"])'),
    ("[container.db]", 5, "container.db.rootfs", 'is missing (write rootfs = "host")'),
    # the socket
    ("[supervisor]\ngroup = 'no-such-group'", 6, "supervisor.group", "groupadd --system no-such-group"),
    ("[supervisor]\nuser = 'no-such-user'", 6, "supervisor.user", "useradd --system no-such-user"),
    ("[supervisor]\nuser = 4000000000", 6, "supervisor.user", "write a name"),
    ("[supervisor]\ngroup = -1", 6, "supervisor.group", "is not a user or group"),
    # shipping: lines 5 to 7 are the sink's head, its type, and what it needs
    ("[supervisor.ship.X]\ntype = 'http'", 5, "supervisor.ship.X", "is not a name"),
    ("[supervisor.ship.x]", 5, "supervisor.ship.x.type", "is missing (write one of http"),
    ("[supervisor.ship.x]\ntype = 'http'", 5, "supervisor.ship.x.url", "is missing"),
    ("[supervisor.ship.x]\ntype = 'syslog'", 5, "supervisor.ship.x.address", "is missing"),
    (f"{SYSLOG}url = 'http://x/'", 8, "supervisor.ship.x.url", 'is not of type "syslog" (leave it out)'),
    (f"{SYSLOG}facility = 'x'", 8, "supervisor.ship.x.facility", "is not known here"),
    (f"{SYSLOG}containers = ['web/']", 8, "supervisor.ship.x.containers[0]", "is not a pattern of names"),
    ("[supervisor.logs]\nsegment_age = '0s'", 6, "supervisor.logs.segment_age", '(at least "1s")'),
    (f"{SYSLOG}linger = '1ms'", 8, "supervisor.ship.x.linger", 'is too short (at least "10ms")'),
    (f"{SYSLOG}backoff = {{ initial = '1m' }}", 8, "supervisor.ship.x.backoff", "is longer than max"),
    (f"{SYSLOG}ca_file = '/nowhere'", 8, "supervisor.ship.x.ca_file", "cannot be read"),
    (f"{SYSLOG}cert_file = '/dev/null'", 8, "supervisor.ship.x.cert_file", "is not a regular file"),
    (
        "[supervisor.ship.x]\ntype = 'syslog'\naddress = 'tcp:x'",
        7,
        "supervisor.ship.x.address",
        "is not an address",
    ),
    ("[supervisor.ship.x]\ntype = 'http'\nurl = 'ftp://x'", 7, "supervisor.ship.x.url", "is not a URL"),
    ("[supervisor.ship.x]\ntype = 'http'\nurl = 'http://a:b@x'", 7, "supervisor.ship.x.url", "user name"),
    (f"{HTTP}headers = {{ Host = 'x' }}", 8, "supervisor.ship.x.headers.Host", "the supervisor itself"),
    (
        f"{HTTP}headers = {{ 'a b' = 'x' }}",
        8,
        'supervisor.ship.x.headers."a b"',
        "is not the name of a header",
    ),
    (f'{HTTP}headers = {{ a = "x\\u0007" }}', 8, "supervisor.ship.x.headers.a", "control character"),
    (f"{HTTP}fields = {{ seq = 'x' }}", 8, "supervisor.ship.x.fields.seq", "records have one of their own"),
    (f"{HTTP}format = 'xml'", 8, "supervisor.ship.x.format", "is not known here"),
    (
        f"{HTTP}template = {{ record = '${{who}}' }}",
        8,
        "supervisor.ship.x.template.record",
        "is not known here",
    ),
    (f"{HTTP}template = {{ head = 'x' }}", 8, "supervisor.ship.x.template.record", "is missing"),
    # identity of the program
    ("[container.db]\ncommand = 'a b'", 6, "container.db.command", "there is no shell"),
    ("[container.db]\ncommand = 1", 6, "container.db.command", '1 is not a list (write ["1"])'),
    ("[container.db]\ncommand = []", 6, "container.db.command", "names no program"),
    ("[container.db]\ncommand = ['']", 6, "container.db.command", "names no program"),
    ("[container.db]\ncommand = ['a', 1]", 6, "container.db.command[1]", '1 is not a string (write "1")'),
    ('[container.db]\ncommand = ["a\\u0000"]', 6, "container.db.command[0]", "holds a NUL"),
    ("[container.db]\nrootfs = '/nowhere/at/all'", 6, "container.db.rootfs", "is not a directory"),
    ("[container.db]\nrootfs = ''", 6, "container.db.rootfs", "is not a path"),
    ('[container.db]\nrootfs = "a\\nb"', 6, "container.db.rootfs", "holds a control character"),
    (
        "rootfs_mode = 'overlaid'",
        5,
        "container.web.rootfs_mode",
        'write "overlay", "persistent", "direct" or "read-only"',
    ),
    ("user = '0day'", 5, "container.web.user", "a decimal id from 0 to 4294967294"),
    ("user = '1:2:3'", 5, "container.web.user", '"uid:gid"'),
    ("groups = 'audio'", 5, "container.web.groups", '(write ["audio"])'),
    ("groups = ['+1']", 5, "container.web.groups[0]", "is not a user or group"),
    ("workdir = 'srv'", 5, "container.web.workdir", 'write "/srv"'),
    ("workdir = '/a/../b'", 5, "container.web.workdir", '".."'),
    ("env = ['A=1']", 5, "container.web.env", "a list is not a table"),
    ("env = { 1A = 'x' }", 5, "container.web.env.1A", "is not a name of a variable"),
    ("env = { PORT = 80 }", 5, "container.web.env.PORT", 'write "80"'),
    ('env.A = "a\\nb"', 5, "container.web.env.A", "line break"),
    ('env.A = "\\u0000"', 5, "container.web.env.A", "control character"),
    ("env_file = 'none.env'", 5, "container.web.env_file", '"none.env" cannot be read: No such file'),
    ("hostname = '-a'", 5, "container.web.hostname", "is not a host name"),
    ("hostname = 'a.b'", 5, "container.web.hostname", "is not a host name"),
    (f"hostname = '{'a' * 64}'", 5, "container.web.hostname", "at most 63"),
    ("init = 'yes'", 5, "container.web.init", "write true or false"),
    ("replicas = 0", 5, "container.web.replicas", "from 1 to"),
    ("replicas = true", 5, "container.web.replicas", "from 1 to"),
    # confinement
    ("namespaces = ['mount', 'net']", 5, "container.web.namespaces[1]", "follows the key network"),
    ("namespaces = ['mount', 'user']", 5, "container.web.namespaces[1]", "follows the key userns"),
    ("namespaces = ['mount', 'time']", 5, "container.web.namespaces[1]", "follows the key time_offsets"),
    ("namespaces = ['pid']", 5, "container.web.namespaces", '"mount" is missing'),
    ("namespaces = ['mount', 'mnt']", 5, "container.web.namespaces[1]", "write mount, pid, uts, ipc, cgroup"),
    ("network = 'bridge'", 5, "container.web.network", 'write "none" or "host"'),
    ("capabilities = ['NET_BIND']", 5, "container.web.capabilities[0]", 'did you mean "NET_BIND_SERVICE"?'),
    ("capabilities = ['ALL']", 5, "container.web.capabilities[0]", "list each one"),
    ("no_new_privileges = 1", 5, "container.web.no_new_privileges", "is not a flag"),
    ("rlimits = { nofiles = 1 }", 5, "container.web.rlimits.nofiles", 'did you mean "nofile"?'),
    ("rlimits = { nofile = '1k' }", 5, "container.web.rlimits.nofile", '"unlimited"'),
    ("rlimits = { nofile = -1 }", 5, "container.web.rlimits.nofile", "is not a limit"),
    ("devices = ['/etc/passwd']", 5, "container.web.devices[0]", "is not a device node"),
    ("seccomp = ''", 5, "container.web.seccomp", "is not a path"),
    # mounts
    ("mounts = {}", 5, "container.web.mounts", "is not a list"),
    (MOUNT, 5, "container.web.mounts[0].target", "is missing"),
    (MOUNT + "target = 'srv'", 8, "container.web.mounts[0].target", "is not absolute"),
    (MOUNT + "target = '/a/..'", 8, "container.web.mounts[0].target", '".."'),
    (MOUNT + "target = '//'", 8, "container.web.mounts[0].target", "supervisor's own mount"),
    (MOUNT + "target = '/proc/.'", 8, "container.web.mounts[0].target", "supervisor's own mount"),
    (MOUNT + "target = '//sys'", 8, "container.web.mounts[0].target", "supervisor's own mount"),
    (MOUNT + "target = '/dev/'", 8, "container.web.mounts[0].target", "supervisor's own mount"),
    (
        MOUNT + "target = '/a'\n" + MOUNT + "target = '/a/'",
        12,
        "container.web.mounts[1].target",
        "mounted twice",
    ),
    (
        MOUNT + "target = '/a'\noptions = ['readonly']",
        9,
        "container.web.mounts[0].options[0]",
        "is not a mount option",
    ),
    (
        MOUNT + "target = '/a'\noptions = ['ro', 'rw']",
        9,
        "container.web.mounts[0].options",
        "contradict each other",
    ),
    (MOUNT + "target = '/a'\noptions = ['size=1M']", 9, "container.web.mounts[0].options", "is for a tmpfs"),
    ("mounts = [{ type = 'bind', target = '/a' }]", 5, "container.web.mounts[0].source", "is missing"),
    ("mounts = [{ target = '/a' }]", 5, "container.web.mounts[0].type", 'write "bind" or "tmpfs"'),
    (
        "mounts = [{ type = 'nfs', target = '/a' }]",
        5,
        "container.web.mounts[0].type",
        'write "bind" or "tmpfs"',
    ),
    (
        "mounts = [{ type = 'tmpfs', target = '/a', source = 'x' }]",
        5,
        "container.web.mounts[0].source",
        "a tmpfs has none",
    ),
    (
        "mounts = [{ type = 'tmpfs', target = '/a', options = ['mode=9'] }]",
        5,
        "container.web.mounts[0].options[0]",
        "octal",
    ),
    # limits
    ("cgroup.cpu.max = '10x'", 5, "container.web.cgroup.cpu.max", '(use "10%", 0.5 CPUs, or "QUOTA PERIOD")'),
    ("cgroup.cpu.max = '500'", 5, "container.web.cgroup.cpu.max", "quotas from 1000"),
    ("cgroup.cpu.max = 10000", 5, "container.web.cgroup.cpu.max", '"10000" is µs of every 100000'),
    ("cgroup.cpu.max = inf", 5, "container.web.cgroup.cpu.max", "more CPUs than"),
    ("cgroup.cpu.weight = 0", 5, "container.web.cgroup.cpu.weight", "from 1 to 10000"),
    ("cgroup.memory.max = '64MB'", 5, "container.web.cgroup.memory.max", '"64MiB"'),
    ("cgroup.memory.max = 0", 5, "container.web.cgroup.memory.max", "leaves no memory"),
    ("cgroup.memory.oom.group = 'yes'", 5, "container.web.cgroup.memory.oom.group", "write true or false"),
    ("cgroup.memory = '64MiB'", 5, "container.web.cgroup.memory", 'did you mean "memory.max"?'),
    ("cgroup.memory.maxx = 1", 5, "container.web.cgroup.memory.maxx", 'did you mean "memory.max"?'),
    ("cgroup.pids.max = -1", 5, "container.web.cgroup.pids.max", 'or "max"'),
    ("cgroup.io.weight = 1.5", 5, "container.web.cgroup.io.weight", "is not a weight"),
    (
        "cgroup = { cpu.max = 1,  'cpu.max' = 1 }",
        5,
        "container.web.cgroup.cpu.max",
        "given twice; the first is at",
    ),
    ("cgroup = 'none'", 5, "container.web.cgroup", "is not a table"),
    # restart, stop, output
    (
        "restart = 'allways'",
        5,
        "container.web.restart",
        'write "always", "on-failure", "unless-stopped" or "never"',
    ),
    ("restart = 5", 5, "container.web.restart", "is not a restart policy"),
    ("[container.web.restart]\nsuccess = [256]", 6, "container.web.restart.success[0]", "from 0 to 255"),
    (
        "[container.web.restart.backoff]\nfactor = nan",
        6,
        "container.web.restart.backoff.factor",
        "from 1 to 1000",
    ),
    ("[container.web.restart.backoff]\njitter = 2", 6, "container.web.restart.backoff.jitter", "from 0 to 1"),
    (
        "[container.web.restart.backoff]\nmax = '1ms'",
        5,
        "container.web.restart.backoff",
        "is longer than max",
    ),
    (
        "[container.web.restart.limit]\nfailures = 5",
        5,
        "container.web.restart.limit.within",
        'write within = "60s"',
    ),
    ("stop.signal = 'SIGTREM'", 5, "container.web.stop.signal", 'did you mean "SIGTERM"?'),
    ("stop.timeout = 10", 5, "container.web.stop.timeout", "is not a duration"),
    ("output.max_line = 1", 5, "container.web.output.max_line", "too small"),
    ("output.format = 'xml'", 5, "container.web.output.format", 'write "text" or "json"'),
    # across containers
    ("depends.after = ['bd']", 5, "container.web.depends.after", '"bd" is not a container here'),
    ("depends.after = ['web']", 5, "container.web.depends", "goes in a circle: web → web"),
    (
        "depends.after = ['db']\n[container.db]\ndepends.requires = ['web']",
        5,
        "container.web.depends",
        "web → db → web",
    ),
    ("depends = 'db'", 5, "container.web.depends", "is not a table"),
    ("[group.app]\nmembers = ['wbe']", 6, "group.app.members", 'did you mean "web"?'),
    ("[group.app]\nmembers = ['web', 'web']", 6, "group.app.members[1]", '"web" is in the list already'),
    ("[group.app]", 5, "group.app.members", "is missing"),
    ("[group.app]\nmembers = ['web']\nstrategy = 'all'", 7, "group.app.strategy", '"one_for_all"'),
    (
        "[group.a]\nmembers = ['web']\n[group.b]\nmembers = ['web']",
        8,
        "group.b.members",
        'already in group "a"',
    ),
    # hooks
    ("on.failed = 'page'", 5, "container.web.on.failed", "there is no shell"),
    ("on.failed = ['page']", 5, "container.web.on.failed", "is not an absolute path"),
    ("on.faild = ['/bin/page']", 5, "container.web.on.faild", 'did you mean "failed"?'),
    # schedules
    ("schedule = '61 * * * *'", 5, "container.web.schedule", "is not a cron expression: Bad minute"),
    ("schedule = '0 0 31 2 *'", 5, "container.web.schedule", "is not a cron expression"),
    ("schedule = 5", 5, "container.web.schedule", "is not a schedule"),
    ("schedule = { timezone = 'UTC' }", 5, "container.web.schedule.cron", "is missing"),
    (
        "schedule = { cron = '0 3 * * *', timezone = 'Mars/Olympus' }",
        5,
        "container.web.schedule.timezone",
        "is not a time zone known here",
    ),
    (
        "schedule = '0 3 * * *'\nrestart = 'always'",
        5,
        "container.web.schedule",
        'does not go with restart = "always"',
    ),
    # probes
    ("ready = {}", 5, "container.web.ready.type", "is missing"),
    ("ready.type = 'exec'", 5, "container.web.ready.command", "needs it"),
    ("ready = { type = 'tcp', address = '1' }", 5, "container.web.ready.address", "is not an address"),
    ("ready = { type = 'tcp', address = 'db:1' }", 5, "container.web.ready.address", "probes look none up"),
    ("health = { type = 'http', url = 'http://web/' }", 5, "container.web.health.url", "probes look none up"),
    (
        "health = { type = 'http', url = 'http://a@127.0.0.1/' }",
        5,
        "container.web.health.url",
        "not an http URL",
    ),
    (
        "ready = { type = 'tcp', address = '[::1]:1', watchdog = '1s' }",
        5,
        "container.web.ready.watchdog",
        'needs type = "notify"',
    ),
    (
        "ready = { type = 'log', pattern = '(' }",
        5,
        "container.web.ready.pattern",
        "is not a regular expression",
    ),
    ("health = { type = 'http', url = 'x' }", 5, "container.web.health.url", "is not an http URL"),
    ("health = { type = 'tcp', url = 'http://a/' }", 5, "container.web.health.url", "does not go with"),
    ("health = { type = 'notify' }", 5, "container.web.health.type", 'write "exec", "http" or "tcp"'),
    # the supervisor itself
    ("[supervisor]\nuser = ''", 6, "supervisor.user", "is not a user"),
    ("[supervisor.logs]\nsegment = '1'", 6, "supervisor.logs.segment", "too small"),
    ("[supervisor.logs]\ncompress = 'xz'", 6, "supervisor.logs.compress", '"zstd", "gzip" or "none"'),
    ("[supervisor.monitor]\ninterval = '0s'", 6, "supervisor.monitor.interval", "too short"),
    (
        "[supervisor.monitor]\nthrottled_percent = 101",
        6,
        "supervisor.monitor.throttled_percent",
        "from 0 to 100",
    ),
    ("[defaults]\ncgroup.cpu.max = []", 6, "defaults.cgroup.cpu.max", "a list is not a CPU limit"),
    # values of any size and kind
    ("replicas = 0x" + "f" * 10_000, 5, "container.web.replicas", "a number that large"),
    ("hostname = 1979-05-27", 5, "container.web.hostname", "a date or time is not a string"),
]


def problems(folder: Path, text: str) -> list[Problem]:
    (folder / "c.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load("c.toml", cwd=str(folder), environ={})
    return list(caught.value.problems)


@pytest.mark.parametrize(("text", "line", "key", "fragment"), CASES)
def test_it_is_refused_where_it_stands(tmp_path: Path, text: str, line: int, key: str, fragment: str) -> None:
    found = problems(tmp_path, WEB + text + "\n")
    assert any(
        (each.file, each.line, each.key) == ("c.toml", line, key) and fragment in each.text for each in found
    ), "\n".join(map(str, found))
    assert all(str(each).isprintable() for each in found)


def test_the_list_is_long_enough() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize(
    "text", ["init = 1", "schedule = '@daily'", "schedule = 1", "command = 1", "ready = 1", "health = 1"]
)
def test_one_wrong_value_makes_one_problem(tmp_path: Path, text: str) -> None:
    begin = WEB if not text.startswith("command") else WEB[: WEB.index("command")]
    assert len(problems(tmp_path, f"{begin}{text}\n")) == 1
