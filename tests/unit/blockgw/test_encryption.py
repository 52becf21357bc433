"""blockgw.encryption: keys, sectors, and what shows."""

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from blockgw.encryption import KEY_BYTES, SECTOR, SectorCipher, WrongKey, new_key, sector_cipher

CLUSTER_KEY = b"k" * 32
CIPHER = SectorCipher(bytes(range(KEY_BYTES)))
numbers = st.integers(0, 1 << 38)


def joined(pieces: list[object]) -> bytes:
    return b"".join(bytes(piece) for piece in pieces)  # type: ignore[call-overload]


@given(numbers, st.lists(st.binary(min_size=1, max_size=8), min_size=1, max_size=4))
def test_what_was_written_is_read(number: int, seeds: list[bytes]) -> None:
    data = b"".join((seed * SECTOR)[:SECTOR] for seed in seeds)
    written = CIPHER.encrypted(number * SECTOR, memoryview(data))
    assert len(written) == len(data)
    assert joined(CIPHER.decrypted(number * SECTOR, [written])) == data


@given(numbers)
def test_each_sector_is_aes_xts_with_its_number(number: int) -> None:
    data = b"x" * SECTOR
    xts = Cipher(algorithms.AES(bytes(range(KEY_BYTES))), modes.XTS(number.to_bytes(16, "little"))).encryptor()
    assert bytes(CIPHER.encrypted(number * SECTOR, memoryview(data))) == xts.update(data)


def test_equal_sectors_look_different() -> None:
    written = bytes(CIPHER.encrypted(0, memoryview(b"same" * SECTOR)))
    sectors = {written[start : start + SECTOR] for start in range(0, len(written), SECTOR)}
    assert len(sectors) == len(written) // SECTOR
    assert b"same" not in written


def test_a_part_can_be_read_of_what_was_written_at_once() -> None:
    data = bytes(range(256)) * (4 * SECTOR // 256)
    written = CIPHER.encrypted(8 * SECTOR, memoryview(data))
    part = CIPHER.decrypted(10 * SECTOR, [written[2 * SECTOR : 3 * SECTOR]])
    assert joined(part) == data[2 * SECTOR : 3 * SECTOR]


def test_holes_and_sectors_that_were_given_back_read_as_zeros() -> None:
    written = CIPHER.encrypted(3 * SECTOR, memoryview(b"z" * SECTOR))
    found = CIPHER.decrypted(0, [SECTOR, bytes(2 * SECTOR) + bytes(written), 5 * SECTOR])
    assert found[0] == SECTOR
    assert found[1] == bytes(2 * SECTOR) + b"z" * SECTOR
    assert found[2] == 5 * SECTOR


def test_zeros_that_are_written_do_not_show() -> None:
    assert any(CIPHER.encrypted(0, memoryview(bytes(SECTOR))))


def test_keys_are_wrapped_and_never_the_same() -> None:
    first, second = new_key(CLUSTER_KEY), new_key(CLUSTER_KEY)
    assert first != second
    data = memoryview(b"d" * SECTOR)
    again = sector_cipher(first, CLUSTER_KEY).encrypted(0, data)
    assert sector_cipher(first, CLUSTER_KEY).encrypted(0, data) == again
    assert sector_cipher(second, CLUSTER_KEY).encrypted(0, data) != again


@pytest.mark.parametrize("wrapped", ["", "00", "zz", "00" * 80])
def test_what_is_no_key_of_this_cluster_is_refused(wrapped: str) -> None:
    with pytest.raises(WrongKey, match="cluster's key"):
        sector_cipher(wrapped, CLUSTER_KEY)
    with pytest.raises(WrongKey):
        sector_cipher(new_key(CLUSTER_KEY), b"another" * 5)


def test_a_cipher_does_not_tell_its_key() -> None:
    assert bytes(range(KEY_BYTES)).hex() not in repr(CIPHER)
    assert "0, 1" not in repr(CIPHER)
