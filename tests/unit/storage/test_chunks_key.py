"""storage.chunks.key."""

from ring.hashing import NameHash
from storage.chunks.key import chunk_key


def test_a_chunk_lies_by_its_family_and_number_whatever_the_layer() -> None:
    names = NameHash(b"prefix", b"suffix")
    keys = {chunk_key(names, bytes([family]) * 16, number) for family in range(3) for number in range(100)}
    assert len(keys) == 300
    assert chunk_key(names, bytes(16), 5) == names.key(".chunks", "00" * 16, "00000005")
