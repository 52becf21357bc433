"""Deleting backups, and the pieces that no other one has.

Under the lock of backups that are taken, so none relies on a piece that is being deleted. The manifest goes first: what
is interrupted then leaves pieces that nobody names, and the next deletion takes them along. When any other manifest
can't be read, nobody knows which pieces it has, and no pieces are deleted.
"""

from collections.abc import Iterator
from typing import NamedTuple

from blockgw.backup.errors import Damaged, NoSuchBackup, WrongKey
from blockgw.backup.lock import Lock
from blockgw.backup.manifest import Kind, Manifest
from blockgw.backup.repository import Repository

_BATCH = 500  # pieces that are deleted between two looks at the lock


class Deleted(NamedTuple):
    """What went."""

    pieces: int
    size: int  # bytes of objects


def delete(repository: Repository, backup_id: str) -> Deleted:
    """Delete a backup, finished or not. Raise NoSuchBackup, WrongKey; Damaged: it is gone, but its pieces are not."""
    with Lock(repository.target, repository.name("lock"), "a deletion") as lock:
        kinds = [
            (kind, folder)
            for kind, folder in ((Kind.WHOLE, "backups"), (Kind.UNDER_WAY, "partial"))
            if repository.target.size(repository.name(folder, backup_id)) is not None
        ]
        if not kinds:
            raise NoSuchBackup(f"there is no backup {backup_id}")
        _require_key(repository, backup_id, kinds[0][0])
        lock.check()
        for kind, _folder in kinds:
            repository.drop(backup_id, kind)
        return _prune(repository, lock)


def _require_key(repository: Repository, backup_id: str, kind: Kind) -> None:
    """Raise WrongKey before anything is gone."""
    try:
        repository.read(backup_id, kind)
    except Damaged:
        return  # deleting it is what helps


def _prune(repository: Repository, lock: Lock) -> Deleted:
    manifests = list(_manifests(repository))
    used = {stored.id for manifest in manifests for stored in manifest.pieces.values()}
    known = repository.known()
    doomed = sorted(known.keys() - used)
    for start in range(0, len(doomed), _BATCH):
        lock.check()
        repository.delete_pieces(doomed[start : start + _BATCH])
    if not manifests:
        repository.forget()
    return Deleted(len(doomed), sum(known[piece_id] for piece_id in doomed))


def _manifests(repository: Repository) -> Iterator[Manifest]:
    """Yield all manifests, those of unfinished backups, too. Raise Damaged, WrongKey."""
    for kind in Kind:
        for backup_id in repository.backups(kind):
            try:
                yield repository.read(backup_id, kind).manifest
            except NoSuchBackup:
                continue
            except WrongKey as error:
                raise WrongKey(f"{error}; so no pieces were deleted") from error
            except Damaged as error:
                raise Damaged(error.name, f"{error.why}; so no pieces were deleted: delete that backup, too") from error
