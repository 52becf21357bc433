"""Guests' screens and serial lines: carried to who has a ticket, for a while, and to nobody else."""

import asyncio
import os
import pty
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from compute.agent import displays
from compute.agent.displays import OPEN, TICKET_S, Displays, Kind
from compute.stored import Refused
from tests.unit.compute.agent.screens import GREETING, Screen

WAIT_S = 60.0
PIECE = bytes(1 << 16)


class Site:
    """Displays of guests that are made up, and those who open them."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.places: dict[tuple[Kind, str], int | str] = {}
        self.displays = Displays(lambda kind, guest_id: self.places.get((kind, guest_id), 0), lambda: self.now_s)
        self._opened: list[asyncio.StreamWriter] = []

    async def opened(self, said: str, behind: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection that has shown a ticket."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.displays.port)
        self._opened.append(writer)
        writer.write(f"{said}\n".encode() + behind)
        return reader, writer

    async def is_let_in(self, said: str) -> bool:
        reader, _writer = await self.opened(said)
        try:
            return await reader.read(len(OPEN)) == OPEN
        except ConnectionResetError:
            return False

    async def close(self) -> None:
        for each in self._opened:
            each.close()
        await self.displays.close()


@asynccontextmanager
async def a_site() -> AsyncIterator[Site]:
    made = Site()
    made.displays.start(socket.create_server(("127.0.0.1", 0)))
    try:
        async with asyncio.timeout(WAIT_S):
            yield made
    finally:
        await made.close()


def run(scenario: Callable[[Site], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with a_site() as site:
            await scenario(site)

    asyncio.run(whole())


def test_a_line_is_open_to_who_has_a_ticket_once() -> None:
    guest, terminal = pty.openpty()

    async def scenario(site: Site) -> None:
        site.places[Kind.LINE, "web"] = os.ttyname(terminal)
        ticket = site.displays.admit(Kind.LINE, "web")
        reader, writer = await site.opened(ticket, b"hello")
        assert await reader.readexactly(len(OPEN)) == OPEN
        assert await asyncio.to_thread(os.read, guest, 5) == b"hello"
        os.write(guest, b"answer")
        assert await reader.readexactly(6) == b"answer"
        writer.close()
        for wrong in (ticket, "", "x" * 1000):  # it was for once
            assert not await site.is_let_in(wrong)

    run(scenario)
    os.close(guest)
    os.close(terminal)


def test_a_line_is_had_by_who_comes_last() -> None:
    guest, terminal = pty.openpty()

    async def scenario(site: Site) -> None:
        site.places[Kind.LINE, "web"] = os.ttyname(terminal)
        first, _writer = await site.opened(site.displays.admit(Kind.LINE, "web"))
        assert await first.readexactly(len(OPEN)) == OPEN
        second, _writer = await site.opened(site.displays.admit(Kind.LINE, "web"))
        assert await second.readexactly(len(OPEN)) == OPEN
        assert await first.read() == b""
        os.write(guest, b"for one alone")
        assert await second.readexactly(13) == b"for one alone"

    run(scenario)
    os.close(guest)
    os.close(terminal)


def test_a_screen_is_carried_both_ways_and_to_several() -> None:
    async def scenario(site: Site) -> None:
        async with Screen() as screen:
            site.places[Kind.SCREEN, "web"] = screen.port
            ticket = site.displays.admit(Kind.SCREEN, "web")
            for said in (b"RFB 003.008\n", b"RFB 003.003\n"):
                reader, writer = await site.opened(ticket)
                assert await reader.readexactly(len(OPEN + GREETING)) == OPEN + GREETING
                writer.write(said)
                assert await reader.readexactly(len(said)) == said

    run(scenario)


def test_a_ticket_is_for_one_guest_one_kind_and_a_while() -> None:
    async def scenario(site: Site) -> None:
        async with Screen() as screen:
            site.places[Kind.SCREEN, "other"] = screen.port
            assert not await site.is_let_in(site.displays.admit(Kind.SCREEN, "web"))
            assert not await site.is_let_in(site.displays.admit(Kind.LINE, "other"))
            ticket = site.displays.admit(Kind.SCREEN, "other")
            assert await site.is_let_in(ticket)
            site.now_s += TICKET_S + 1
            assert not await site.is_let_in(ticket)

    run(scenario)


def test_when_either_side_ends_the_other_does() -> None:
    async def scenario(site: Site) -> None:
        async with Screen() as screen:
            site.places[Kind.SCREEN, "web"] = screen.port
            ticket = site.displays.admit(Kind.SCREEN, "web")
            reader, writer = await site.opened(ticket)
            await reader.readexactly(len(OPEN + GREETING))
            writer.close()
            await screen.left.wait()
            reader, _writer = await site.opened(ticket)
            await reader.readexactly(len(OPEN + GREETING))
            screen.end()
            assert await reader.read() == b""
        reader, _writer = await site.opened(ticket)  # the guest is off by now
        assert await reader.read() == b""

    run(scenario)


def test_who_does_not_read_holds_up_nobody_else_and_is_kept_no_data_for() -> None:
    async def scenario(site: Site) -> None:
        async with Screen(endless=True) as noisy, Screen() as screen:
            site.places |= {(Kind.SCREEN, "noisy"): noisy.port, (Kind.SCREEN, "web"): screen.port}
            await site.opened(site.displays.admit(Kind.SCREEN, "noisy"))
            await noisy.stalled()
            assert noisy.sent < 64 << 20  # what kernels hold for three connections; it would send for ever
            reader, writer = await site.opened(site.displays.admit(Kind.SCREEN, "web"))
            await reader.readexactly(len(OPEN + GREETING))
            writer.write(b"still here")
            assert await reader.readexactly(10) == b"still here"

    run(scenario)


def test_tickets_that_nobody_uses_are_bounded() -> None:
    now_s = [0.0]
    made = Displays(lambda _kind, _guest_id: 0, lambda: now_s[0])
    for _number in range(displays._TICKETS):
        made.admit(Kind.SCREEN, "web")
    with pytest.raises(Refused):
        made.admit(Kind.SCREEN, "web")
    now_s[0] += TICKET_S + 1
    made.admit(Kind.SCREEN, "web")
