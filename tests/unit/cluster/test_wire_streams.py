"""Streamed bodies between a peer and a server, in both directions."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from cluster.wire import BodyReader, Buffer, PeerUnavailable, RemoteError, Reply, Request
from cluster.wire.flow import WINDOW
from tests.unit.cluster.wire_cluster import RUNNERS, cluster, run, until

pytestmark = pytest.mark.parametrize("runner", RUNNERS, ids=["asyncio", "uvloop"])
Runner = Callable[[Any], None]
MIB = 1 << 20


async def swallow(request: Request) -> Reply:
    """Read a body to its end; answer with its digest."""
    assert request.body is not None
    digest = hashlib.md5()
    while piece := await request.body.read():
        digest.update(piece)
    return Reply((digest.digest(), request.deadline < float("inf")))


async def read_all(body: BodyReader) -> int:
    """Return how many bytes come."""
    size = 0
    while piece := await body.read():
        size += len(piece)
    return size


class Source:
    """A body that notes what becomes of it."""

    def __init__(self, pieces: int, size: int = MIB, error: Exception | None = None, delay_s: float = 0.0) -> None:
        self.pieces, self.size, self.error, self.delay_s = pieces, size, error, delay_s
        self.given = 0
        self.closed = False

    def __aiter__(self) -> AsyncIterator[Buffer]:
        return self

    async def __anext__(self) -> Buffer:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.given == self.pieces:
            if self.error is not None:
                raise self.error
            raise StopAsyncIteration
        self.given += 1
        return bytes([self.given % 256]) * self.size

    async def aclose(self) -> None:
        self.closed = True


def test_an_upload_arrives_whole(runner: Runner) -> None:
    async def scenario() -> None:
        async with cluster(swallow) as c:
            data = os.urandom(9 * MIB + 17)
            stream = c.peer.open(1, ("name",), 5.0)
            position = 0
            for size in (1, 100, 70_000, MIB, 3 * MIB, 5 * MIB):
                await stream.send(memoryview(data)[position : position + size])
                position += size
            reply = await stream.finish()
            assert reply.metadata == (hashlib.md5(data[:position]).digest(), True)

    run(runner, scenario())


def test_an_empty_upload_is_a_body_that_ends_at_once(runner: Runner) -> None:
    async def scenario() -> None:
        async with cluster(swallow) as c:
            assert (await c.peer.open(1, (), 5.0).finish()).metadata[0] == hashlib.md5().digest()

    run(runner, scenario())


def test_uploads_wait_for_a_reader_that_does_not_read(runner: Runner) -> None:
    go = asyncio.Event()

    async def slow(request: Request) -> Reply:
        await go.wait()
        return await swallow(request)

    async def scenario() -> None:
        async with cluster(slow) as c:
            stream = c.peer.open(1, (), 5.0)
            sent = 0
            while stream.try_send(bytes(MIB // 2)):
                sent += MIB // 2
                await asyncio.sleep(0.001)
            assert sent == WINDOW
            waiting = asyncio.ensure_future(stream.send(bytes(MIB)))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            go.set()
            await waiting
            await stream.finish()

    run(runner, scenario())


def test_an_upload_that_gets_no_credit_in_time_fails(runner: Runner) -> None:
    async def never(request: Request) -> Reply:
        await asyncio.sleep(30)
        return Reply()

    async def scenario() -> None:
        async with cluster(never) as c:
            stream = c.peer.open(1, (), 0.1)
            with pytest.raises(PeerUnavailable, match="no credit"):
                await stream.send(bytes(WINDOW + 1))
            with pytest.raises(PeerUnavailable):
                await stream.finish()

    run(runner, scenario())


def test_an_upload_that_is_not_answered_in_time_fails(runner: Runner) -> None:
    async def never(request: Request) -> Reply:
        await asyncio.sleep(30)
        return Reply()

    async def scenario() -> None:
        async with cluster(never) as c:
            stream = c.peer.open(1, (), 0.1)
            await stream.send(b"x")
            await asyncio.sleep(0.2)  # it is not the sender who is late
            with pytest.raises(PeerUnavailable, match="no answer"):
                await stream.finish()

    run(runner, scenario())


def test_a_refusal_reaches_the_sender_before_he_has_sent_everything(runner: Runner) -> None:
    async def refuse(request: Request) -> Reply:
        assert request.body is not None
        await request.body.read()
        raise RemoteError(10, "full")

    async def scenario() -> None:
        async with cluster(refuse) as c:
            stream = c.peer.open(1, (), 5.0)
            with pytest.raises(RemoteError, match="full"):
                await stream.send(bytes(3 * WINDOW))
            with pytest.raises(RemoteError, match="full"):
                await stream.finish()
            assert c.peer.up

    run(runner, scenario())


def test_a_server_that_answers_early_does_not_want_the_rest(runner: Runner) -> None:
    async def scenario() -> None:
        async with cluster(lambda request: Reply(("enough",))) as c:
            stream = c.peer.open(1, (), 5.0)
            for _ in range(20):
                await stream.send(bytes(MIB))
            assert (await stream.finish()).metadata == ("enough",)
            assert (await c.peer.call(1, ())).metadata == ("enough",)

    run(runner, scenario())


@pytest.mark.parametrize("how", ["cancel", "drop", "lose"])
def test_the_server_hears_of_an_upload_that_ends_early(runner: Runner, how: str) -> None:
    seen: list[str] = []

    async def read(request: Request) -> Reply:
        assert request.body is not None
        try:
            while await request.body.read():
                seen.append("piece")
            seen.append("end")
        except (PeerUnavailable, asyncio.CancelledError) as error:
            seen.append(type(error).__name__)
            raise
        return Reply()

    async def scenario() -> None:
        async with cluster(read) as c:
            stream = c.peer.open(1, (), 5.0)
            await stream.send(b"x")
            await until(lambda: seen == ["piece"])
            if how == "cancel":
                stream.cancel()
                with pytest.raises(PeerUnavailable):
                    await stream.send(b"y")
            elif how == "lose":
                await c.peer.close()
                with pytest.raises(PeerUnavailable):
                    await stream.send(b"y")
            del stream
            await until(lambda: len(seen) == 2)
            assert seen[1] in ("PeerUnavailable", "CancelledError")

    run(runner, scenario())


def test_a_download_arrives_whole(runner: Runner) -> None:
    async def scenario() -> None:
        source = Source(10, 700_000)
        async with cluster(lambda request: Reply(("size",), body=source)) as c:
            reply = await c.peer.call(1, ())
            assert reply.metadata == ("size",)
            pieces = []
            while piece := await reply.body.read():
                pieces.append(bytes(piece))
            assert b"".join(pieces) == b"".join(bytes([i]) * 700_000 for i in range(1, 11))

    run(runner, scenario())


def test_a_generator_may_be_a_body(runner: Runner) -> None:
    async def numbers() -> AsyncIterator[Buffer]:
        for number in range(1000):
            yield b"%d," % number

    async def scenario() -> None:
        async with cluster(lambda request: Reply(body=numbers())) as c:
            body = (await c.peer.call(1, ())).body
            assert b"".join([bytes(piece) async for piece in body]) == b"".join(b"%d," % i for i in range(1000))

    run(runner, scenario())


def test_a_download_waits_for_a_reader_that_does_not_read(runner: Runner) -> None:
    async def scenario() -> None:
        source = Source(40)
        async with cluster(lambda request: Reply(body=source) if request.operation == 1 else Reply()) as c:
            body = (await c.peer.call(1, ())).body
            await c.peer.call(2, ())
            await asyncio.sleep(0.05)
            assert source.given <= WINDOW // MIB + 1
            await c.peer.call(2, ())
            count = 0
            while await body.read():
                count += 1
            assert count == 40

    run(runner, scenario())


@pytest.mark.parametrize("how", ["close", "drop", "cancel the call", "lose"])
def test_a_body_that_nobody_reads_on_is_closed_at_its_source(runner: Runner, how: str) -> None:
    async def scenario() -> None:
        source = Source(1000)
        async with cluster(lambda request: Reply(body=source)) as c:
            call = c.peer.call(1, ())
            if how == "cancel the call":
                call.cancel()
            else:
                body = (await call).body
                await body.read()
                if how == "close":
                    body.close()
                    with pytest.raises(PeerUnavailable):
                        await body.read()
                elif how == "lose":
                    await c.peer.close()
                    with pytest.raises(PeerUnavailable):
                        await read_all(body)
                del body
            del call
            await until(lambda: source.closed)
            assert source.given < 10

    run(runner, scenario())


@pytest.mark.parametrize("error", [RemoteError(8, "checksum"), OSError(5, "EIO")], ids=["refusal", "failure"])
def test_an_error_in_the_middle_of_a_body_comes_after_what_was_read(runner: Runner, error: Exception) -> None:
    async def scenario() -> None:
        source = Source(3, 1000, error)
        async with cluster(lambda request: Reply(body=source)) as c:
            body = (await c.peer.call(1, ())).body
            assert [len(await body.read()) for _ in range(3)] == [1000] * 3
            with pytest.raises(RemoteError) as caught:
                await body.read()
            assert caught.value.code == (8 if isinstance(error, RemoteError) else 0)
            await until(lambda: source.closed)

    run(runner, scenario())


def test_a_body_that_does_not_come_on_in_time_fails(runner: Runner) -> None:
    async def scenario() -> None:
        source = Source(3, delay_s=30.0)
        async with cluster(lambda request: Reply(body=source)) as c:
            body = (await c.peer.call(1, (), timeout_s=0.1)).body
            with pytest.raises(PeerUnavailable, match="no data"):
                await body.read()
            await until(lambda: source.closed)

    run(runner, scenario())


def test_many_streams_and_calls_share_a_connection(runner: Runner) -> None:
    def handler(request: Request) -> Any:
        if request.operation == 1:
            return swallow(request)
        return Reply(body=Source(6, 300_000)) if request.operation == 2 else Reply((request.metadata,))

    async def scenario() -> None:
        async with cluster(handler) as c:

            async def upload(seed: int) -> None:
                stream = c.peer.open(1, (), 5.0)
                for index in range(6):
                    await stream.send(bytes([seed + index]) * 300_000)
                reply = await stream.finish()
                whole = b"".join(bytes([seed + index]) * 300_000 for index in range(6))
                assert reply.metadata[0] == hashlib.md5(whole).digest()

            async def download() -> None:
                body = (await c.peer.call(2, ())).body
                assert sum([len(piece) async for piece in body]) == 6 * 300_000

            async def calls() -> None:
                for index in range(100):
                    assert (await c.peer.call(3, index)).metadata == (index,)

            await asyncio.gather(*(upload(i) for i in range(8)), *(download() for _ in range(8)), calls())

    run(runner, scenario())
