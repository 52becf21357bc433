"""Encryption of volumes: AES-256 in XTS mode, as LUKS and others use it for disks (IEEE 1619-2018).

Every sector of SECTOR bytes is encrypted by itself, with its number as the tweak, so it is written in place and read
alone. A sector that devices have as zeros was never written, or was given back, and reads as zeros: they see which
sectors are so, and which are written again, and nothing else. There is no sum over a sector: whoever can write to a
disk can spoil what is on it, and not choose what is read then.

A volume's key is random. It is in the catalog, wrapped under the cluster's key (RFC 5649), so disks that leave the
house tell nothing without the cluster's configuration. What shares layers shares the key: clones have their parent's.
"""

import secrets
from collections.abc import Awaitable, Iterable, Iterator

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

from blockgw.catalog.volume import ENCRYPTED_SECTOR
from blockgw.errors import VolumeError
from blockgw.interfaces import Buffer, Pieces

SECTOR = ENCRYPTED_SECTOR  # bytes; requests of encrypted volumes are of whole ones
KEY_BYTES = 64  # of two AES-256 keys
_PURPOSE = b"holdfast volume keys"
_ZEROS = bytes(SECTOR)


class WrongKey(VolumeError):
    """A volume's key was wrapped under another key than this cluster has now."""


def new_key(cluster_key: bytes) -> str:
    """Return a new volume's key, wrapped, in hex."""
    return aes_key_wrap_with_padding(_wrapping_key(cluster_key), secrets.token_bytes(KEY_BYTES)).hex()


def sector_cipher(wrapped: str, cluster_key: bytes) -> "SectorCipher":
    """Return what encrypts a volume with this key. Raise WrongKey."""
    try:
        return SectorCipher(aes_key_unwrap_with_padding(_wrapping_key(cluster_key), bytes.fromhex(wrapped)))
    except (InvalidUnwrap, ValueError) as error:
        raise WrongKey("the volume's key does not belong to this cluster's key") from error


def _wrapping_key(cluster_key: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(cluster_key)


class SectorCipher:
    """Of one volume. Offsets are in the volume, and multiples of SECTOR, as lengths are."""

    __slots__ = ("_algorithm",)

    def __init__(self, key: bytes) -> None:
        self._algorithm = algorithms.AES(key)

    def __repr__(self) -> str:
        return "SectorCipher(…)"

    def encrypted(self, offset: int, data: memoryview) -> memoryview:
        """Return what is written in the place of `data`. Zeros are written as any other data."""
        out = bytearray(len(data))
        for start in range(0, len(data), SECTOR):
            encryptor = Cipher(self._algorithm, _tweak(offset + start)).encryptor()
            out[start : start + SECTOR] = encryptor.update(data[start : start + SECTOR])
        return memoryview(out)

    def decrypted(self, offset: int, pieces: Pieces) -> Pieces:
        """Return what was written, from what is read. Holes stay holes."""
        return list(self._decrypted(offset, pieces))

    def _decrypted(self, offset: int, pieces: Iterable[Buffer | int]) -> Iterator[Buffer | int]:
        for piece in pieces:
            if isinstance(piece, int):
                yield piece
                offset += piece
            else:
                yield self._sectors(offset, memoryview(piece))
                offset += len(piece)

    def _sectors(self, offset: int, data: memoryview) -> bytearray:
        out = bytearray(len(data))
        for start in range(0, len(data), SECTOR):
            sector = data[start : start + SECTOR]
            if sector != _ZEROS:
                decryptor = Cipher(self._algorithm, _tweak(offset + start)).decryptor()
                out[start : start + SECTOR] = decryptor.update(sector)
        return out

    async def read(self, offset: int, reading: Awaitable[Pieces]) -> Pieces:
        """Return what was written, from what is being read."""
        return self.decrypted(offset, await reading)


def _tweak(offset: int) -> modes.XTS:
    return modes.XTS((offset // SECTOR).to_bytes(16, "little"))
