"""An OTLP/HTTP receiver of logs on OpenTelemetry's own protobuf classes: python otlp_receiver.py PORT FILE.

What the official JSON parser does not take is answered with 400; what was taken is in FILE before the answer.
"""

import http.server
import json
import sys
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2


class Receiving(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request: Any = logs_service_pb2.ExportLogsServiceRequest()
        status, answer = 200, b"{}"
        try:
            assert self.path == "/v1/logs"
            assert self.headers["Content-Type"] == "application/json"
            json_format.Parse(body, request)
            self._keep(request)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is told
            status, answer = 400, str(error).encode()
            print(error, flush=True)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _keep(self, request: Any) -> None:
        with open(sys.argv[2], "a") as file:
            for resource in request.resource_logs:
                for scope in resource.scope_logs:
                    for one in scope.log_records:
                        attributes = {each.key: each.value.string_value for each in one.attributes}
                        line = {"id": attributes["log.record.uid"], "text": one.body.string_value}
                        file.write(json.dumps(line) + "\n")

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiving).serve_forever()
