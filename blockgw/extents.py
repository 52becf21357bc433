"""Byte ranges of a volume, and byte ranges of its chunks. Pure."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

CHUNK = 4 << 20  # bytes


class Piece(NamedTuple):
    """The part of a range that lies in one chunk."""

    chunk: int  # its number
    start: int  # within the chunk
    length: int
    position: int  # within the range


def pieces(offset: int, length: int) -> Iterator[Piece]:
    """Yield the parts of [offset, offset + length), in order."""
    position = 0
    while position < length:
        chunk, start = divmod(offset + position, CHUNK)
        part = min(CHUNK - start, length - position)
        yield Piece(chunk, start, part, position)
        position += part


def parts(start: int, length: int, extents: Iterable[tuple[int, int]]) -> Iterator[tuple[int, bool]]:
    """Yield (length, whether it is in one of `extents`) of the parts of [start, start + length), in order.

    `extents` are (offset, length), in order and apart.
    """
    position, end = start, start + length
    for offset, size in extents:
        first, last = max(offset, position), min(offset + size, end)
        if first >= last:
            continue
        if first > position:
            yield first - position, False
        yield last - first, True
        position = last
    if position < end:
        yield end - position, False


def chunk_count(size: int) -> int:
    """Return how many chunks a volume of `size` bytes has, the last of which may be partly beyond its end."""
    return -(-size // CHUNK)
