"""blockgw/nbd/server.py, negotiation.py, transmission.py: over a unix socket, on both event loops."""

import asyncio
import os
import random
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from blockgw.errors import NotAllowed, NotSupported, OutOfSpace, ShuttingDown
from blockgw.interfaces import BlockSizes
from blockgw.nbd.handshake import Policy
from blockgw.nbd.limits import Limits
from blockgw.nbd.negotiation import Negotiation
from blockgw.nbd.protocol import Command
from blockgw.nbd.server import NbdServer, Security
from blockgw.nbd.tls import TlsSession
from tests.unit.blockgw.memory_export import MemoryExport, MemoryExports
from tests.unit.blockgw.nbd import client
from tests.unit.blockgw.nbd.client import NbdClient
from tests.unit.blockgw.nbd.serving import MiB, Serving, on_both_loops, serve

Runner = Callable[..., None]
pytestmark = on_both_loops
DIALECTS = [(), (client.STRUCTURED_REPLY,), (client.EXTENDED_HEADERS,)]
in_each_dialect = pytest.mark.parametrize("agreed", DIALECTS, ids=["simple", "structured", "extended"])


# requests


@in_each_dialect
def test_what_is_written_is_read(runner: Runner, agreed: tuple[int, ...]) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume", *agreed)
        data = os.urandom(300_000)
        assert (await nbd.do(client.WRITE, 12345, payload=data)).error == 0
        answer = await nbd.do(client.READ, 12000, 400_000)
        assert answer.data == bytes(345) + data + bytes(400_000 - 345 - 300_000)
        counted = serving.server.counters("volume").snapshot()
        assert (counted["write"], counted["read"]) == (1, 1)
        assert (counted["written_bytes"], counted["read_bytes"]) == (300_000, 400_000)
        await nbd.close()

    serve(runner, scenario)


@in_each_dialect
def test_every_command_reaches_the_volume_with_its_flags(runner: Runner, agreed: tuple[int, ...]) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume", *agreed)
        await nbd.do(client.WRITE, 0, payload=b"x" * 8192, flags=client.FUA)
        await nbd.do(client.FLUSH)
        await nbd.do(client.TRIM, 4096, 4096)
        await nbd.do(client.CACHE, 0, 4096)
        await nbd.do(client.WRITE_ZEROES, 0, 512, client.FUA | client.NO_HOLE)
        await nbd.do(client.WRITE_ZEROES, 512, 512, client.FAST_ZERO)
        assert serving.volume.log == [
            "flush",
            "trim 4096 4096 fua=False",
            "cache 0 4096",
            "write_zeroes 0 512 fua=True may_trim=False fast=False",
            "write_zeroes 512 512 fua=False may_trim=True fast=True",
        ]
        assert (await nbd.do(client.READ, 0, 8192)).data == bytes(1024) + b"x" * 3072 + bytes(4096)
        counted = serving.server.counters("volume").snapshot()
        assert (counted["fua"], counted["flush"], counted["trim"], counted["write_zeroes"]) == (2, 1, 1, 2)
        await nbd.close()

    serve(runner, scenario)


def test_many_requests_at_once_are_all_answered(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume")
        nbd.send(
            b"".join(
                client.request(client.WRITE, index * 512, 512, cookie=index) + bytes([index % 256]) * 512
                for index in range(2000)
            )
        )
        assert sorted([(await nbd.answer()).cookie for _ in range(2000)]) == list(range(2000))
        nbd.send(b"".join(client.request(client.READ, index * 512, 512, cookie=index) for index in range(2000)))
        for _ in range(2000):
            answer = await nbd.answer(512)
            assert answer.data == bytes([answer.cookie % 256]) * 512
        await nbd.close()

    serve(runner, scenario, deferred=True)


@in_each_dialect
def test_errors_are_answered_and_the_connection_goes_on(runner: Runner, agreed: tuple[int, ...]) -> None:
    """A payload that is refused is skipped, however large it is."""

    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume", *agreed)
        end = serving.volume.size
        assert (await nbd.do(client.READ, end, 1)).error == 22
        assert (await nbd.do(client.WRITE, end - 1, payload=b"ab")).error == 28
        assert (await nbd.do(client.WRITE, 0, payload=bytes(33 * MiB))).error == 22
        assert (await nbd.do(77)).error == 22
        for error, number in ((OutOfSpace("full"), 28), (NotSupported("slow"), 95), (KeyError("a bug"), 5)):
            serving.volume.failure = error
            answers = [
                await nbd.do(client.READ, 0, 512),
                await nbd.do(client.WRITE, 0, payload=b"x"),
                await nbd.do(client.FLUSH),
                await nbd.do(client.WRITE_ZEROES, 0, 512),
            ]
            assert [answer.error for answer in answers] == [number] * 4
        serving.volume.failure = None
        assert (await nbd.do(client.READ, 0, 512)).data == bytes(512)
        assert serving.server.counters("volume").snapshot()["errors"] == 16
        await nbd.close()

    serve(runner, scenario)


def test_a_volume_that_reads_too_little_does_not_confuse_the_client(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume", client.STRUCTURED_REPLY)
        serving.volume.read = lambda offset, length: [b"short"]  # type: ignore[method-assign]
        assert (await nbd.do(client.READ, 0, 512)).error == 5
        assert (await nbd.do(client.READ, 0, 5)).data == b"short"
        await nbd.close()

    serve(runner, scenario)


@pytest.mark.parametrize("error", [None, ShuttingDown("another gateway has it")], ids=["cancelled", "lost"])
def test_a_client_of_a_volume_that_is_lost_is_hung_up_on_without_an_answer(
    runner: Runner, error: ShuttingDown | None
) -> None:
    """An error would be final to it; it connects again, and asks for it again."""

    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume")
        other = await NbdClient.use(serving.path, "fixed")
        serving.volume.held = asyncio.get_running_loop().create_future()
        for cookie in range(3):
            nbd.send(client.request(client.WRITE, cookie, 1, cookie=cookie) + b"x")
        await serving.until(lambda: serving.server._shared.budget.used > 3000)
        if error is None:
            serving.volume.held.cancel()
        else:
            serving.volume.held.set_exception(error)
        assert await nbd.is_hung_up_on()
        await serving.until(lambda: serving.volume.opened == 0 and serving.server.connection_count == 1)
        serving.volume.held, serving.volume.failure = None, error or ShuttingDown("still")
        at_once = await NbdClient.use(serving.path, "volume")
        at_once.send(client.request(client.READ, 0, 1))
        assert await at_once.is_hung_up_on()
        serving.volume.failure = None
        again = await NbdClient.use(serving.path, "volume")
        assert (await again.do(client.WRITE, 0, payload=b"x")).error == 0
        assert (await other.do(client.READ, 0, 4)).error == 0
        for connection in (nbd, other, at_once, again):
            await connection.close()

    serve(runner, scenario)


@pytest.mark.parametrize("agreed", DIALECTS[1:], ids=["structured", "extended"])
def test_block_status_tells_what_is_allocated_and_what_is_dirty(runner: Runner, agreed: tuple[int, ...]) -> None:
    async def scenario(serving: Serving) -> None:
        serving.volume.dirty["holdfast:dirty-since/monday"] = [(1 * MiB, 0), (1 * MiB, 1), (2 * MiB, 0)]
        nbd = await NbdClient.use(serving.path, "volume", *agreed, contexts=tuple(serving.volume.contexts))
        await nbd.do(client.WRITE, 1 * MiB, payload=b"x" * 4096)
        answer = await nbd.do(client.BLOCK_STATUS, 0, 2 * MiB)
        assert answer.statuses == {0: [(1 * MiB, 3), (4096, 0), (1 * MiB - 4096, 3)], 1: [(1 * MiB, 0), (1 * MiB, 1)]}
        answer = await nbd.do(client.BLOCK_STATUS, 4096, 2 * MiB, client.REQ_ONE)
        assert answer.statuses == {0: [(1 * MiB - 4096, 3)], 1: [(1 * MiB - 4096, 0)]}
        await nbd.close()

    serve(runner, scenario, contexts=("base:allocation", "holdfast:dirty-since/monday"))


@in_each_dialect
def test_block_status_without_a_context_is_refused(runner: Runner, agreed: tuple[int, ...]) -> None:
    """doc/proto.md, NBD_CMD_BLOCK_STATUS."""

    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume", *agreed)
        assert (await nbd.do(client.BLOCK_STATUS, 0, 4096)).error == 22
        assert (await nbd.do(client.READ, 0, 1)).data == b"\0"
        await nbd.close()

    serve(runner, scenario)


def test_a_payload_with_a_command_that_has_none_is_skipped(runner: Runner) -> None:
    """doc/proto.md, NBD_CMD_FLAG_PAYLOAD_LEN: it has to be read, to find the next request."""

    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume", client.EXTENDED_HEADERS)
        for command in (client.READ, client.BLOCK_STATUS, client.TRIM):
            answer = await nbd.do(command, 0, 0, client.PAYLOAD_LEN, payload=b"25609513" * 1000)
            assert answer.error == 22
        answer = await nbd.do(client.WRITE, 0, 0, client.PAYLOAD_LEN, payload=b"as it should be")
        assert answer.error == 0
        await nbd.close()

    serve(runner, scenario)


@in_each_dialect
def test_any_request_gets_one_answer(runner: Runner, agreed: tuple[int, ...]) -> None:
    chance = random.Random(len(agreed) * 1000 + sum(agreed))

    def some_request(cookie: int, extended: bool) -> tuple[int, bytes]:
        """Return the length of its data if it is a READ, and the request."""
        command = chance.choice([0, 1, 3, 4, 5, 6, 7, 8, 65535])
        flags = chance.choice([0, 0, 0, client.FUA, client.DF, client.PAYLOAD_LEN, chance.randrange(65536)])
        offset = chance.choice([0, chance.randrange(4 * MiB), 4 * MiB, (1 << 64) - 1])
        length = chance.choice([0, 1, 512, chance.randrange(100_000)])
        with_payload = command == client.WRITE or (extended and flags & client.PAYLOAD_LEN)
        packed = client.request(command, offset, length, flags, cookie, extended)
        return length * (command == client.READ), packed + chance.randbytes(length) * bool(with_payload)

    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume", *agreed)
        for _ in range(10):
            asked = dict(enumerate(some_request(cookie, nbd.extended) for cookie in range(50)))
            nbd.send(b"".join(packed for _length, packed in asked.values()))
            lengths = {cookie: length for cookie, (length, _packed) in asked.items()}
            while lengths:
                answer = await nbd.answer(lengths)
                assert len(answer.data) in (0, lengths.pop(answer.cookie))
                assert not (answer.data and answer.error)
        await nbd.close()

    serve(runner, scenario)


# how connections end


def test_disc_is_not_answered_but_what_came_before_is(runner: Runner) -> None:
    """doc/proto.md, NBD_CMD_DISC."""

    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume")
        serving.volume.held = asyncio.get_running_loop().create_future()
        nbd.send(client.request(client.WRITE, 0, 4, cookie=1) + b"data")
        nbd.send(client.request(client.DISC, cookie=2) + client.request(client.FLUSH, cookie=3))
        await serving.until(lambda: bool(serving.server._shared.budget.used))
        await asyncio.sleep(0.02)
        serving.volume.held.set_result(None)
        assert (await nbd.answer()).cookie == 1
        assert await nbd.is_hung_up_on()
        await nbd.close()

    serve(runner, scenario)


def test_who_sends_no_more_still_gets_the_answers(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume")
        nbd.send(client.request(client.WRITE, 0, 4, cookie=1) + b"data")
        nbd.send(client.request(client.WRITE, 0, 4000, cookie=2) + b"not all of it")
        nbd.writer.write_eof()
        assert (await nbd.answer()).cookie == 1
        assert await nbd.is_hung_up_on()
        await nbd.close()

    serve(runner, scenario, deferred=True)


def test_a_volume_is_released_when_nothing_of_a_lost_client_is_under_way(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume")
        serving.volume.held = asyncio.get_running_loop().create_future()
        nbd.send(client.request(client.WRITE, 0, 4, cookie=1) + b"data")
        await serving.until(lambda: bool(serving.server._shared.budget.used))
        nbd.writer.transport.abort()
        await asyncio.sleep(0.05)
        assert serving.volume.opened == 1
        assert serving.server.connection_count == 1
        serving.volume.held.set_result(None)
        await serving.until(lambda: serving.volume.opened == 0 and serving.server.connection_count == 0)

    serve(runner, scenario)


def test_closing_an_export_answers_what_was_taken_and_leaves_the_others(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume")
        other = await NbdClient.use(serving.path, "fixed")
        serving.volume.held = asyncio.get_running_loop().create_future()
        nbd.send(client.request(client.WRITE, 0, 4, cookie=1) + b"data")
        await serving.until(lambda: bool(serving.server._shared.budget.used))
        closing = asyncio.ensure_future(serving.server.close_export("volume"))
        await asyncio.sleep(0.02)
        assert not closing.done()
        nbd.send(client.request(client.WRITE, 0, 4, cookie=2) + b"late")
        serving.volume.held.set_result(None)
        await closing
        assert (await nbd.answer()).cookie == 1
        assert await nbd.is_hung_up_on()
        serving.volume.size = 1 * MiB
        again = await NbdClient.use(serving.path, "volume")
        assert again.size == 1 * MiB
        assert (await other.do(client.READ, 0, 4)).error == 0
        for connection in (nbd, other, again):
            await connection.close()

    serve(runner, scenario)


def test_those_who_come_for_somebody_are_told_apart(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        lost = await NbdClient.use(serving.path, "volume~lost")
        kept = [await NbdClient.use(serving.path, name) for name in ("volume", "volume~kept", "fixed~lost")]
        assert (lost.size, serving.volume.opened) == (kept[0].size, 3)
        await serving.server.cut_off("volume", "lost")
        assert await lost.is_hung_up_on()
        for connection in kept:
            assert (await connection.do(client.READ, 0, 4)).error == 0
        for connection in (lost, *kept):
            await connection.close()

    serve(runner, scenario)


def test_what_does_not_end_in_time_is_cut_off(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume")
        serving.volume.held = asyncio.get_running_loop().create_future()
        nbd.send(client.request(client.WRITE, 0, 4, cookie=1) + b"data")
        await serving.until(lambda: bool(serving.server._shared.budget.used))
        await serving.server.close_export("volume", deadline_s=0.05)
        assert await nbd.is_hung_up_on()
        serving.volume.held.set_result(None)
        await nbd.close()

    serve(runner, scenario)


@pytest.mark.parametrize("sent", [b"\0" * 28, b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"])
def test_garbage_ends_the_connection_after_the_answers(runner: Runner, sent: bytes) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume")
        nbd.send(client.request(client.READ, 0, 4, cookie=5) + sent)
        assert (await nbd.answer(4)).cookie == 5
        assert await nbd.is_hung_up_on()
        await nbd.close()

    serve(runner, scenario)


# the handshake


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff" * 4,
        struct.pack(">I", 3) + b"\0" * 16,
        struct.pack(">I", 3) + client.option(client.EXPORT_NAME, b"missing"),
        struct.pack(">I", 3) + client.option(client.EXPORT_NAME, b"\xff"),
        struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", client.GO, (1 << 32) - 1),
        struct.pack(">I", 0) + client.option(client.LIST),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_handshake_ends_the_connection(runner: Runner, sent: bytes) -> None:
    async def scenario(serving: Serving) -> None:
        stream, writer = await asyncio.open_unix_connection(serving.path)
        writer.write(sent)
        nbd = NbdClient(stream, writer)
        assert await nbd.take(18) == client.GREETING + b"\0\3"
        assert await nbd.is_hung_up_on()
        await nbd.close()

    serve(runner, scenario)


def test_requests_may_follow_the_handshake_at_once(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.connect(serving.path)
        nbd.send(
            client.option(client.STRUCTURED_REPLY)
            + client.option(client.GO, client.go_data("volume"))
            + client.request(client.WRITE, 0, 4, cookie=8)
            + b"data"
            + client.request(client.READ, 0, 4, cookie=9)
        )
        kinds = [(await nbd.option_reply())[1] for _ in range(4)]
        assert kinds == [client.ACK, client.REP_INFO, client.REP_INFO, client.ACK]
        assert (await nbd.answer()).cookie == 8
        assert (await nbd.answer()).data == b"data"
        await nbd.close()

    serve(runner, scenario)


def test_an_export_is_opened_once_for_all_that_a_client_asks_about_it(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.connect(serving.path)
        await nbd.ask(client.STRUCTURED_REPLY)
        await nbd.ask(client.INFO, client.go_data("volume"))
        await nbd.ask(client.SET_META_CONTEXT, client.contexts_data("volume", "base:allocation"))
        await nbd.ask(client.GO, client.go_data("volume"))
        assert len(serving.exports.clients) == 1
        await nbd.close()

    serve(runner, scenario)


def test_who_only_looks_opens_nothing(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.connect(serving.path)
        names = [data[4:] for kind, data in await nbd.ask(client.LIST) if kind == client.SERVER]
        assert names == [b"volume", b"fixed"]
        for name in names:
            await nbd.ask(client.INFO, client.go_data(name.decode()))
        await nbd.ask(client.STRUCTURED_REPLY)
        await nbd.ask(client.LIST_META_CONTEXT, client.contexts_data("fixed"))
        await nbd.ask(client.SET_META_CONTEXT, client.contexts_data("fixed", "base:allocation"))
        assert serving.exports.clients == []
        await nbd.ask(client.ABORT)
        assert await nbd.is_hung_up_on()
        await nbd.close()

    serve(runner, scenario)


def test_who_is_not_allowed_is_told(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        serving.exports.refusal = NotAllowed("not for you")
        nbd = await NbdClient.connect(serving.path)
        assert await nbd.ask(client.GO, client.go_data("volume")) == [(client.ERR_POLICY, b"not for you")]
        serving.exports.refusal = None
        assert (await nbd.ask(client.GO, client.go_data("volume")))[-1][0] == client.ACK
        await nbd.close()

    serve(runner, scenario)


def test_an_option_that_is_too_long_is_skipped(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.connect(serving.path)
        replies = await nbd.ask(client.LIST_META_CONTEXT, bytes(500_000))
        assert [kind for kind, _text in replies] == [client.ERR_TOO_BIG]
        assert (await nbd.ask(client.GO, client.go_data("volume")))[-1][0] == client.ACK
        await nbd.close()

    serve(runner, scenario)


def test_a_handshake_has_to_come_to_an_end(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.connect(serving.path)
        assert await nbd.is_hung_up_on()
        await nbd.close()

    serve(runner, scenario, limits=Limits(handshake_s=0.1))


def test_a_block_size_is_kept(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.connect(serving.path)
        assert (await nbd.ask(client.GO, client.go_data("volume", (3,))))[-1][0] == client.ACK
        assert (await nbd.do(client.READ, 512, 512)).error == 0
        assert (await nbd.do(client.READ, 256, 512)).error == 22
        await nbd.close()

    serve(runner, scenario, block_sizes=BlockSizes(512))


class NoTls:
    """A way to do TLS that is not to be gone."""

    def begin(self) -> TlsSession:
        raise AssertionError("TLS was begun")


def test_bytes_behind_starttls_are_not_taken_for_the_clients(runner: Runner) -> None:
    """Somebody in between may have put them there, to be used as if they had come through TLS."""

    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.connect(serving.path)
        nbd.send(client.option(client.STARTTLS) + client.option(client.GO, client.go_data("volume")))
        assert await nbd.is_hung_up_on()
        await nbd.close()

    serve(runner, scenario, security=Security(NoTls()))


def test_nothing_is_shown_without_tls_where_it_is_required(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.connect(serving.path)
        for option in (client.LIST, client.STRUCTURED_REPLY, client.GO):
            assert [kind for kind, _text in await nbd.ask(option)] == [client.ERR_TLS_REQD]
        assert not serving.exports.clients
        await nbd.close()

    serve(runner, scenario, security=Security(NoTls(), tls_required=True))


# bounds


def test_no_more_is_taken_than_may_be_held(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume")
        budget = serving.server._shared.budget
        serving.volume.held = asyncio.get_running_loop().create_future()
        for index in range(40):
            nbd.send(client.request(client.WRITE, 0, MiB // 2, cookie=index) + bytes(MiB // 2))
        await serving.until(lambda: budget.used >= 2 * MiB)
        await asyncio.sleep(0.05)
        assert budget.used < 3 * MiB
        serving.volume.held.set_result(None)
        assert [(await nbd.answer()).cookie for _ in range(40)] == list(range(40))
        await nbd.close()

    serve(runner, scenario, limits=Limits(connection_bytes=2 * MiB, server_bytes=64 * MiB))


def test_connections_share_what_may_be_held_by_all(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        budget = serving.server._shared.budget
        serving.volume.held = asyncio.get_running_loop().create_future()
        clients = [await NbdClient.use(serving.path, "volume") for _ in range(4)]
        for nbd in clients:
            for index in range(8):
                nbd.send(client.request(client.WRITE, 0, MiB // 2, cookie=index) + bytes(MiB // 2))
        await serving.until(lambda: budget.used >= 2 * MiB)
        await asyncio.sleep(0.05)
        assert budget.used < 3 * MiB
        serving.volume.held.set_result(None)
        for nbd in clients:
            assert [(await nbd.answer()).cookie for _ in range(8)] == list(range(8))
            await nbd.close()

    serve(runner, scenario, limits=Limits(connection_bytes=2 * MiB, server_bytes=2 * MiB))


def test_who_does_not_take_answers_is_not_served_until_he_does(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume")
        await nbd.do(client.WRITE, 0, payload=os.urandom(1 * MiB))
        nbd.writer.transport.pause_reading()  # type: ignore[attr-defined]
        nbd.send(b"".join(client.request(client.READ, 0, MiB, cookie=index) for index in range(200)))
        await asyncio.sleep(0.2)
        counters = serving.server.counters("volume")
        assert counters.count(Command.READ) < 20
        nbd.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert [(await nbd.answer(MiB)).cookie for _ in range(200)] == list(range(200))
        await nbd.close()

    serve(runner, scenario, limits=Limits(unsent_bytes=1 * MiB, connection_bytes=2 * MiB))


def test_who_stops_in_the_middle_of_a_request_is_hung_up_on(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blockgw.nbd.connections.SWEEP_S", 0.02)

    async def scenario(serving: Serving) -> None:
        idle = await NbdClient.use(serving.path, "volume")
        nbd = await NbdClient.use(serving.path, "volume")
        nbd.send(client.request(client.WRITE, 0, 100) + b"x")
        assert await nbd.is_hung_up_on()
        assert (await idle.do(client.READ, 0, 4)).error == 0
        await nbd.close()
        await idle.close()

    serve(runner, scenario, limits=Limits(stall_s=0.1))


def test_who_is_slow_is_not_hung_up_on(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blockgw.nbd.connections.SWEEP_S", 0.02)

    async def scenario(serving: Serving) -> None:
        nbd = await NbdClient.use(serving.path, "volume")
        nbd.send(client.request(client.WRITE, 0, 16))
        for _ in range(16):
            await asyncio.sleep(0.06)
            nbd.send(b"x")
        assert (await nbd.answer()).error == 0
        await nbd.close()

    serve(runner, scenario, limits=Limits(stall_s=0.5))


def test_who_is_sent_away_before_a_word_was_said_is_forgotten(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        negotiation = Negotiation(serving.server._shared, Policy(), None)
        transport = Mock(asyncio.Transport)
        negotiation.connection_made(transport)
        assert serving.server.connection_count == 1
        negotiation.abort()
        await serving.until(lambda: serving.server.connection_count == 0)
        transport.write.assert_not_called()

    serve(runner, scenario)


def test_more_connections_than_allowed_are_closed_at_once(runner: Runner) -> None:
    async def scenario(serving: Serving) -> None:
        clients = [await NbdClient.connect(serving.path) for _ in range(2)]
        refused = NbdClient(*await asyncio.open_unix_connection(serving.path))
        assert await refused.is_hung_up_on()
        await clients[0].close()
        await serving.until(lambda: serving.server.connection_count == 1)
        again = await NbdClient.connect(serving.path)
        for nbd in (refused, clients[1], again):
            await nbd.close()

    serve(runner, scenario, limits=Limits(connections=2))


# sockets


def test_a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not(runner: Runner, tmp_path: Path) -> None:
    path = str(tmp_path / "nbd.sock")

    async def scenario() -> None:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
        server = NbdServer(MemoryExports(MemoryExport("volume", MiB)))
        await server.listen_unix(path)
        assert Path(path).stat().st_mode & 0o777 == 0o600
        with pytest.raises(OSError, match="in use"):
            await server.listen_unix(path)
        nbd = await NbdClient.use(path, "volume")
        await nbd.close()
        await server.close()

    runner(scenario())


def test_a_file_that_is_no_socket_is_left_alone(runner: Runner, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")

    async def scenario() -> None:
        server = NbdServer(MemoryExports())
        with pytest.raises(OSError, match="in use"):
            await server.listen_unix(str(path))
        await server.close()

    runner(scenario())
    assert path.read_text() == "data"


def test_the_address_of_a_client_is_known_on_tcp(runner: Runner) -> None:
    async def scenario() -> None:
        exports = MemoryExports(MemoryExport("volume", MiB))
        server = NbdServer(exports)
        port = await server.listen_tcp("127.0.0.1", 0)
        nbd = NbdClient(*await asyncio.open_connection("127.0.0.1", port))
        await nbd.take(18)
        nbd.send(struct.pack(">I", 3))
        await nbd.ask(client.GO, client.go_data("volume"))
        assert exports.clients[0].address == "127.0.0.1"
        assert not exports.clients[0].secure
        await nbd.close()
        await server.close()

    runner(scenario())


def test_who_resets_a_connection_before_it_is_taken_is_nobody(runner: Runner) -> None:
    """Least of all the owner, who has no address either: he comes by a unix socket."""

    async def play() -> None:
        exports = MemoryExports(MemoryExport("volume", MiB))
        made: list[Negotiation] = []

        class Noted(Negotiation):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                made.append(self)

        server = NbdServer(exports)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("blockgw.nbd.server.Negotiation", Noted)
            port = await server.listen_tcp("127.0.0.1", 0)
            with socket.create_connection(("127.0.0.1", port)) as client:  # the kernel takes it, and we not yet
                client.sendall(b"\0\0\0\3")
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            async with asyncio.timeout(10):
                while not made:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            assert made[0]._task is None or made[0]._client.address == "127.0.0.1"
        await server.close()
        assert server.connection_count == 0

    runner(play())
