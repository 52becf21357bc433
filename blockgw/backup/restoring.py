"""Bringing back a backup, to a file or to a volume; and looking whether one is whole.

Nothing is written that was not checked. The first object that is damaged ends a restore, by its name.

What was begun and interrupted can go on: pieces that the sink has already are recognised by their names, read there
and not fetched again.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from blockgw.backup.errors import Damaged
from blockgw.backup.manifest import Manifest, runs
from blockgw.backup.piece import PIECE, Stored
from blockgw.backup.progress import Progress, Show, unseen
from blockgw.backup.repository import Opened, Repository
from blockgw.backup.volume import Sink
from blockgw.backup.workers import WORKERS, spread


class Restored(NamedTuple):
    """What a restore did. Bytes of the volume, but for `fetched`: bytes of objects."""

    written: int
    kept: int  # that were there already
    fetched: int


def restore(
    repository: Repository,
    backup: Opened,
    sink: Sink,
    begun: bool = False,
    show: Show = unseen,
    workers: int = WORKERS,
) -> Restored:
    """Make `sink` what the volume was. `begun`: it may hold anything, else zeros. Raise Damaged."""
    manifest, cipher = backup

    def work(position: int) -> Restored:
        stored, length = manifest.pieces[position], manifest.length(position)
        if begun and cipher.piece_id(sink.read(position * PIECE, length)) == stored.id:
            return Restored(0, length, 0)
        content = repository.get_piece(stored.id, cipher)
        if len(content) != length:
            raise Damaged(repository.piece_name(stored.id), f"it has {len(content)} bytes where {length} should be")
        sink.write(position * PIECE, content)
        return Restored(length, 0, stored.size)

    total = sum(map(manifest.length, manifest.pieces))
    written = kept = fetched = 0
    if begun:
        _zero_the_rest(manifest, sink)
    for done in spread(work, sorted(manifest.pieces), workers):
        written, kept, fetched = written + done.written, kept + done.kept, fetched + done.fetched
        show(Progress(written + kept, total, fetched))
    sink.flush()
    return Restored(written, kept, fetched)


def _zero_the_rest(manifest: Manifest, sink: Sink) -> None:
    for run in runs(set(range(manifest.positions)) - manifest.pieces.keys()):
        for position in run:
            sink.zero(position * PIECE, manifest.length(position))


def missing(repository: Repository, manifest: Manifest, known: dict[bytes, int]) -> Iterator[Damaged]:
    """Yield the pieces of a backup that are not there, or of another size. `known` is what a listing has."""
    for stored in sorted(set(manifest.pieces.values())):
        if known.get(stored.id) == stored.size:
            continue
        size = repository.target.size(repository.piece_name(stored.id))
        if size != stored.size:
            why = "it is not there" if size is None else f"it has {size} bytes where {stored.size} should be"
            yield Damaged(repository.piece_name(stored.id), why)


def damaged(
    repository: Repository, backups: Iterable[Opened], show: Show = unseen, workers: int = WORKERS
) -> Iterator[Damaged]:
    """Fetch all pieces of some backups, each once; yield those that are damaged."""
    wanted = {stored: opened.cipher for opened in backups for stored in opened.manifest.pieces.values()}
    total, fetched = sum(stored.size for stored in wanted), 0

    def work(stored: Stored) -> tuple[int, Damaged | None]:
        try:
            repository.get_piece(stored.id, wanted[stored])
        except Damaged as found:
            return stored.size, found
        return stored.size, None

    for size, found in spread(work, sorted(wanted), workers):
        fetched += size
        show(Progress(fetched, total, fetched))
        if found is not None:
            yield found
