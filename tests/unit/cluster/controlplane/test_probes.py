"""Probes and access log around an application."""

import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from cluster.controlplane.probes import Admin, Application, Probed
from cluster.telemetry import log
from cluster.telemetry.metrics import Registry


def application(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("201 Created", [("X-Openstack-Request-Id", "req-1")])
    return [b"made", b"it"]


def ask(probed: Application, path: str, method: str = "GET") -> tuple[str, bytes]:
    statuses: list[str] = []
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": "secret=1"}
    body = b"".join(probed(environ, lambda status, _headers, *_more: statuses.append(status)))
    return statuses[0], body


def test_health_is_told() -> None:
    answers = iter([(True, {}), (False, {"database": "away"})])
    probed = Probed(application, "test", Registry(), lambda: next(answers))
    assert ask(probed, "/healthcheck") == ("200 OK", b"OK")
    assert ask(probed, "/healthcheck") == ("503 Service Unavailable", b"UNAVAILABLE")


def test_strangers_see_no_metrics() -> None:
    probed = Probed(application, "test", Registry(), lambda: (True, {}))
    assert ask(probed, "/metrics")[0] == "201 Created"  # the application's answer to any path


def test_the_admin_port_tells_details_and_metrics() -> None:
    registry = Registry()
    answers: Iterator[tuple[bool, dict[str, Any]]] = iter([(True, {"waiting": 3}), (False, {"failure": "away"})])
    admin = Admin(registry, lambda: next(answers))
    assert [(status, json.loads(body)) for status, body in (ask(admin, "/healthz"), ask(admin, "/healthz"))] == [
        ("200 OK", {"ok": True, "waiting": 3}),
        ("503 Service Unavailable", {"ok": False, "failure": "away"}),
    ]
    assert ask(admin, "/metrics") == ("200 OK", registry.render().encode())
    assert ask(admin, "/v3")[0] == "404 Not Found"
    assert ask(admin, "/healthz", "POST")[0] == "405 Method Not Allowed"


def test_a_request_is_one_event_without_its_query(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    sink = log.Sink(json=True, stream=stream)
    monkeypatch.setattr(log, "_process_sink", sink)
    probed = Probed(application, "test", Registry(), lambda: (True, {}))
    assert ask(probed, "/v3/users", "POST") == ("201 Created", b"madeit")
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert (event["event"], event["method"], event["path"]) == ("request", "POST", "/v3/users")
    assert (event["status"], event["size"], event["request"]) == ("201", 6, "req-1")
    assert "secret" not in line


def test_methods_that_nobody_knows_are_one_metric() -> None:
    registry = Registry()
    probed = Probed(application, "test", registry, lambda: (True, {}))
    for method in ("BREW", "PROPFIND"):
        ask(probed, "/v3", method)
    assert 'holdfast_http_requests_total{method="other",status="201"} 2' in registry.render()
