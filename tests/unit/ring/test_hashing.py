"""ring.hashing"""

import hashlib

import pytest

from ring.hashing import KEY_SIZE, NameHash, partition_of


def test_keys_are_those_of_swift() -> None:
    """OpenStack Swift, test/unit/common/test_utils.py, hash_path with suffix "endcap"."""
    names = NameHash(b"", b"endcap")
    assert names.key("a").hex() == "1c84525acb02107ea475dcd3d09c2c58"
    assert names.key("a", "c").hex() == "33379ecb053aa5c9e356c68997cbb59e"
    assert names.key("a", "c", "o").hex() == "06fbf0b514e5199dfc4e00f42eb5ea83"


def test_the_prefix_counts_as_in_swift() -> None:
    """OpenStack Swift: md5(prefix + "/a/c/o" + suffix)."""
    expected = hashlib.md5(b"abcdef/a/c/oendcap").digest()
    assert NameHash(b"abcdef", b"endcap").key("a", "c", "o") == expected
    assert len(expected) == KEY_SIZE


def test_names_are_hashed_as_utf8() -> None:
    assert NameHash(b"", b"").key("a", "ü") == hashlib.md5("/a/ü".encode()).digest()


def test_an_object_without_a_container_is_our_mistake() -> None:
    with pytest.raises(AssertionError):
        NameHash(b"", b"s").key("a", "", "o")


def test_the_secrets_do_not_show() -> None:
    assert "endcap" not in repr(NameHash(b"", b"endcap"))


@pytest.mark.parametrize(("part_power", "partition"), [(1, 1), (8, 0x8F), (16, 0x8F01), (32, 0x8F01_0203)])
def test_a_partition_is_the_first_bits_of_the_key(part_power: int, partition: int) -> None:
    assert partition_of(bytes.fromhex("8f010203") + bytes(12), part_power) == partition
