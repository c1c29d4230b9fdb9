"""After the drop: the server answers everything with what was imported before."""

import os
import subprocess
import sys

AFTER_THE_DROP = """
import runpy, sys, tempfile
import tests_conftest as c
from supervisor.api.call import Call
import supervisor.api.client
folder = tempfile.mkdtemp()
served = c.Served(folder, c.FakeFleet(c.container("web")), c.FakeRecords(b"{}\\n"))
before = set(sys.modules)
with served.running():
    for method, target, body in [
        ("GET", "/v1/info", None), ("GET", "/v1/containers", None), ("GET", "/v1/containers/web", None),
        ("POST", "/v1/containers/web/start", None), ("POST", "/v1/containers/web/kill", {"signal": "SIGHUP"}),
        ("GET", "/v1/openapi.json", None), ("GET", "/v1/logs", None), ("GET", "/v1/nope", None),
        ("POST", "/v1/containers/web/kill", {"signal": 9}), ("POST", "/v1/stop", None),
    ]:
        try:
            list(Call(folder, method, target, body, timeout=60).chunks())
        except Exception as error:
            pass
print(sorted(set(sys.modules) - before))
"""


READING = """
import os, sys, trio
from supervisor.api import filtering, reading, schema
log_dir = os.open(".", os.O_RDONLY)
before = set(sys.modules)
async def main():
    asked = schema.query([("since", "5m"), ("level", "error"), ("field", "a=b"), ("run", "1")], schema.LogsQuery)
    records = reading.LogFolder(log_dir, lambda: ["web"], trio.Event)
    wanted = filtering.wanted(asked)
    for options in ({"last": 3}, {"last": None}, {"last": None, "reverse": True}):
        [_ async for _ in records.read((), follow=False, output=True, events=True, wanted=wanted, **options)]
trio.run(main)
print(sorted(set(sys.modules) - before))
"""


def test_nothing_is_imported_to_search_records(folder: str) -> None:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    done = subprocess.run(
        [sys.executable, "-c", READING],
        env={**os.environ, "PYTHONPATH": root},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_nothing_is_imported_once_the_server_module_is(folder: str) -> None:
    here = os.path.dirname(__file__)
    os.symlink(os.path.join(here, "conftest.py"), f"{folder}/tests_conftest.py")
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([folder, os.path.dirname(os.path.dirname(os.path.dirname(here)))]),
    }
    done = subprocess.run(
        [sys.executable, "-c", AFTER_THE_DROP],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
