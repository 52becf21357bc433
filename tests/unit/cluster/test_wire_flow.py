"""Credit: nothing is sent without it, and it comes back as bodies are read."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cluster.wire.errors import PeerUnavailable, ProtocolError, RemoteError
from cluster.wire.flow import DATA_LIMIT, WINDOW, BodyReader, Inflow, Outflow

MIB = 1 << 20


class Carrier:
    """A connection that only keeps what it is told."""

    def __init__(self) -> None:
        self.writing_paused = False
        self.data: list[bytes] = []
        self.credit: list[int] = []
        self.abandoned: list[int] = []

    def now(self) -> float:
        return 0.0

    def new_waiter(self) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().create_future()

    def defer(self, callback: Callable[..., None], *arguments: Any) -> None:
        callback(*arguments)

    def write_data(self, stream: int, piece: bytes | bytearray | memoryview, length: int) -> None:
        assert length == len(piece)
        self.data.append(bytes(piece))

    def give_credit(self, stream: int, length: int) -> None:
        self.credit.append(length)

    def abandon(self, stream: int) -> None:
        self.abandoned.append(stream)


def inflow(carrier: Carrier) -> Inflow:
    return Inflow(carrier, 1, WINDOW, 5.0)


def test_a_piece_that_has_credit_is_sent_at_once() -> None:
    carrier = Carrier()
    assert Outflow(carrier, 1, WINDOW).try_send(b"abc")
    assert carrier.data == [b"abc"]


def test_a_piece_without_credit_is_not_sent() -> None:
    carrier = Carrier()
    flow = Outflow(carrier, 1, MIB)
    assert flow.try_send(bytes(MIB))
    assert not flow.try_send(b"x")
    flow.add_credit(1)
    assert flow.try_send(b"x")
    assert not flow.try_send(b"x")


def test_a_piece_waits_while_the_transport_is_full() -> None:
    async def scenario() -> None:
        carrier = Carrier()
        flow = Outflow(carrier, 1, WINDOW)
        carrier.writing_paused = True
        assert not flow.try_send(b"x")
        sending = asyncio.ensure_future(flow.send(b"x"))
        await asyncio.sleep(0)
        assert not sending.done()
        carrier.writing_paused = False
        flow.wake()
        await sending
        assert carrier.data == [b"x"]

    asyncio.run(scenario())


def test_a_large_piece_goes_out_in_frames_as_credit_comes() -> None:
    async def scenario() -> None:
        carrier = Carrier()
        flow = Outflow(carrier, 1, WINDOW)
        whole = bytes(range(256)) * (5 * MIB // 256)
        sending = asyncio.ensure_future(flow.send(whole))
        for _ in range(20):
            await asyncio.sleep(0)
            if len(b"".join(carrier.data)) - WINDOW >= 0 and not sending.done():
                flow.add_credit(WINDOW // 2)
        await asyncio.wait_for(sending, 1)
        assert b"".join(carrier.data) == whole
        assert max(map(len, carrier.data)) <= DATA_LIMIT

    asyncio.run(scenario())


def test_more_credit_than_was_used_is_a_protocol_error() -> None:
    flow = Outflow(Carrier(), 1, WINDOW)
    flow.try_send(b"abc")
    flow.add_credit(3)
    with pytest.raises(ProtocolError):
        flow.add_credit(1)


def test_an_ended_stream_passes_over_or_raises() -> None:
    answered, refused = Outflow(Carrier(), 1, WINDOW), Outflow(Carrier(), 1, WINDOW)
    answered.end()
    refused.end(RemoteError(3))
    assert answered.try_send(b"abc")
    with pytest.raises(RemoteError):
        refused.try_send(b"abc")


def test_a_waiting_sender_hears_of_the_end() -> None:
    async def scenario() -> None:
        flow = Outflow(Carrier(), 1, 1 << 16)
        sending = asyncio.ensure_future(flow.send(bytes(MIB)))
        await asyncio.sleep(0)
        flow.end(PeerUnavailable("gone"))
        with pytest.raises(PeerUnavailable):
            await sending

    asyncio.run(scenario())


def test_credit_comes_back_in_steps_as_the_body_is_read() -> None:
    async def scenario() -> None:
        carrier = Carrier()
        flow = inflow(carrier)
        reader = BodyReader(flow)
        for round_ in range(1, 4):
            for _ in range(4):
                flow.feed(bytes(WINDOW // 4))
            for _ in range(4):
                await reader.read()
            assert sum(carrier.credit) == round_ * WINDOW
        assert min(carrier.credit) >= WINDOW // 4
        reader.close()

    asyncio.run(scenario())


def test_more_data_than_credit_is_a_protocol_error() -> None:
    flow = inflow(Carrier())
    flow.feed(bytes(WINDOW))
    with pytest.raises(ProtocolError):
        flow.feed(b"x")


def test_what_came_before_an_error_is_read_first() -> None:
    async def scenario() -> None:
        flow = inflow(Carrier())
        reader = BodyReader(flow)
        flow.feed(b"one")
        flow.finish(RemoteError(8))
        assert await reader.read() == b"one"
        with pytest.raises(RemoteError):
            await reader.read()

    asyncio.run(scenario())


def test_the_end_is_empty_again_and_again() -> None:
    async def scenario() -> None:
        flow = inflow(Carrier())
        flow.feed(b"")  # says nothing
        flow.feed(b"one")
        flow.finish()
        reader = BodyReader(flow)
        assert [await reader.read() for _ in range(3)] == [b"one", b"", b""]

    asyncio.run(scenario())


def test_a_reader_that_is_closed_or_dropped_abandons_the_body_once() -> None:
    closed, dropped, finished = Carrier(), Carrier(), Carrier()
    reader = BodyReader(inflow(closed))
    reader.close()
    reader.close()
    del reader
    BodyReader(inflow(dropped))
    flow = inflow(finished)
    flow.finish()
    BodyReader(flow).close()
    assert (closed.abandoned, dropped.abandoned, finished.abandoned) == ([1], [1], [])


def test_a_reader_can_be_iterated() -> None:
    async def scenario() -> list[bytes]:
        flow = inflow(Carrier())
        flow.feed(b"one")
        flow.feed(b"two")
        flow.finish()
        return [bytes(piece) async for piece in BodyReader(flow)]

    assert asyncio.run(scenario()) == [b"one", b"two"]
