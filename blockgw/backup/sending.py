"""Reading pieces of a volume and sending those that the target lacks, several at a time.

A listing may show what was deleted a while ago. So of a piece that is there by the listing alone it is asked once.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import NamedTuple

from blockgw.backup.cipher import Cipher
from blockgw.backup.manifest import Counts, length_at
from blockgw.backup.piece import PIECE, Stored
from blockgw.backup.repository import Repository
from blockgw.backup.volume import Source
from blockgw.backup.workers import spread

_ZEROS = bytes(PIECE)


class Sent(NamedTuple):
    """What became of one piece of the volume."""

    position: int
    length: int  # bytes of the volume
    stored: Stored | None  # None: it is zeros
    sent: int  # bytes; 0: the target had it, or it is zeros

    def counted(self, counts: Counts) -> Counts:
        """Return `counts` with this one."""
        is_zeros, was_there = self.stored is None, self.stored is not None and not self.sent
        return replace(
            counts,
            read=counts.read + self.length,
            zeros=counts.zeros + self.length * is_zeros,
            deduplicated=counts.deduplicated + self.length * was_there,
            sent=counts.sent + self.sent,
        )


class Sending:
    """Of one backup. `known`: the pieces that the target has, with the sizes of their objects."""

    def __init__(self, repository: Repository, cipher: Cipher, known: Mapping[bytes, int]) -> None:
        self._repository, self._cipher, self._known = repository, cipher, known
        self._mutex = threading.Lock()
        self._mine: dict[bytes, Future[Stored]] = {}  # pieces that this backup has asked for, or sends or has sent

    def run(self, source: Source, size: int, positions: Sequence[int], workers: int) -> Iterator[Sent]:
        """Yield what became of each position, in the order in which they are done; `size` is the volume's."""

        def work(position: int) -> Sent:
            length = length_at(size, position)
            content = source.read(position * PIECE, length)
            assert len(content) == length
            if content == _ZEROS[:length]:
                return Sent(position, length, None, 0)
            stored, is_new = self._save(content)
            return Sent(position, length, stored, stored.size if is_new else 0)

        return spread(work, positions, workers)

    def _save(self, content: bytes) -> tuple[Stored, bool]:
        """Have the target have a piece; tell whether it was sent for that."""
        piece_id = self._cipher.piece_id(content)
        with self._mutex:
            other = self._mine.get(piece_id)
            mine: Future[Stored] = Future()
            if other is None:
                self._mine[piece_id] = mine
        if other is not None:
            return other.result(), False  # whoever sends it does so now, in a thread of its own
        try:
            found = self._found(piece_id)
            stored = found or self._repository.put_piece(piece_id, content, self._cipher)
        except BaseException as error:
            mine.set_exception(error)
            raise
        mine.set_result(stored)
        return stored, found is None

    def _found(self, piece_id: bytes) -> Stored | None:
        """Return the piece that the target has."""
        if piece_id not in self._known:
            return None
        stored = Stored(piece_id, self._known[piece_id])
        return stored if self._repository.is_there(stored) else None
