"""What a read has found, in pieces and holes, made ready to be sent. Nothing is copied."""

from collections.abc import Iterator
from typing import NamedTuple

from blockgw.interfaces import Buffer, MiB, Pieces

ZEROES = memoryview(bytes(MiB))  # what holes are sent as where they can't be told


class Run(NamedTuple):
    """A part of what was read that is all data, or all hole."""

    offset: int  # in the read
    length: int
    data: list[Buffer]  # empty: a hole


def size_of(pieces: Pieces) -> int:
    """Return how many bytes `pieces` stand for."""
    return sum(piece if isinstance(piece, int) else len(piece) for piece in pieces)


def filled(pieces: Pieces) -> list[Buffer]:
    """Return the bytes that `pieces` stand for, holes as zeros."""
    buffers: list[Buffer] = []
    for piece in pieces:
        if isinstance(piece, int):
            buffers.extend(_zeroes(piece))
        else:
            buffers.append(piece)
    return buffers


def runs(pieces: Pieces) -> Iterator[Run]:
    """Yield `pieces` with neighbours of one kind put together; what is empty is left out."""
    position = start = 0
    data: list[Buffer] = []
    for piece in pieces:
        is_hole = isinstance(piece, int)
        length = piece if isinstance(piece, int) else len(piece)
        if not length:
            continue
        if position > start and is_hole == bool(data):
            yield Run(start, position - start, data)
            start, data = position, []
        if not isinstance(piece, int):
            data.append(piece)
        position += length
    if position > start:
        yield Run(start, position - start, data)


def _zeroes(length: int) -> Iterator[Buffer]:
    for begin in range(0, length, len(ZEROES)):
        yield ZEROES[: length - begin]
