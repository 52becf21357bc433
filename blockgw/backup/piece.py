"""One piece of a volume as an object: bytes <-> content, each checked. No I/O. docs/backup-format.md, "Pieces".

A piece is called by its content, so it is never changed, only written once more; and what is read under its name is
either that content or nothing.
"""

import struct
from typing import NamedTuple

from blockgw.backup.cipher import ID_SIZE, Cipher
from blockgw.backup.compression import compress, decompress

PIECE = 4 << 20  # bytes of a volume in a piece, but for the last one
LIMIT = 64 << 20  # bytes: no reader takes more for a piece
MAGIC = b"HFBP"
FORMAT = 1
_HEAD = struct.Struct("<4sBBBxI")  # magic, format, compression, cipher, 0, length of the content
assert _HEAD.size == 12


class Stored(NamedTuple):
    """A piece that the target has."""

    id: bytes  # ID_SIZE bytes
    size: int  # bytes of the object


def encode(piece_id: bytes, content: bytes, cipher: Cipher) -> bytes:
    """Return the object of a piece; `piece_id` is what `cipher` calls this content."""
    compression, packed = compress(content)
    head = _HEAD.pack(MAGIC, FORMAT, compression, cipher.number, len(content))
    return head + cipher.seal(packed, head + piece_id)


def decode(piece_id: bytes, data: bytes, cipher: Cipher) -> bytes:
    """Return the content of a piece. Raise ValueError, with the reason, when `data` is not the object of that piece."""
    assert len(piece_id) == ID_SIZE
    if len(data) < _HEAD.size or data[:4] != MAGIC:
        raise ValueError("it is no piece of a backup")
    _magic, form, compression, sealed_by, length = _HEAD.unpack_from(data)
    if form != FORMAT:
        raise ValueError(f"its format is {form}, and this release knows {FORMAT}")
    if sealed_by != cipher.number or length > LIMIT:
        raise ValueError("its head is not one that this backup has")
    content = decompress(compression, cipher.open(data[_HEAD.size :], data[: _HEAD.size] + piece_id), length)
    if len(content) != length or cipher.piece_id(content) != piece_id:
        raise ValueError("its checksum is not that of its name")
    return content
