"""Small services that containers of the tests run: a web server that can be made ill, and a client of sd_notify(3)."""

from typing import Any

PYTHON = "/usr/bin/python3"

_WEB = """
import http.server, os, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if os.path.exists("/tmp/ill") else 200)
        self.end_headers()
        self.wfile.write(b"x" * 100000)
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", 8080), Page).serve_forever()
"""
_NOTIFY = """
import os, socket, sys, time
def say(*words):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.sendto("\\n".join(words).encode(), os.environ["NOTIFY_SOCKET"])
"""


def web(**keys: Any) -> dict[str, Any]:
    """It answers 200 at port 8080 of its loopback, and 503 once there is a file /tmp/ill."""
    return {"rootfs": "host", "command": [PYTHON, "-c", _WEB], **keys}


def notifier(script: str, **keys: Any) -> dict[str, Any]:
    """It says what `script` lets it, by say("READY=1", …)."""
    return {"rootfs": "host", "command": [PYTHON, "-c", _NOTIFY + script], **keys}


def sleeper(script: str = "", **keys: Any) -> dict[str, Any]:
    """A shell script, and then nothing for ever."""
    return {"rootfs": "host", "command": ["/bin/sh", "-c", f"{script}\nexec sleep 1000000"], **keys}
