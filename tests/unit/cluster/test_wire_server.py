"""What a server does with strangers and with damage: raw bytes on its socket."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.wire import Peer, PeerUnavailable, Reply, Request, Server, handshake
from cluster.wire import server as server_module
from cluster.wire.errors import UNAUTHENTICATED
from cluster.wire.frame import METADATA_LIMIT, PAYLOAD_LIMIT, Decoder, Flag, Kind, encode, encode_header
from tests.unit.cluster.wire_cluster import KEY, RUNNERS, cluster, run, until

pytestmark = pytest.mark.parametrize("runner", RUNNERS, ids=["asyncio", "uvloop"])
Runner = Callable[[Any], None]


class RawClient:
    """Speaks frames, well or badly."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.frames: list[tuple[Any, ...]] = []
        self.decoder = Decoder(lambda *fields: self.frames.append(fields), METADATA_LIMIT, PAYLOAD_LIMIT)

    @classmethod
    async def connect(cls, address: str) -> "RawClient":
        return cls(*await asyncio.open_unix_connection(address.removeprefix("unix:")))

    async def next_frame(self) -> tuple[Any, ...] | None:
        """Return the next frame, None when the server hangs up."""
        while not self.frames:
            space = self.decoder.get_buffer()
            data = await self.reader.read(len(space))
            if not data:
                return None
            space[: len(data)] = data
            self.decoder.received(len(data))
        return self.frames.pop(0)

    async def shake_hands(self, key: bytes = KEY, version: int = 1) -> tuple[Any, ...] | None:
        frame = await self.next_frame()
        assert frame is not None
        assert frame[0] == Kind.CHALLENGE
        challenge = frame[5][0]
        hello = handshake.pack_hello(handshake.Hello(version, bytes(32), "raw", 1 << 20))
        proof = handshake.prove(key, handshake.CLIENT, challenge, hello)
        self.writer.write(encode(Kind.HELLO, metadata=(hello, proof)))
        answer = await self.next_frame()
        if answer is not None and answer[0] == Kind.PROOF:
            handshake.check_proof(key, handshake.SERVER, challenge, hello, answer[5][0])
        return answer

    async def is_hung_up(self) -> bool:
        try:
            while await self.next_frame() is not None:
                pass
        except ConnectionError:
            pass
        self.writer.close()
        return True


def test_both_sides_prove_the_key_before_anything_is_answered(runner: Runner) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            raw = await RawClient.connect(c.address)
            answer = await raw.shake_hands()
            assert answer is not None
            assert answer[0] == Kind.PROOF
            raw.writer.write(encode(Kind.REQUEST, 1, code=5, metadata=("x",)))
            frame = await raw.next_frame()
            assert frame is not None
            assert (frame[0], frame[3], frame[5]) == (Kind.REPLY, 1, (5, ("x",)))
            raw.writer.close()

    run(runner, scenario())


@pytest.mark.parametrize(("key", "version"), [(b"wrong", 1), (KEY, 0), (KEY, 99)])
def test_a_wrong_key_or_version_is_refused_and_hung_up_on(runner: Runner, key: bytes, version: int) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            raw = await RawClient.connect(c.address)
            answer = await raw.shake_hands(key, version)
            assert answer is not None
            assert (answer[0], answer[2]) == (Kind.REFUSAL, UNAUTHENTICATED)
            assert await raw.is_hung_up()

    run(runner, scenario())


def test_refusals_are_logged_at_most_once_a_second(runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            for _ in range(20):
                raw = await RawClient.connect(c.address)
                await raw.shake_hands(b"wrong")
                assert await raw.is_hung_up()

    run(runner, scenario())
    lines = [line for line in capsys.readouterr().err.splitlines() if "client_refused" in line]
    assert 1 <= len(lines) <= 2
    assert "key" in lines[0]


def test_a_peer_with_another_key_stays_down_and_says_why(
    runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            stranger = Peer(c.address, b"another key", name="stranger")
            stranger.start()
            assert not await stranger.ready(0.2)
            with pytest.raises(PeerUnavailable, match="key differs"):
                await stranger.call(1, ())
            await stranger.close()

    run(runner, scenario())
    assert "peer_refused" in capsys.readouterr().err


def test_a_server_with_another_key_learns_nothing_and_gets_no_request(runner: Runner) -> None:
    """It cannot answer the client's hello with a proof."""

    class Impostor(asyncio.Protocol):
        frames: list[int] = []  # noqa: RUF012

        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            challenge = handshake.Challenge(1, 1, bytes(32), 1 << 20, 100)
            transport.write(encode(Kind.CHALLENGE, metadata=(handshake.pack_challenge(challenge),)))

        def data_received(self, data: bytes) -> None:
            self.frames.append(data[0])
            self.transport.write(encode(Kind.PROOF, metadata=(bytes(32),)))

    async def scenario() -> None:
        async with cluster() as c:
            path = c.address.removeprefix("unix:") + ".impostor"
            server = await asyncio.get_running_loop().create_unix_server(Impostor, path)
            peer = Peer(f"unix:{path}", KEY)
            peer.start()
            assert not await peer.ready(0.2)
            await peer.close()
            server.close()
            Path(path).unlink(missing_ok=True)
            assert set(Impostor.frames) == {Kind.HELLO}

    run(runner, scenario())


@pytest.mark.parametrize(
    "opening",
    [
        encode(Kind.REQUEST, 1, code=5),
        encode(Kind.PING),
        encode(Kind.HELLO),
        encode(Kind.HELLO, metadata=(1, 2)),
        encode_header(Kind.HELLO, 0, 0, 0, 0, 1025, 0),
        encode_header(Kind.HELLO, 0, 0, 0, 0, 0, 1),
        b"GET / HTTP/1.1\r\nHost: holdfast\r\n\r\n",
    ],
    ids=["request", "ping", "empty", "numbers", "long metadata", "payload", "http"],
)
def test_nothing_but_a_handshake_is_accepted_from_a_stranger(runner: Runner, opening: bytes) -> None:
    asked: list[Any] = []

    async def scenario() -> None:
        async with cluster(lambda request: asked.append(request) or Reply()) as c:  # type: ignore[func-returns-value]
            raw = await RawClient.connect(c.address)
            raw.writer.write(opening)
            assert await raw.is_hung_up()
            assert asked == []
            await c.peer.call(1, ())

    run(runner, scenario())


def test_a_stranger_who_says_nothing_is_hung_up_on(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HANDSHAKE_TIMEOUT_S", 0.05)

    async def scenario() -> None:
        async with cluster() as c:
            raw = await RawClient.connect(c.address)
            assert await raw.is_hung_up()
            assert c.peer.up

    run(runner, scenario())


def test_the_handler_is_told_when_a_client_is_lost(runner: Runner) -> None:
    async def scenario() -> None:
        asked: list[object] = []
        lost: list[object] = []

        def answer(request: Request) -> Reply:
            asked.append(request.client)
            return Reply()

        async with cluster(answer, server={"on_client_lost": lost.append}) as made:
            other = Peer(made.address, KEY, name="other")
            other.start()
            assert await other.ready(5.0)
            for peer in (made.peer, made.peer, other):
                await peer.call(1, ())
            assert asked[0] is asked[1]
            assert asked[2] is not asked[0]
            await other.close()
            await until(lambda: bool(lost))
            assert lost == [asked[2]]

    run(runner, scenario())


def test_no_more_connections_are_kept_than_the_bound(runner: Runner) -> None:
    async def scenario() -> None:
        async with cluster(server={"connection_limit": 2}) as c:
            second = await RawClient.connect(c.address)
            assert await second.next_frame() is not None
            third = await RawClient.connect(c.address)
            assert await third.is_hung_up()
            second.writer.close()
            await until(lambda: "connections=1" in repr(c.server))

    run(runner, scenario())


@pytest.mark.parametrize(
    "damage",
    [
        encode(Kind.REPLY, 1),
        encode(99, 1),
        encode(Kind.CHALLENGE),
        encode_header(Kind.REQUEST, 0, 1, 1, 0, METADATA_LIMIT + 1, 0),
        encode_header(Kind.DATA, 0, 0, 1, 0, 0, PAYLOAD_LIMIT + 1),
        encode_header(Kind.REQUEST, 0, 1, 1, 0, 1, 0) + b"\xc1",
        encode(Kind.REQUEST, 1, code=2) * 2,
        encode(Kind.REQUEST, 1, code=2, flags=Flag.STREAMED) + encode(Kind.DATA, 1, payload=bytes(1 << 20)) * 3,
        encode(Kind.REQUEST, 1, code=3) + encode(Kind.CREDIT, 1, argument=1 << 30),
    ],
    ids=["reply", "unknown", "challenge", "metadata", "payload", "msgpack", "stream twice", "no credit", "credit"],
)
def test_a_client_that_breaks_the_rules_is_cut_off_alone(
    runner: Runner, damage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    async def hang() -> Reply:
        await asyncio.sleep(30)
        return Reply()

    async def endless() -> Any:
        while True:
            yield bytes(1000)

    def handler(request: Any) -> Any:
        if request.operation == 3:
            return Reply(body=endless())
        return hang() if request.operation == 2 else Reply()

    async def scenario() -> None:
        async with cluster(handler) as c:
            raw = await RawClient.connect(c.address)
            await raw.shake_hands()
            raw.writer.write(damage)
            assert await raw.is_hung_up()
            await c.peer.call(1, ())
            assert c.peer.up

    run(runner, scenario())
    assert "client_cut_off" in capsys.readouterr().err


def test_frames_about_streams_that_are_over_are_passed_over(runner: Runner) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            raw = await RawClient.connect(c.address)
            await raw.shake_hands()
            for kind in (Kind.DATA, Kind.END, Kind.CREDIT, Kind.CANCEL):
                raw.writer.write(encode(kind, 77, argument=10, payload=b"x" if kind == Kind.DATA else b""))
            raw.writer.write(encode(Kind.PING))
            frame = await raw.next_frame()
            assert frame is not None
            assert frame[0] == Kind.PONG
            raw.writer.close()

    run(runner, scenario())


def test_flags_that_are_not_known_mean_nothing(runner: Runner) -> None:
    """docs/wire.md: a version that gives them a meaning is negotiated first."""

    async def scenario() -> None:
        async with cluster() as c:
            raw = await RawClient.connect(c.address)
            await raw.shake_hands()
            raw.writer.write(encode(Kind.REQUEST, 1, code=5, flags=0xF0, payload=b"x"))
            frame = await raw.next_frame()
            assert frame is not None
            assert (frame[0], bytes(frame[6])) == (Kind.REPLY, b"x")
            raw.writer.close()

    run(runner, scenario())


def test_a_server_survives_noise(runner: Runner) -> None:
    async def scenario() -> None:
        source = random.Random(3)
        async with cluster() as c:
            for round_ in range(40):
                raw = await RawClient.connect(c.address)
                if round_ % 2:
                    await raw.shake_hands()
                noise = bytearray(source.randbytes(300))
                noise[0] %= 14  # a kind, more often than not
                noise[8:20] = encode_header(0, 0, 0, 0, 0, source.randrange(50), source.randrange(50))[8:]
                raw.writer.write(noise)
                raw.writer.write_eof()
                assert await raw.is_hung_up()
            await c.peer.call(1, ())

    run(runner, scenario())


def test_a_server_stops_reading_from_a_client_that_does_not_read(runner: Runner) -> None:
    """Replies pile up to a bound, not further."""
    answered = 0

    def handler(_request: Any) -> Reply:
        nonlocal answered
        answered += 1
        return Reply((), bytes(1 << 20))

    async def scenario() -> None:
        async with cluster(handler) as c:
            raw = await RawClient.connect(c.address)
            await raw.shake_hands()
            raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
            for stream in range(1, 200):
                raw.writer.write(encode(Kind.REQUEST, stream, code=1, metadata=(bytes(30_000),)))
                await asyncio.sleep(0)
            await asyncio.sleep(0.1)
            assert answered < 40
            raw.writer.transport.resume_reading()  # type: ignore[attr-defined]
            for _ in range(199):
                assert await raw.next_frame() is not None
            raw.writer.close()

    run(runner, scenario())


def test_values_print_themselves(runner: Runner) -> None:
    async def scenario() -> None:
        assert repr(Server(KEY, lambda request: Reply())) == "Server(closed, connections=0)"
        assert repr(Reply((1,), b"abc")) == "Reply((1,), payload=3 bytes)"
        async with cluster() as c:
            assert repr(c.peer).startswith("Peer(it, up, ")
            assert repr(c.server) == f"Server({c.address}, connections=1)"

    run(runner, scenario())
