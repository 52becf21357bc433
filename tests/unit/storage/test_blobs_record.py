"""storage.blobs.record, blocks, digest, and a stored sample of the formats."""

import asyncio
import shutil
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cluster.clock import Timestamp, pack
from storage.blobs import digest, record
from storage.blobs.blocks import BLOCK_SIZE, BlockSummer, checksums_size, first_mismatch
from storage.log.checksum import crc32c
from storage.log.device import DeviceLog
from storage.log.interface import START

SAMPLE = Path(__file__).parent / "samples" / "version-1.segment"

keys = st.binary(min_size=16, max_size=16)


@given(keys, keys.map(Timestamp), st.integers(0, 3), st.integers(0, 2**64 - 1), st.binary(max_size=50))
def test_identities_read_back(
    key: bytes, timestamp: Timestamp, flags: int, size: int, metadata: bytes
) -> None:
    data_id = key[::-1]
    for type_, encoded in (
        (record.Type.DATA, record.encode_data(key, timestamp, flags, size, metadata)),
        (record.Type.FILE, record.encode_file(key, timestamp, flags, size, data_id, metadata)),
        (record.Type.TOMBSTONE, record.encode_tombstone(key, timestamp, flags, metadata)),
    ):
        expected_size = 0 if type_ == record.Type.TOMBSTONE else size
        assert record.decode_identity(encoded) == (type_, flags, 0, key, timestamp, expected_size)
        assert record.timestamp_of(encoded) == timestamp
        assert record.object_metadata_of(encoded) == metadata
    assert record.data_id_of(record.encode_file(key, timestamp, flags, size, data_id, metadata)) == data_id


@given(st.lists(st.tuples(keys, keys.map(Timestamp)), max_size=10))
def test_versions_that_are_named_read_back(versions: list[tuple[bytes, Timestamp]]) -> None:
    for type_ in (record.Type.CONFIRM, record.Type.FORGET):
        assert list(record.decode_naming(record.encode_naming(type_, versions))) == versions


def test_a_stored_segment_is_still_read(tmp_path: Path) -> None:
    """docs/log-format.md, docs/blob-format.md."""
    (tmp_path / "id").write_bytes(b"sample-log-id-16")
    shutil.copy(SAMPLE, tmp_path / "00000001.segment")

    async def read() -> list[tuple[int, int, int, bytes, bytes]]:
        log = DeviceLog(str(tmp_path))
        found = [
            (item.kind, item.flags, item.sequence, item.metadata, bytes(item.payload))
            for item in log.scan(START, payloads=True)
        ]
        assert log.damages == []
        await log.close()
        return found

    times = [pack(1_700_000_000_000_000 + n, n, 7) for n in range(3)]
    names = [bytes([n]) * 16 for n in range(3)]
    table = bytes(range(1, 9))
    assert asyncio.run(read()) == [
        (1, 0, 0, record.encode_data(names[0], times[0], 0, 4, b"meta"), b"data"),
        (1, 0, 1, record.encode_file(names[1], times[1], 1, 100000, b"d" * 16, b"meta of a file"), table),
        (1, record.LISTED, 2, record.encode_tombstone(names[2], times[2], 2, b"row"), b""),
        (1, 0, 3, record.encode_naming(record.Type.CONFIRM, zip(names[:2], times[:2], strict=True)), b""),
        (2, 0, 4, b"an index record", b"rows"),
    ]


@given(st.integers(0, 3 * BLOCK_SIZE), st.lists(st.integers(1, 100_000), max_size=5))
def test_block_checksums_do_not_depend_on_the_pieces(size: int, cuts: list[int]) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    summer = BlockSummer()
    start = 0
    for cut in [*cuts, size]:
        summer.add(data[start : start + cut])
        start += cut
    plain = [crc32c(data[at : at + BLOCK_SIZE]) for at in range(0, size, BLOCK_SIZE)]
    assert summer.packed() == b"".join(checksum.to_bytes(4, "little") for checksum in plain)
    assert len(summer.packed()) == checksums_size(size)
    assert first_mismatch(memoryview(data), 0, summer.packed()) is None


def test_the_first_block_that_differs_is_named() -> None:
    data = bytearray(3 * BLOCK_SIZE + 5)
    summer = BlockSummer()
    summer.add(data)
    data[2 * BLOCK_SIZE + 7] = 1
    data[-1] = 1
    assert first_mismatch(memoryview(data), 0, summer.packed()) == 2
    assert first_mismatch(memoryview(data)[3 * BLOCK_SIZE :], 3, summer.packed()) == 3
    assert first_mismatch(memoryview(data)[BLOCK_SIZE : 2 * BLOCK_SIZE], 1, summer.packed()) is None


@given(st.lists(st.tuples(keys, keys), max_size=20), st.randoms(use_true_random=False))
def test_digests_do_not_depend_on_the_order(versions: list[tuple[bytes, bytes]], random: object) -> None:
    forth = sum(digest.hash_of(*version) for version in versions)
    random.shuffle(versions)  # type: ignore[attr-defined]
    back = sum(digest.hash_of(*version) for version in versions)
    assert digest.encode(forth) == digest.encode(back)
    taken = forth - sum(digest.hash_of(*version) for version in versions)
    assert digest.encode(taken) == bytes(digest.DIGEST_SIZE)


def test_digests_of_parts_make_the_digest_of_the_whole() -> None:
    whole = digest.hash_of(b"a", b"1") + digest.hash_of(b"b", b"2")
    parts = [digest.encode(digest.hash_of(b"a", b"1")), digest.encode(digest.hash_of(b"b", b"2"))]
    assert digest.combined(parts) == digest.encode(whole)
