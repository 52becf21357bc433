"""ring.envelope. docs/ring-file.md, "The container"."""

import zlib
from array import array
from hashlib import sha256
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ring import envelope
from ring.errors import DamagedFile, RingError, UnknownFormat

MAGIC = b"\x89TESTED\n"
ARRAYS = (memoryview(array("H", range(0, 4000, 7))), memoryview(array("I", [0, 1 << 31, 7])), memoryview(array("H")))
DATA = envelope.seal(MAGIC, {"name": "value"}, ARRAYS)
BOMB = zlib.compress(bytes(1 << 24), 9)


def file_of(header: bytes, body: bytes = b"", format_version: int = 2) -> bytes:
    """Return a file with a checksum that matches, whatever it holds."""
    data = MAGIC + format_version.to_bytes(2, "little") + bytes(2) + len(header).to_bytes(4, "little") + header + body
    return data + sha256(data).digest()


def packed(**header: object) -> bytes:
    return zlib.compress(msgpack.packb(header))


def test_header_and_arrays_survive_a_round_trip() -> None:
    contents = envelope.open_sealed(MAGIC, DATA)
    assert contents.format_version == envelope.FORMAT_VERSION
    assert contents.header["name"] == "value"
    assert [each.tolist() for each in contents.arrays] == [each.tolist() for each in ARRAYS]
    assert [each.format for each in contents.arrays] == ["H", "I", "H"]
    assert all(each.readonly for each in contents.arrays)


@settings(deadline=None)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_damage_anywhere_is_noticed(offset: int, change: int) -> None:
    damaged = bytearray(DATA)
    damaged[offset] ^= change
    with pytest.raises(RingError):
        envelope.open_sealed(MAGIC, bytes(damaged))


@pytest.mark.parametrize("length", range(0, len(DATA), 7))
def test_a_file_cut_short_is_noticed(length: int) -> None:
    with pytest.raises(RingError):
        envelope.open_sealed(MAGIC, DATA[:length])


def test_a_tail_is_noticed() -> None:
    with pytest.raises(DamagedFile, match="checksum"):
        envelope.open_sealed(MAGIC, DATA + b"x")


def test_a_foreign_file_is_told_from_a_damaged_one() -> None:
    with pytest.raises(UnknownFormat, match="does not begin with"):
        envelope.open_sealed(MAGIC, b"R1NG" + bytes(1000))


def test_a_newer_format_is_told_as_such() -> None:
    with pytest.raises(UnknownFormat, match="its format is 3, and this release knows 2 and older ones"):
        envelope.open_sealed(MAGIC, file_of(packed(arrays=[]), format_version=3))


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"", b""),
        (b"no zlib", b""),
        (zlib.compress(b"\xc1"), b""),  # no msgpack
        (zlib.compress(msgpack.packb([1])), b""),  # no map
        (zlib.compress(b"\x91" * 100_000), b""),  # lists in lists
        (packed(), b""),
        (packed(arrays=7), b""),
        (packed(arrays=[["Q", 0]]), b""),
        (packed(arrays=[["H", 4, 8]]), b""),  # one plane of two
        (packed(arrays=[["H", -1, 8, 8]]), b""),
        (packed(arrays=[["H", 1, -8, 8]]), b""),
        (packed(arrays=[["H", "1", 8, 8]]), b""),
        (packed(arrays=[["H", 4, 1 << 40, 8]]), b""),  # ends outside the file
        (packed(arrays=[["H", 4, 9, 9]]), zlib.compress(b"a") * 2),  # holds less than it says
        (packed(arrays=[["H", 4, len(BOMB), len(BOMB)]]), BOMB * 2),  # holds more
        (packed(arrays=[]), b"tail"),
    ],
)
def test_a_header_that_makes_no_sense_is_damage(header: bytes, body: bytes) -> None:
    with pytest.raises(DamagedFile):
        envelope.open_sealed(MAGIC, file_of(header, body))


def test_more_items_than_any_ring_has_are_refused_before_they_are_made() -> None:
    plane = zlib.compress(b"")
    sizes = [["H", 1 << 40, len(plane), len(plane)]]
    with pytest.raises(DamagedFile, match="a size that none can have"):
        envelope.open_sealed(MAGIC, file_of(packed(arrays=sizes), plane * 2))


def test_a_header_that_unpacks_to_gigabytes_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "_HEADER_LIMIT", 1 << 16)
    with pytest.raises(DamagedFile, match="larger, or shorter, than it says"):
        envelope.open_sealed(MAGIC, file_of(BOMB))


class TestFormat1:
    """Arrays lay uncompressed, at multiples of 8 bytes."""

    def file_of(self, sizes: list[Any], body: bytes = b"") -> bytes:
        header = msgpack.packb({"arrays": sizes})
        padding = bytes(-(16 + len(header)) % 8) if body else b""
        return file_of(header, padding + body, format_version=1)

    def test_it_is_still_read(self) -> None:
        data = self.file_of([["H", 3], ["I", 1]], bytes([1, 0, 2, 0, 0, 1, 0, 0, 5, 0, 0, 128]))
        assert [each.tolist() for each in envelope.open_sealed(MAGIC, data).arrays] == [[1, 2, 256], [(1 << 31) + 5]]

    @pytest.mark.parametrize("sizes", [[["H", 1 << 40]], [["H", -1]], [["H"]], [["Q", 0]], [[]], None])
    def test_arrays_that_end_outside_the_file_are_damage(self, sizes: list[Any]) -> None:
        with pytest.raises(DamagedFile):
            envelope.open_sealed(MAGIC, self.file_of(sizes))
