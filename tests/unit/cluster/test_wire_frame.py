"""Frames: bytes <-> values, in whatever pieces they come, whole or damaged."""

import random
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.wire.errors import ProtocolError
from cluster.wire.frame import (
    BUFFER_SIZE,
    HANDSHAKE_LIMIT,
    HEADER_SIZE,
    LARGE,
    METADATA_LIMIT,
    PAYLOAD_LIMIT,
    Decoder,
    Flag,
    Kind,
    encode,
    encode_header,
)

Frame = tuple[int, int, int, int, int, Any, bytes]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.binary(max_size=40) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
WORDS = st.integers(0, (1 << 32) - 1)
SMALL_FRAMES = st.tuples(
    st.sampled_from(Kind), st.integers(0, 255), st.integers(0, 0xFFFF), WORDS, WORDS, VALUES, st.binary(max_size=300)
)


class Receiver:
    """Feeds a decoder as a transport would, and keeps what comes out."""

    def __init__(self, metadata_limit: int = METADATA_LIMIT, payload_limit: int = PAYLOAD_LIMIT) -> None:
        self.frames: list[Frame] = []
        self.decoder = Decoder(self._take, metadata_limit, payload_limit)

    def _take(self, *fields: Any) -> None:
        *head, payload = fields
        self.frames.append((*head, bytes(payload)))  # type: ignore[arg-type]

    def feed(self, data: bytes, step: int | None = None) -> None:
        rest = memoryview(data)
        while rest:
            space = self.decoder.get_buffer()
            count = min(len(rest), len(space), step or len(rest))
            assert count > 0, "no room for more bytes"
            space[:count] = rest[:count]
            self.decoder.received(count)
            rest = rest[count:]


def encoded(frame: Frame) -> bytes:
    kind, flags, code, stream, argument, metadata, payload = frame
    return encode(
        kind, stream, flags=flags, code=code, argument=argument, metadata=metadata, payload=payload
    )


def received(data: bytes, step: int | None = None) -> list[Frame]:
    receiver = Receiver()
    receiver.feed(data, step)
    return receiver.frames


def test_a_request_looks_as_the_documentation_shows() -> None:
    """docs/wire.md, "An example"."""
    frame = encode(
        Kind.REQUEST, 7, code=7, argument=5000, metadata=(bytes(range(16)), 0, None), payload=b"hello"
    )
    assert frame.hex() == (
        "040000070000000700001388000000150000000593c410000102030405060708090a0b0c0d0e0f00c068656c6c6f"
    )


@given(st.lists(SMALL_FRAMES, max_size=5))
@settings(max_examples=50)
def test_frames_come_out_as_they_went_in(frames: list[Frame]) -> None:
    assert received(b"".join(map(encoded, frames))) == frames


@given(SMALL_FRAMES)
@settings(max_examples=30)
def test_a_frame_may_come_byte_by_byte(frame: Frame) -> None:
    assert received(encoded(frame), step=1) == [frame]


@given(SMALL_FRAMES, SMALL_FRAMES, st.data())
@settings(max_examples=50)
def test_the_tail_of_what_was_received_waits_for_the_rest_of_its_frame(
    first: Frame, second: Frame, data: st.DataObject
) -> None:
    bytes_ = encoded(first) + encoded(second)
    cut = data.draw(st.integers(len(encoded(first)), len(bytes_) - 1))
    receiver = Receiver()
    receiver.feed(bytes_[:cut])
    assert receiver.frames == [first]
    receiver.feed(bytes_[cut:])
    assert receiver.frames == [first, second]


def large_frames() -> Iterator[Frame]:
    """Frames around every limit at which the decoder changes its way."""
    noise = random.Random(1).randbytes(PAYLOAD_LIMIT)
    for length in (LARGE - 1, LARGE, LARGE + 1, BUFFER_SIZE - HEADER_SIZE, BUFFER_SIZE, 1 << 20, PAYLOAD_LIMIT):
        yield (Kind.REPLY, 0, 0, 1, 0, (), noise[:length])
        yield (Kind.REPLY, 0, 0, 1, 0, (1, "two"), noise[:length])
        yield (Kind.REPLY, 0, 0, 1, 0, (noise[:length],), b"")
        yield (Kind.REPLY, 0, 0, 1, 0, (noise[:length],), b"tail")
        yield (Kind.REPLY, 0, 0, 1, 0, (noise[: LARGE + 5],), noise[:length])


@pytest.mark.parametrize("step", [None, 4099, LARGE, BUFFER_SIZE - 7])
def test_large_frames_come_out_as_they_went_in(step: int | None) -> None:
    for frame in large_frames():
        before, after = (Kind.PING, 0, 0, 0, 0, (), b""), (Kind.DATA, 0, 0, 3, 0, (), b"next")
        bytes_ = encoded(before) + encoded(frame) + encoded(after)
        assert received(bytes_, step) == [before, frame, after]


def test_payloads_stay_what_they_are_while_more_is_received() -> None:
    """Memory is used again, but not while somebody holds a payload, or a view of one."""
    kept: list[Any] = []
    decoder = Decoder(lambda *fields: kept.append(memoryview(fields[-1])[10:]), 100, PAYLOAD_LIMIT)
    feeder = Receiver()
    feeder.decoder = decoder
    sizes = [100, LARGE, LARGE * 3, 1 << 20, 1 << 20] * 5
    for index, size in enumerate(sizes):
        feeder.feed(encode(Kind.DATA, payload=bytes([index]) * size), step=50_000)
    assert [bytes(view) for view in kept] == [bytes([index]) * (size - 10) for index, size in enumerate(sizes)]


def test_the_memory_of_a_payload_that_nobody_holds_is_used_again() -> None:
    identities: list[int] = []
    feeder = Receiver()
    feeder.decoder = Decoder(lambda *fields: identities.append(id(fields[-1])), 100, PAYLOAD_LIMIT)
    for _ in range(5):
        feeder.feed(encode(Kind.DATA, payload=bytes(1 << 20)), step=100_000)
    assert len(set(identities)) == 1


@pytest.mark.parametrize(("metadata_length", "payload_length"), [(METADATA_LIMIT + 1, 0), (0, PAYLOAD_LIMIT + 1)])
def test_a_frame_over_the_limits_is_refused_before_it_is_received(
    metadata_length: int, payload_length: int
) -> None:
    with pytest.raises(ProtocolError):
        received(encode_header(Kind.REQUEST, 0, 1, 1, 0, metadata_length, payload_length))


def test_limits_also_hold_for_a_frame_that_is_there_already() -> None:
    receiver = Receiver(HANDSHAKE_LIMIT, 0)
    with pytest.raises(ProtocolError):
        receiver.feed(encode(Kind.HELLO, payload=b"x"))


def test_limits_may_change_between_two_frames() -> None:
    receiver = Receiver(HANDSHAKE_LIMIT, 0)
    frames: list[Any] = []

    def switch(*_fields: Any) -> None:
        receiver.decoder.switch(lambda *fields: frames.append(fields[-1]), 10, 10)

    receiver.decoder.switch(switch, HANDSHAKE_LIMIT, 0)
    receiver.feed(encode(Kind.HELLO) + encode(Kind.DATA, payload=b"0123456789"))
    assert frames == [b"0123456789"]
    with pytest.raises(ProtocolError):
        receiver.feed(encode(Kind.DATA, payload=b"0123456789a"))


def test_nothing_comes_out_after_stop() -> None:
    receiver = Receiver()
    receiver.decoder.switch(lambda *fields: (receiver.frames.append(fields), receiver.decoder.stop()), 9, 9)  # type: ignore[func-returns-value, arg-type]
    receiver.feed(encode(Kind.PING) * 3)
    assert len(receiver.frames) == 1


@pytest.mark.parametrize(
    "metadata",
    [b"\xc1", b"\x93\x01\x02", b"\x01\x02", b"\xa2\xff\xff", b"\x81\x90\x01", b"\x81\x01\x02", b"\x91" * 3000 + b"\1"],
    ids=["unused", "short", "two values", "not utf-8", "array as key", "number as key", "deep"],
)
def test_metadata_that_is_not_one_plain_value_is_a_protocol_error(metadata: bytes) -> None:
    with pytest.raises(ProtocolError):
        received(encode_header(Kind.REQUEST, 0, 1, 1, 0, len(metadata), 0) + metadata)


def test_damage_in_large_metadata_is_a_protocol_error() -> None:
    metadata = msgpack.packb(bytes(LARGE * 2))[:-1]
    with pytest.raises(ProtocolError):
        received(encode_header(Kind.REQUEST, 0, 1, 1, 0, len(metadata), 0) + metadata, step=60_000)


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_random_metadata_gives_a_frame_or_a_protocol_error(metadata: bytes) -> None:
    receiver = Receiver()
    try:
        receiver.feed(encode_header(Kind.REQUEST, 0, 1, 1, 0, len(metadata), 0) + metadata)
    except ProtocolError:
        return
    assert len(receiver.frames) == 1


def test_random_bytes_and_flipped_bits_raise_protocol_errors_only() -> None:
    source = random.Random(2)
    good = b"".join(
        encode(source.choice(list(Kind)), 5, metadata=(source.randbytes(20), "x" * 5, {"a": 1}), payload=b"p" * 50)
        for _ in range(10)
    )
    refused = 0
    for round_ in range(1000):
        data = bytearray(good if round_ % 2 else source.randbytes(400))
        for _ in range(source.randrange(1, 8)):
            data[source.randrange(len(data))] ^= 1 << source.randrange(8)
        try:
            received(bytes(data), step=source.choice([None, 3, 37]))
        except ProtocolError:
            refused += 1
    assert refused > 500


def test_flags_and_kinds_have_the_documented_numbers() -> None:
    """docs/wire.md, "Kinds": they are never reused."""
    assert [kind.name for kind in sorted(Kind)] == [
        "CHALLENGE", "HELLO", "PROOF", "REQUEST", "REPLY", "REFUSAL", "DATA", "END", "CREDIT", "CANCEL", "PING", "PONG",
        "TAG",
    ]  # fmt: skip
    assert [int(kind) for kind in sorted(Kind)] == list(range(1, 14))
    assert (Flag.STREAMED, Flag.ONE_WAY) == (1, 2)
