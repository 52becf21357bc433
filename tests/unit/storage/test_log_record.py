"""storage.log.record and storage.log.segment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.log import record, segment
from storage.log.interface import Position, offset_of, position_of, segment_of

SALT = 0x1234


def encoded(metadata: bytes, payload: bytes, sequence: int = 7, batch_offset: int = 64) -> bytes:
    head = record.encode_head(1, 2, metadata, payload, batch_offset, sequence, SALT)
    return head + payload + record.padding(len(metadata) + len(payload))


@given(st.binary(max_size=200), st.binary(max_size=200), st.integers(0, 2**64 - 1))
def test_a_record_reads_back_as_it_was_written(metadata: bytes, payload: bytes, sequence: int) -> None:
    data = encoded(metadata, payload, sequence)
    assert len(data) == record.size_of(len(metadata), len(payload))
    assert len(data) % record.ALIGNMENT == 0
    header = record.decode_header(data)
    assert header is not None
    assert (header.kind, header.flags, header.batch_offset, header.sequence) == (1, 2, 64, sequence)
    view = memoryview(data)
    assert record.head_matches(header, view, SALT)
    start = record.HEADER_SIZE + len(metadata)
    assert record.payload_matches(header, view[start : start + len(payload)])


@given(st.binary(min_size=1, max_size=50), st.binary(min_size=1, max_size=50), st.data())
def test_no_single_flipped_bit_passes(metadata: bytes, payload: bytes, data: st.DataObject) -> None:
    whole = bytearray(encoded(metadata, payload))
    covered = record.HEADER_SIZE + len(metadata) + len(payload)
    bit = data.draw(st.integers(0, covered * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    header = record.decode_header(whole)
    if header is None:
        return
    start = record.HEADER_SIZE + len(metadata)
    view = memoryview(whole)
    assert not (
        record.head_matches(header, view, SALT)
        and record.payload_matches(header, view[start : start + len(payload)])
    )


def test_a_record_of_another_segment_does_not_match() -> None:
    data = encoded(b"m", b"p")
    header = record.decode_header(data)
    assert header is not None
    assert not record.head_matches(header, memoryview(data), SALT + 1)


@pytest.mark.parametrize("data", [bytes(40), b"\xff" * 40])
def test_what_is_no_header_is_not_decoded(data: bytes) -> None:
    assert record.decode_header(data) is None


def test_a_segment_header_reads_back_as_it_was_written() -> None:
    header = segment.SegmentHeader(b"l" * 16, 5, position_of(4, 999), 77)
    assert segment.decode_header(segment.encode_header(header)) == header


def test_no_flipped_bit_in_a_segment_header_passes() -> None:
    good = segment.encode_header(segment.SegmentHeader(b"l" * 16, 5, Position(1), 77))
    for bit in range((segment.HEADER_SIZE - 4) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        assert segment.decode_header(bad) is None, bit


def test_a_short_segment_header_is_none() -> None:
    good = segment.encode_header(segment.SegmentHeader(b"l" * 16, 5, Position(1), 77))
    assert all(segment.decode_header(good[:length]) is None for length in range(segment.HEADER_SIZE))


def test_only_the_names_that_we_give_are_segments() -> None:
    assert segment.segment_of_name(segment.file_name(0xABC)) == 0xABC
    for name in ("id", "abc.segment", "00000ABC.segment", "0000000g.segment", "00000abc.segment.new"):
        assert segment.segment_of_name(name) is None


def test_positions_are_ordered_as_the_log_is() -> None:
    assert position_of(1, 2**32 - 1) < position_of(2, 0)
    assert segment_of(position_of(3, 17)) == 3
    assert offset_of(position_of(3, 17)) == 17
