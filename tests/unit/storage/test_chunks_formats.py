"""storage.chunks.record, .checkpoint, .files: what is on disk, and what readers make of damage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.chunks import checkpoint, record
from storage.chunks.checkpoint import Checkpoint, CheckpointDamaged
from storage.chunks.files import chunk_of, decode_attribute, encode_attribute, name_of
from storage.chunks.record import ChunkRecord, Type
from storage.log.interface import Position

u32, u64 = st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1)
families = st.binary(min_size=16, max_size=16)
versions = st.tuples(u64, u64)
extents = st.lists(st.tuples(u32, u32), max_size=5).map(tuple)

RECORD = ChunkRecord(Type.WRITE, bytes(range(16)), 7, 3, (2, 9), (2, 8), 1, (1, 4), ((4096, 512), (0, 16)))
SAMPLE = bytes.fromhex(
    "01000200000102030405060708090a0b0c0d0e0f070000000300000000000000"
    "0200000000000000090000000000000002000000000000000800000000000000"
    "0100000000000000010000000000000004000000000000000010000000020000"
    "0000000010000000"
)
CHECKPOINT = Checkpoint(bytes(range(16)), Position(0x500000040), {(bytes(16), 2): 7})
CHECKPOINT_SAMPLE = bytes.fromhex(
    "484643484b505431e31d179e01000000000102030405060708090a0b0c0d0e0f"
    "40000000050000000000000000000000000000000000000002000000000000000700000000000000"
)


def test_the_record_of_the_documentation_is_read_and_written() -> None:
    assert record.encode(RECORD) == SAMPLE
    assert record.decode(SAMPLE) == RECORD


@given(st.builds(ChunkRecord, st.sampled_from(Type), families, u32, u64, versions, versions, u64, versions, extents))
def test_any_record_comes_back(written: ChunkRecord) -> None:
    assert record.decode(record.encode(written)) == written


@given(st.binary(max_size=150))
def test_bytes_that_are_no_record_are_told(data: bytes) -> None:
    try:
        found = record.decode(data)
    except ValueError:
        return
    assert record.encode(found)[:1] == data[:1]


def test_a_record_that_is_cut_off_or_unknown_is_told() -> None:
    cut_off = [SAMPLE[:length] for length in range(len(SAMPLE))]
    for damaged in (*cut_off, SAMPLE + b"x", b"\x00" + SAMPLE[1:], b"\x09" + SAMPLE[1:]):
        with pytest.raises(ValueError, match=r"cut off|a record of type"):
            record.decode(damaged)


def test_the_checkpoint_of_the_documentation_is_read_and_written() -> None:
    assert checkpoint.encode(CHECKPOINT) == CHECKPOINT_SAMPLE
    assert checkpoint.decode(CHECKPOINT_SAMPLE) == CHECKPOINT


@given(families, u64, st.dictionaries(st.tuples(families, u64), u64, max_size=5))
def test_any_checkpoint_comes_back(log_id: bytes, position: int, fences: dict[tuple[bytes, int], int]) -> None:
    written = Checkpoint(log_id, Position(position), fences)
    assert checkpoint.decode(checkpoint.encode(written)) == written


def test_no_bit_of_a_checkpoint_can_change_unnoticed() -> None:
    for bit in range(8 * len(CHECKPOINT_SAMPLE)):
        damaged = bytearray(CHECKPOINT_SAMPLE)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CheckpointDamaged):
            checkpoint.decode(bytes(damaged))
    for length in range(len(CHECKPOINT_SAMPLE)):
        with pytest.raises(CheckpointDamaged):
            checkpoint.decode(CHECKPOINT_SAMPLE[:length])


def test_a_file_claims_a_version_only_for_its_own_chunk_and_undamaged() -> None:
    family = bytes(range(16))
    attribute = encode_attribute(family, 7, 3, (2, 9))
    assert decode_attribute(attribute, family, 7, 3) == (2, 9)
    for place in ((bytes(16), 7, 3), (family, 8, 3), (family, 7, 4)):
        assert decode_attribute(attribute, *place) is None
    assert decode_attribute(None, family, 7, 3) is None
    for bit in range(8 * len(attribute)):
        damaged = bytearray(attribute)
        damaged[bit // 8] ^= 1 << bit % 8
        assert decode_attribute(bytes(damaged), family, 7, 3) is None
    assert decode_attribute(attribute[:-1], family, 7, 3) is None


@given(u32, u64)
def test_a_chunk_is_found_by_the_name_of_its_file(number: int, layer: int) -> None:
    assert chunk_of(name_of(number, layer)) == (number, layer)


@given(st.text(max_size=30))
def test_other_names_are_of_no_chunk(name: str) -> None:
    found = chunk_of(name)
    assert found is None or name_of(*found) == name
