"""Pieces as objects."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockgw.backup import piece
from blockgw.backup.cipher import Cipher, Plain, Sealed

MASTER = bytes(range(32))
CIPHERS: list[Cipher] = [Plain(), Sealed(MASTER)]


@pytest.mark.parametrize("cipher", CIPHERS, ids=["plain", "sealed"])
@given(content=st.binary(min_size=1, max_size=5000))
@settings(max_examples=50)
def test_a_piece_comes_back(cipher: Cipher, content: bytes) -> None:
    piece_id = cipher.piece_id(content)
    assert piece.decode(piece_id, piece.encode(piece_id, content, cipher), cipher) == content


@pytest.mark.parametrize("cipher", CIPHERS, ids=["plain", "sealed"])
def test_what_compresses_is_stored_compressed_and_what_does_not_as_it_is(cipher: Cipher) -> None:
    text, noise = b"all the same " * 1000, os.urandom(13_000)
    assert len(piece.encode(cipher.piece_id(text), text, cipher)) < 200
    assert len(piece.encode(cipher.piece_id(noise), noise, cipher)) <= len(noise) + 12 + 28


@pytest.mark.parametrize("cipher", CIPHERS, ids=["plain", "sealed"])
@pytest.mark.parametrize("content", [b"words and words and words " * 20, os.urandom(300)], ids=["text", "noise"])
def test_a_changed_byte_anywhere_never_gives_another_content(cipher: Cipher, content: bytes) -> None:
    piece_id = cipher.piece_id(content)
    data = piece.encode(piece_id, content, cipher)
    harmless = 0  # bits of which Zstandard, or we, make no use
    for at in range(len(data)):
        spoiled = data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :]
        try:
            assert piece.decode(piece_id, spoiled, cipher) == content
        except ValueError:
            continue
        harmless += 1
    assert harmless <= (3 if isinstance(cipher, Plain) else 0)


@pytest.mark.parametrize("cipher", CIPHERS, ids=["plain", "sealed"])
def test_a_piece_that_is_cut_or_has_a_tail_is_noticed(cipher: Cipher) -> None:
    content = os.urandom(100) + bytes(300)
    piece_id = cipher.piece_id(content)
    data = piece.encode(piece_id, content, cipher)
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r".+"):
            piece.decode(piece_id, data[:length], cipher)
    with pytest.raises(ValueError, match=r".+"):
        piece.decode(piece_id, data + b"\0", cipher)


@pytest.mark.parametrize("cipher", CIPHERS, ids=["plain", "sealed"])
def test_one_piece_under_the_name_of_another_is_noticed(cipher: Cipher) -> None:
    one, other = b"one" * 99, b"other" * 99
    data = piece.encode(cipher.piece_id(one), one, cipher)
    with pytest.raises(ValueError, match=r".+"):
        piece.decode(cipher.piece_id(other), data, cipher)


def test_without_the_key_neither_name_nor_object_say_what_is_in_them() -> None:
    content = b"a secret that somebody might guess " * 10
    sealed, other = Sealed(MASTER), Sealed(bytes(32))
    piece_id = sealed.piece_id(content)
    assert piece_id not in (Plain().piece_id(content), other.piece_id(content))
    data = piece.encode(piece_id, content, sealed)
    assert b"secret" not in data
    assert data != piece.encode(piece_id, content, sealed), "the nonce is another one each time"
    with pytest.raises(ValueError, match="not sealed with this key"):
        piece.decode(piece_id, data, other)


def test_an_object_that_would_unpack_to_more_than_it_says_is_not_unpacked() -> None:
    plain, bomb = Plain(), bytes(10 << 20)
    data = bytearray(piece.encode(plain.piece_id(bomb), bomb, plain))
    data[8:12] = (100).to_bytes(4, "little")
    with pytest.raises(ValueError, match="does not decompress"):
        piece.decode(plain.piece_id(bomb), bytes(data), plain)


def test_a_newer_format_is_said_to_be_one() -> None:
    plain = Plain()
    data = bytearray(piece.encode(plain.piece_id(b"x"), b"x", plain))
    data[4] = 2
    with pytest.raises(ValueError, match="its format is 2"):
        piece.decode(plain.piece_id(b"x"), bytes(data), plain)


def test_the_sample_of_the_documentation_is_a_piece() -> None:
    """docs/backup-format.md, "Pieces"."""
    data = bytes.fromhex("48464250 01000000 05000000 68656c6c6f")
    piece_id = bytes.fromhex("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
    assert piece.decode(piece_id, data, Plain()) == b"hello"
    assert piece.encode(piece_id, b"hello", Plain()) == data
