"""blockgw/nbd/simple.py, structured.py, extended.py: requests and replies as an independent client sees them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockgw.errors import Errno
from blockgw.interfaces import Pieces
from blockgw.nbd.dialect import Dialect
from blockgw.nbd.errors import ProtocolError
from blockgw.nbd.extended import ExtendedDialect
from blockgw.nbd.protocol import Request
from blockgw.nbd.simple import SimpleDialect
from blockgw.nbd.structured import StructuredDialect
from tests.unit.blockgw.nbd import client
from tests.unit.blockgw.nbd.client import Answer, Whole

DIALECTS: list[Dialect] = [SimpleDialect(), StructuredDialect(), ExtendedDialect()]
RICH = DIALECTS[1:]
COOKIE = 0x0123456789ABCDEF
by_name = pytest.mark.parametrize("dialect", DIALECTS, ids=["simple", "structured", "extended"])
by_rich_name = pytest.mark.parametrize("dialect", RICH, ids=["structured", "extended"])


def request(command: int = client.READ, offset: int = 0, length: int = 0, flags: int = 0) -> Request:
    return Request(0, flags, command, COOKIE, offset, length)


def read(buffers: list[bytes | bytearray | memoryview] | list[bytes], read_length: int = 0) -> Answer:
    """Return what a client makes of `buffers`, all of which it has to use."""
    reader = Whole(b"".join(buffers))
    answer = reader.answer_now(read_length)
    assert not reader.left
    return answer


@by_name
def test_a_request_is_what_the_client_packed(dialect: Dialect) -> None:
    extended = dialect is DIALECTS[2]
    length = 1 << 40 if extended else (1 << 32) - 1
    packed = client.request(client.WRITE, 1 << 50, length, client.FUA, COOKIE, extended)
    decoded = dialect.decode_request(b"tail before" + packed + b"tail", 11)
    assert decoded[1:] == (client.FUA, client.WRITE, COOKIE, 1 << 50, length)
    assert dialect.request_size == len(packed)


def test_a_stored_request_is_read_as_it_was() -> None:
    """doc/proto.md, "Request message": magic, flags, command, cookie, offset, length."""
    packed = bytes.fromhex("25609513 0001 0001 0000000000000007 0000000000001000 00000200")
    assert SimpleDialect().decode_request(packed, 0) == Request(0x25609513, 1, 1, 7, 4096, 512)


@by_name
@given(data=st.binary(min_size=32, max_size=64))
def test_bytes_that_start_no_request_are_a_protocol_error(dialect: Dialect, data: bytes) -> None:
    magic = int.from_bytes(data[:4], "big")
    if magic == (0x21E41C71 if dialect is DIALECTS[2] else 0x25609513):
        assert dialect.decode_request(data, 0).magic == magic
    else:
        with pytest.raises(ProtocolError, match="magic"):
            dialect.decode_request(data, 0)


@by_name
def test_what_was_done_is_answered_with_the_cookie_and_no_error(dialect: Dialect) -> None:
    assert read([dialect.done(request())]) == Answer(COOKIE)


@by_name
@pytest.mark.parametrize("error", list(Errno))
def test_an_error_is_told(dialect: Dialect, error: Errno) -> None:
    answer = read([dialect.failed(request(), error, "too bad ☹")])
    assert (answer.cookie, answer.error) == (COOKIE, error)
    assert answer.text in ("", "too bad ☹")


@by_rich_name
def test_a_long_reason_is_cut_between_characters(dialect: Dialect) -> None:
    """doc/proto.md: strings have at most 4096 bytes."""
    answer = read([dialect.failed(request(), Errno.EIO, "x" + "☹" * 5000)])
    assert answer.text == "x" + "☹" * 1365


pieces_of_a_read = st.lists(
    st.one_of(st.binary(max_size=40), st.binary(max_size=40).map(memoryview), st.integers(0, 100)), max_size=8
)


@by_name
@given(pieces=pieces_of_a_read, flags=st.sampled_from((0, client.DF)))
def test_a_client_reads_the_bytes_that_pieces_stand_for(dialect: Dialect, pieces: Pieces, flags: int) -> None:
    expected = b"".join(bytes(piece) for piece in pieces)
    asked = request(client.READ, 1000, len(expected), flags if dialect in RICH else 0)
    answer = read(dialect.data(asked, pieces), len(expected))
    assert answer.error == 0
    assert answer.data == expected
    if dialect in RICH and expected:
        position = 1000
        for offset, length, _data in answer.parts:
            assert offset == position
            position += length
        if flags:
            assert len(answer.parts) == 1


@by_rich_name
def test_holes_are_told_and_neighbours_put_together(dialect: Dialect) -> None:
    answer = read(dialect.data(request(client.READ, 50, 25), [b"abc", b"", b"de", 5, 0, 5, b"fghij", 5]))
    assert answer.parts == [(50, 5, b"abcde"), (55, 10, None), (65, 5, b"fghij"), (70, 5, None)]


@by_rich_name
def test_a_hole_is_sent_as_zeros_to_who_wants_one_chunk(dialect: Dialect) -> None:
    """doc/proto.md, NBD_CMD_FLAG_DF."""
    answer = read(dialect.data(request(client.READ, 0, 3 << 20, client.DF), [3 << 20]))
    assert answer.parts == [(0, 3 << 20, bytes(3 << 20))]


@by_rich_name
@given(st.lists(st.tuples(st.integers(1, (1 << 32) - 1), st.integers(0, 3)), min_size=1, max_size=20))
def test_a_client_reads_the_extents_of_all_contexts(dialect: Dialect, extents: list[tuple[int, int]]) -> None:
    answer = read(dialect.block_status(request(client.BLOCK_STATUS), [(0, extents), (5, extents[:1])]))
    assert answer.statuses == {0: extents, 5: extents[:1]}


def test_extents_beyond_32_bits_need_extended_headers() -> None:
    extents = [(1 << 40, 1 << 33)]
    asked = request(client.BLOCK_STATUS)
    assert read(ExtendedDialect().block_status(asked, [(1, extents)])).statuses == {1: extents}
    with pytest.raises(struct.error):
        StructuredDialect().block_status(asked, [(1, extents)])
