from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class StandIn:
    """A web server that answers as a script says: by method and path, each answer once, the last for ever.

    An answer is ``(status, headers, body)`` or what writes one: ``answer(handler)``.
    """

    def __init__(self):
        self.script = {}
        self.asked = []
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_GET(self):
                length = int(self.headers.get("content-length") or 0)
                stand_in.answer(self, self.rfile.read(length))

            do_PUT = do_POST = do_GET  # noqa: N815 - http.server's names

            def log_message(self, format, *args):  # noqa: A002 - http.server's names
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.address}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def says(self, method, path, *answers):
        self.script[method, path] = list(answers)

    def answer(self, handler, body):
        self.asked.append((handler.command, handler.path, body, dict(handler.headers)))
        answers = self.script.get((handler.command, handler.path.partition("?")[0]), [(404, {}, b"{}")])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            handler.close_connection = True
            answer(handler)
            return
        status, headers, body = answer
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Connection": "close", **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def stand_in():
    """Make stand-ins for web servers."""
    made = []

    def make():
        made.append(StandIn())
        return made[-1]

    yield make
    for one in made:
        one.close()
