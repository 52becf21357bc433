"""What stands beside every application, as WSGI: /healthcheck and the access log around it, and its admin port.

Source: oslo.middleware's healthcheck for the path and the answers. The admin port is that of all our daemons
(`cluster.telemetry.http`). Neither asks for a token: they tell no secrets.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from cluster.controlplane.requests import REQUEST_ID_HEADER
from cluster.telemetry.http import Health
from cluster.telemetry.log import get_logger
from cluster.telemetry.metrics import CONTENT_TYPE, Registry

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Probed:
    """An application with its probe and its access log. It is itself a WSGI application."""

    def __init__(self, application: Application, name: str, registry: Registry, health: Health) -> None:
        self._application = application
        self._health = health
        self._log = get_logger(name)
        self._counts = registry.counters("holdfast_http_requests_total", "Requests answered.", ("method", "status"))
        self._latency = registry.histogram("holdfast_http_request_seconds", "From the head of a request to its answer.")

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if environ.get("REQUEST_METHOD") in ("GET", "HEAD") and path == "/healthcheck":
            return self._probe(start_response)
        return self._logged(environ, start_response)

    def _probe(self, start_response: StartResponse) -> Iterable[bytes]:
        serves, _details = self._health()
        if serves:
            return _answer(start_response, HTTPStatus.OK, b"OK", "text/plain")
        return _answer(start_response, HTTPStatus.SERVICE_UNAVAILABLE, b"UNAVAILABLE", "text/plain")

    def _logged(self, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        begun_s = time.monotonic()
        answered: dict[str, str] = {"status": "0", "id": ""}

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            answered["status"] = status.split(" ")[0]
            answered["id"] = next((value for name, value in headers if name.lower() == _ID), "")
            return start_response(status, headers, *more)

        body = self._application(environ, start)
        size = 0
        try:
            for part in body:
                size += len(part)
                yield part
        finally:
            if hasattr(body, "close"):
                body.close()
            self._record(environ, answered, size, time.monotonic() - begun_s)

    def _record(self, environ: Environ, answered: dict[str, str], size: int, duration_s: float) -> None:
        method = environ.get("REQUEST_METHOD", "")
        self._counts.child(method if method in _METHODS else "other", answered["status"]).value += 1
        self._latency.observe(duration_s)
        self._log.info(
            "request",
            method=method,
            path=environ.get("PATH_INFO", ""),  # without the query, which may have secrets
            status=answered["status"],
            size=size,
            duration_ms=duration_s * 1000,
            client=environ.get("REMOTE_ADDR", ""),
            request=answered["id"],
        )


class Admin:
    """The admin port: /metrics, and /healthz with details. It is itself a WSGI application."""

    def __init__(self, registry: Registry, health: Health) -> None:
        self._registry = registry
        self._health = health

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return _answer(start_response, HTTPStatus.METHOD_NOT_ALLOWED, b"", "text/plain")
        if path == "/metrics":
            return _answer(start_response, HTTPStatus.OK, self._registry.render().encode(), CONTENT_TYPE)
        if path == "/healthz":
            serves, details = self._health()
            body = json.dumps({"ok": serves, **details}, default=str).encode() + b"\n"
            status = HTTPStatus.OK if serves else HTTPStatus.SERVICE_UNAVAILABLE
            return _answer(start_response, status, body, "application/json")
        return _answer(start_response, HTTPStatus.NOT_FOUND, b"", "text/plain")


_ID = REQUEST_ID_HEADER.lower()


def _answer(start_response: StartResponse, status: HTTPStatus, body: bytes, kind: str) -> list[bytes]:
    start_response(_line(status), [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def _line(status: HTTPStatus) -> str:
    return f"{status.value} {status.phrase}"
