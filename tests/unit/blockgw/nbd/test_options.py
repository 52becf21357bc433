"""blockgw/nbd/options.py: data of options, whole, cut, and with a tail."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockgw.nbd.errors import ProtocolError
from blockgw.nbd.options import (
    ContextRequest,
    ExportRequest,
    HandshakeFlag,
    Malformed,
    decode_client_flags,
    decode_context_request,
    decode_export_request,
    decode_name,
    decode_option_header,
)
from tests.unit.blockgw.nbd import client

names = st.text(max_size=50).filter(lambda name: "\0" not in name)
DECODERS: list[Callable[[bytes], object]] = [decode_name, decode_export_request, decode_context_request]


@given(names, st.lists(st.integers(0, 65535), max_size=5))
def test_what_info_and_go_ask_for(name: str, infos: list[int]) -> None:
    data = client.go_data(name, tuple(infos))
    assert decode_export_request(data) == ExportRequest(name, frozenset(infos))
    assert_only_whole(decode_export_request, data)


@given(names, st.lists(names, max_size=5))
def test_which_contexts_are_asked_for(name: str, queries: list[str]) -> None:
    data = client.contexts_data(name, *queries)
    assert decode_context_request(data) == ContextRequest(name, tuple(queries))
    assert_only_whole(decode_context_request, data)


def assert_only_whole(decode: Callable[[bytes], object], data: bytes) -> None:
    for wrong in (*(data[:size] for size in range(len(data))), data + b"\0"):
        with pytest.raises(Malformed):
            decode(wrong)


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.binary(max_size=100))
def test_no_data_raise_anything_else(decode: Callable[[bytes], object], data: bytes) -> None:
    """And what is decoded is so as it is, not with a tail."""
    with suppress(Malformed):
        decode(data)
        with pytest.raises(Malformed):
            decode(data + b"\0")


@pytest.mark.parametrize("name", [b"\xff", b"a\0b", b"x" * 4097])
def test_a_name_is_short_utf_8(name: bytes) -> None:
    """doc/proto.md, "Values": strings are UTF-8, at most 4096 bytes, without a zero byte."""
    with pytest.raises(Malformed):
        decode_name(name)


def test_a_count_of_queries_that_lies_costs_nothing() -> None:
    with pytest.raises(Malformed):
        decode_context_request(client.string("x") + b"\xff\xff\xff\xff")


def test_flags_that_are_not_known_end_the_connection() -> None:
    """doc/proto.md, "Client flags": the server drops the connection."""
    assert decode_client_flags(bytes(4)) == HandshakeFlag(0)
    assert decode_client_flags(b"\0\0\0\3") == HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES
    for wrong in (b"\0\0\0\4", b"\x80\0\0\1"):
        with pytest.raises(ProtocolError):
            decode_client_flags(wrong)


@given(st.binary(min_size=16, max_size=16))
def test_bytes_that_start_no_option_end_the_connection(data: bytes) -> None:
    if data[:8] != b"IHAVEOPT":
        with pytest.raises(ProtocolError):
            decode_option_header(data)
    assert decode_option_header(b"IHAVEOPT" + data[:8]) == (
        int.from_bytes(data[:4], "big"),
        int.from_bytes(data[4:8], "big"),
    )
