"""blockgw/nbd/incoming.py: whatever way bytes come in, the same requests come out."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockgw.nbd.dialect import Dialect
from blockgw.nbd.errors import ProtocolError
from blockgw.nbd.extended import ExtendedDialect
from blockgw.nbd.incoming import BUFFER_SIZE, DIRECT, Incoming
from blockgw.nbd.simple import SimpleDialect
from tests.unit.blockgw.nbd import client


@dataclass(frozen=True)
class Sent:
    """A request, and what becomes of its payload."""

    cookie: int
    payload: bytes = b""
    wanted: bool = True


def encode(sent: Sent, extended: bool) -> bytes:
    command = client.WRITE if sent.payload else client.FLUSH
    return client.request(command, 0, len(sent.payload), 0, sent.cookie, extended) + sent.payload


def receive(incoming: Incoming, data: bytes, sizes: Iterable[int]) -> Iterable[None]:
    """Put `data` into the buffers that are offered, at most so many bytes at a time; at the end, all."""
    position = 0
    steps = iter(sizes)
    while position < len(data):
        size = next(steps, len(data))
        buffer = incoming.buffer()
        assert len(buffer)
        count = min(size, len(buffer), len(data) - position)
        buffer[:count] = data[position : position + count]
        incoming.advance(count)
        position += count
        yield


def take_all(incoming: Incoming, script: dict[int, Sent], due: list[Sent]) -> list[Sent]:
    """Take what is there. `due`: the request whose payload is awaited, kept between calls."""
    taken = []
    while True:
        if due:
            payload = incoming.take_payload()
            if payload is None:
                return taken
            taken.append(Sent(due.pop().cookie, bytes(payload)))
            continue
        request = incoming.take_request()
        if request is None:
            return taken
        sent = script[request.cookie]
        if not sent.payload:
            taken.append(sent)
        elif sent.wanted:
            incoming.expect(request.length)
            due.append(sent)
        else:
            incoming.skip(request.length)
            taken.append(sent)


payload_sizes = st.one_of(
    st.just(0),
    st.integers(1, 100),
    st.integers(DIRECT - 40, DIRECT + 40),
    st.integers(BUFFER_SIZE - 40, BUFFER_SIZE + 40),
    st.just(3 * BUFFER_SIZE + 7),
)
requests = st.lists(st.tuples(payload_sizes, st.booleans()), min_size=1, max_size=8)
receive_sizes = st.lists(st.integers(1, 2 * BUFFER_SIZE), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(requests, receive_sizes, st.booleans(), st.integers(0, 200))
def test_requests_and_payloads_are_those_sent(
    asked: list[tuple[int, bool]], sizes: list[int], extended: bool, ahead: int
) -> None:
    """`ahead`: bytes that came with the handshake."""
    script = [
        Sent(cookie, bytes([cookie % 251 + 1]) * size, wanted) for cookie, (size, wanted) in enumerate(asked)
    ]
    by_cookie = {sent.cookie: sent for sent in script}
    data = b"".join(encode(sent, extended) for sent in script)
    dialect: Dialect = ExtendedDialect() if extended else SimpleDialect()
    incoming = Incoming(dialect, data[:ahead])
    due: list[Sent] = []
    taken = take_all(incoming, by_cookie, due)
    for _ in receive(incoming, data[ahead:], sizes):
        taken += take_all(incoming, by_cookie, due)
    assert [(sent.cookie, sent.payload) for sent in taken] == [(sent.cookie, sent.payload) for sent in script]
    assert not incoming.is_partial


def test_byte_by_byte() -> None:
    script = {1: Sent(1), 2: Sent(2, b"some payload"), 3: Sent(3, b"nobody wants", wanted=False), 4: Sent(4)}
    data = b"".join(encode(sent, extended=False) for sent in script.values())
    incoming, due = Incoming(SimpleDialect()), []  # type: tuple[Incoming, list[Sent]]
    taken: list[Sent] = []
    for _ in receive(incoming, data, repeat(1)):
        taken += take_all(incoming, script, due)
    assert [sent.cookie for sent in taken] == [1, 2, 3, 4]


def test_a_large_payload_is_received_into_its_own_memory_and_no_further() -> None:
    """The payload's own buffer ends where the payload does, so what follows it goes to the shared one."""
    incoming = Incoming(SimpleDialect(), client.request(client.WRITE, 0, 1 << 20, cookie=1) + b"ab")
    request = incoming.take_request()
    assert request is not None
    incoming.expect(request.length)
    assert len(incoming.buffer()) == (1 << 20) - 2
    own = incoming.buffer().obj
    incoming.buffer()[:] = bytes((1 << 20) - 2)
    incoming.advance((1 << 20) - 2)
    payload = incoming.take_payload()
    assert payload is not None
    assert payload.obj is own
    assert bytes(payload[:3]) == b"ab\0"


def test_a_payload_stays_as_it_is_when_more_is_received() -> None:
    incoming = Incoming(SimpleDialect(), client.request(client.WRITE, 0, 4, cookie=1) + b"abcd")
    request = incoming.take_request()
    assert request is not None
    incoming.expect(request.length)
    payload = incoming.take_payload()
    assert payload is not None
    buffer = incoming.buffer()
    buffer[:] = b"x" * len(buffer)
    assert bytes(payload) == b"abcd"


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=28, max_size=100))
def test_what_is_no_request_is_a_protocol_error(data: bytes) -> None:
    if data[:4] == bytes.fromhex("25609513"):
        return
    with pytest.raises(ProtocolError):
        Incoming(SimpleDialect(), data).take_request()
