"""The admin server: cluster/telemetry/http.py. On plain asyncio and on uvloop."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
import uvloop

from cluster.telemetry import http
from cluster.telemetry.http import CONNECTION_LIMIT, REQUEST_LIMIT, AdminServer
from cluster.telemetry.metrics import Registry

Exchange = Callable[[bytes], Awaitable[bytes]]


def healthy() -> tuple[bool, Mapping[str, Any]]:
    return True, {"device": 3}


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Return what runs a scenario with a server on the parameter's event loop."""

    def run_scenario(
        scenario: Callable[[AdminServer, Exchange], Awaitable[Any]],
        health: http.Health = healthy,
        registry: Registry | None = None,
    ) -> Any:
        async def main() -> Any:
            server = AdminServer(registry or Registry(), health)
            await server.start("127.0.0.1", 0)

            async def exchange(request_bytes: bytes) -> bytes:
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(request_bytes)
                try:
                    return await asyncio.wait_for(reader.read(), 10)
                finally:
                    writer.close()

            try:
                return await scenario(server, exchange)
            finally:
                await server.close()

        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main())

    return run_scenario


def ask(run: Callable[..., Any], request: bytes, **settings: Any) -> tuple[str, bytes]:
    """Return status line and body of the answer to `request`."""

    async def scenario(_server: AdminServer, exchange: Exchange) -> bytes:
        return await exchange(request)

    head, _, body = run(scenario, **settings).partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0].decode(), body


def test_metrics_are_served_as_text(run: Callable[..., Any]) -> None:
    registry = Registry()
    registry.counter("a_total", "A.").value += 7
    status, body = ask(run, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", registry=registry)
    assert status == "HTTP/1.1 200 OK"
    assert body.endswith(b"a_total 7\n")


def test_health_says_ok_with_details(run: Callable[..., Any]) -> None:
    status, body = ask(run, b"GET /healthz?verbose HTTP/1.0\r\n\r\n")
    assert status == "HTTP/1.1 200 OK"
    assert json.loads(body) == {"ok": True, "device": 3}


def test_a_sick_daemon_answers_503_and_why(run: Callable[..., Any]) -> None:
    status, body = ask(run, b"GET /healthz HTTP/1.1\r\n\r\n", health=lambda: (False, {"reason": "disk full"}))
    assert status == "HTTP/1.1 503 Service Unavailable"
    assert json.loads(body) == {"ok": False, "reason": "disk full"}


def test_head_gives_the_length_without_the_body(run: Callable[..., Any]) -> None:
    async def scenario(_server: AdminServer, exchange: Exchange) -> tuple[bytes, bytes]:
        return await exchange(b"HEAD /healthz HTTP/1.1\r\n\r\n"), await exchange(b"GET /healthz HTTP/1.1\r\n\r\n")

    head, whole = run(scenario)
    assert whole.startswith(head)
    assert head.endswith(b"\r\n\r\n")
    assert f"Content-Length: {len(whole) - len(head)}\r\n".encode() in head


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /other HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "405 Method Not Allowed"),
        (b"GET\r\n\r\n", "400 Bad Request"),
        (b"GET metrics HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", "400 Bad Request"),
        (b"GET /metrics HTTP/2.0\r\n\r\n", "400 Bad Request"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * REQUEST_LIMIT, "431 Request Header Fields Too Large"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * REQUEST_LIMIT + b"\r\n\r\n", "431 Request Header Fields Too Large"),
    ],
)
def test_anything_else_is_refused(run: Callable[..., Any], request_bytes: bytes, status: str) -> None:
    assert ask(run, request_bytes)[0] == f"HTTP/1.1 {status}"


def test_a_request_may_come_byte_by_byte_and_with_a_tail(run: Callable[..., Any]) -> None:
    async def scenario(server: AdminServer, exchange: Exchange) -> list[bytes]:
        request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for index in range(len(request)):
            writer.write(request[index : index + 1])
            await asyncio.sleep(0)
        slow = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return [slow, await exchange(request), await exchange(request + b"GET /metrics HTTP/1.1\r\n\r\n")]

    slow, whole, with_tail = run(scenario)
    assert slow == whole == with_tail
    assert slow.startswith(b"HTTP/1.1 200")


def test_a_client_that_sends_nothing_is_cut_off(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "REQUEST_TIMEOUT_S", 0.05)

    async def scenario(server: AdminServer, _exchange: Exchange) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /heal")
        try:
            return await asyncio.wait_for(reader.read(), 10)
        except ConnectionError:
            return b""
        finally:
            writer.close()

    assert run(scenario) == b""


def test_connections_beyond_the_limit_are_closed_and_the_others_served(run: Callable[..., Any]) -> None:
    async def scenario(server: AdminServer, exchange: Exchange) -> tuple[bytes, int]:
        idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(CONNECTION_LIMIT)]
        for _ in range(500):
            if len(server.connections) == CONNECTION_LIMIT:
                break
            await asyncio.sleep(0.01)
        try:
            turned_away = await exchange(b"GET /healthz HTTP/1.1\r\n\r\n")
        except ConnectionError:
            turned_away = b""
        reader, writer = idle[0]
        writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
        served = await asyncio.wait_for(reader.read(), 10)
        for _reader, each in idle:
            each.close()
        return served, len(turned_away)

    served, turned_away_size = run(scenario)
    assert served.startswith(b"HTTP/1.1 200")
    assert turned_away_size == 0


def test_a_broken_gauge_is_answered_500_and_the_server_lives_on(run: Callable[..., Any]) -> None:
    registry = Registry()
    registry.gauge("broken", "Broken.", lambda: 1 / 0)

    async def scenario(_server: AdminServer, exchange: Exchange) -> tuple[bytes, bytes]:
        return await exchange(b"GET /metrics HTTP/1.1\r\n\r\n"), await exchange(b"GET /healthz HTTP/1.1\r\n\r\n")

    broken, well = run(scenario, registry=registry)
    assert broken.startswith(b"HTTP/1.1 500")
    assert well.startswith(b"HTTP/1.1 200")


def test_a_port_in_use_is_told(run: Callable[..., Any]) -> None:
    async def scenario(server: AdminServer, _exchange: Exchange) -> None:
        second = AdminServer(Registry(), healthy)
        with pytest.raises(OSError, match="ddress already in use"):
            await second.start("127.0.0.1", server.port)
        await second.close()

    run(scenario)
