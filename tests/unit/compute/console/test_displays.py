"""compute/console/displays.py: a link opens one guest's line, for a while, and nothing else."""

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path

import aiohttp
import pytest

from compute.agent.displays import Displays, Kind
from compute.console.displays import LINE, SCREEN
from compute.console.pages import VIEWER, read_viewer
from compute.instances.links import TOKEN_S, Opened, seal_of, sealed
from tests.unit.compute.agent.screens import GREETING, Screen
from tests.unit.compute.console.console import SEAL, Console, console

Scenario = Callable[[Console, int, list[bytes]], Awaitable[None]]


def link(path: str, port: int, kind: str, seconds_ago: int = 0) -> str:
    """Return what the page of a link asks for."""
    told = Opened("some-guest", "127.0.0.1", 5900, "a-password", kind, "127.0.0.1", port, "a-ticket")
    then_s = int(time.time()) - seconds_ago
    return f"{path}?token={SEAL.encrypt_at_time(json.dumps(asdict(told)).encode(), then_s).decode()}"


def with_a_line(scenario: Scenario) -> None:
    """Run `scenario` with a console, and a host that says everything twice that it is told after the ticket."""
    tickets: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tickets.append(await reader.readline())
        writer.write(b"open\n")
        while data := await reader.read(100):
            writer.write(data + data)
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with console({}) as it:
            await scenario(it, server.sockets[0].getsockname()[1], tickets)
        server.close()

    asyncio.run(run())


def test_what_is_typed_goes_to_the_guest_and_what_it_says_comes_back() -> None:
    async def scenario(it: Console, port: int, tickets: list[bytes]) -> None:
        headers = {"Origin": f"http://127.0.0.1:{it.port}"}
        async with it.client.ws_connect(it.url(link(LINE, port, "serial")), headers=headers) as socket:
            await socket.send_str("ls\r")
            assert await socket.receive_bytes() == b"ls\rls\r"
        assert tickets == [b"a-ticket\n"]

    with_a_line(scenario)


def test_other_pages_do_not_open_lines() -> None:
    async def scenario(it: Console, port: int, tickets: list[bytes]) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await it.client.ws_connect(
                it.url(link(LINE, port, "serial")), headers={"Origin": "http://elsewhere.example"}
            )
        assert refused.value.status == HTTPStatus.FORBIDDEN
        assert not tickets

    with_a_line(scenario)


def test_a_screen_is_told_of() -> None:
    async def scenario(it: Console, port: int, _tickets: list[bytes]) -> None:
        status, headers, body = await it.get(link(SCREEN, port, "vnc"))
        assert (status, headers["Cache-Control"]) == (HTTPStatus.OK, "no-store")
        told = {"host": "127.0.0.1", "port": 5900, "password": "a-password", "viewer": None}
        assert json.loads(body) == told

    with_a_line(scenario)


def test_what_a_viewer_and_a_screen_say_is_passed_on_as_it_is() -> None:
    async def scenario(it: Console, port: int, said: list[bytes]) -> None:
        async with it.client.ws_connect(it.url(link(LINE, port, "vnc"))) as socket:
            await socket.send_bytes(b"\x01")
            assert await socket.receive_bytes() == b"\x01\x01"
        assert said == [b"a-ticket\n"]

    with_a_line(scenario)


def test_the_viewer_is_there_where_it_is_installed(tmp_path: Path) -> None:
    """Debian's novnc: its modules, and not its own page, nor what else lies there."""
    for name in ("core/rfb.js", "core/input/keyboard.js", "vendor/pako/lib/zlib/inflate.js", "vnc.html", "app/ui.js"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("// a module")
    found = read_viewer(tmp_path)
    assert set(found) == {VIEWER, "/novnc/core/input/keyboard.js", "/novnc/vendor/pako/lib/zlib/inflate.js"}
    assert found[VIEWER].content_type.startswith("text/javascript")
    assert read_viewer(tmp_path / "nowhere") == {}


def test_a_link_that_is_too_old_or_forged_or_for_something_else_opens_nothing() -> None:
    async def scenario(it: Console, port: int, tickets: list[bytes]) -> None:
        told = Opened("some-guest", "127.0.0.1", 1, "", "serial", "127.0.0.1", port, "a-ticket")
        other = sealed(seal_of(b"o" * 32), told)
        for path, expected in (
            (link(LINE, port, "serial", seconds_ago=TOKEN_S + 10), HTTPStatus.UNAUTHORIZED),
            (f"{LINE}?token={other}", HTTPStatus.UNAUTHORIZED),
            (f"{LINE}?token={SEAL.encrypt(b'[1]').decode()}", HTTPStatus.UNAUTHORIZED),
            (LINE, HTTPStatus.UNAUTHORIZED),
            (link(SCREEN, port, "serial"), HTTPStatus.BAD_REQUEST),
        ):
            status, _headers, _body = await it.get(path)
            assert status == expected, path
        assert not tickets

    with_a_line(scenario)


def test_a_host_that_is_away_is_said_to_be() -> None:
    async def scenario(it: Console, _port: int, _tickets: list[bytes]) -> None:
        status, _headers, body = await it.get(link(LINE, 1, "serial"))
        assert status == HTTPStatus.BAD_GATEWAY
        assert b"does not answer" in body

    with_a_line(scenario)


def test_a_browser_sees_a_screen_by_the_agent_of_its_host_and_no_other_way() -> None:
    """The whole way: page, console, agent, guest. The guest's own address is nobody's whom the console can reach."""

    async def scenario() -> None:
        async with Screen() as screen, console({}) as it:
            displays = Displays(lambda kind, guest_id: screen.port if (kind, guest_id) == ("vnc", "web") else 0)
            displays.start(socket.create_server(("127.0.0.1", 0)))
            ticket = displays.admit(Kind.SCREEN, "web")
            told = Opened("web", "192.0.2.1", 5900, "a-password", "vnc", "127.0.0.1", displays.port, ticket)
            path = f"{LINE}?token={sealed(SEAL, told)}"
            async with it.client.ws_connect(it.url(path)) as browser:
                assert await browser.receive_bytes() == GREETING
                await browser.send_bytes(b"RFB 003.008\n")
                assert await browser.receive_bytes() == b"RFB 003.008\n"
            await screen.left.wait()
            async with it.client.ws_connect(it.url(path)) as browser:
                assert await browser.receive_bytes() == GREETING
                screen.end()
                assert (await browser.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            await displays.close()

    asyncio.run(scenario())


def test_who_is_let_in_no_more_is_told_so() -> None:
    async def scenario() -> None:
        async with console({}) as it:
            displays = Displays(lambda _kind, _guest_id: 0)
            displays.start(socket.create_server(("127.0.0.1", 0)))
            status, _headers, body = await it.get(link(LINE, displays.port, "serial"))
            assert status == HTTPStatus.GONE
            assert b"ask for another one" in body
            await displays.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["/serial?token=x", "/screen?token=x"])
def test_the_pages_of_links_are_there(path: str) -> None:
    async def scenario(it: Console, _port: int, _tickets: list[bytes]) -> None:
        status, headers, _body = await it.get(path)
        assert (status, headers["Content-Type"]) == (HTTPStatus.OK, "text/html; charset=utf-8")

    with_a_line(scenario)
