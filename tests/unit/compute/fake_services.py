"""Services that another one asks over HTTP, in this process."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeServices:
    """Identity, and another one, which answer as a test says and remember what they were asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {}  # by method and path; the last one stays
        self.asked: list[tuple[str, str, str, Any]] = []
        self.logins = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                key = f"{self.command} {self.path}"
                outer.asked.append(
                    (self.command, self.path, self.headers.get("X-Auth-Token", ""), json.loads(body) if body else None)
                )
                status: int = 404
                document: Any = {}
                headers: dict[str, str] = {}
                if self.path == "/v3/auth/tokens":
                    outer.logins += 1
                    status, headers = 201, {"X-Subject-Token": f"token-{outer.logins}"}
                elif key in outer.answers:
                    waiting = outer.answers[key]
                    status, document = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                data = json.dumps(document).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = do_PUT = _answer  # noqa: N815 as the base class calls them

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
