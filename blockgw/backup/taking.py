"""Taking a backup.

What is read is a snapshot taken for it. The next backup to the same place reads what has changed since that snapshot,
so it is kept until the next one is done; if it, or the backup that it belongs to, is gone, everything is read. Pieces
that the target has are not sent again, whoever sent them. What an earlier backup has, and the target has not any more,
is read and sent once more.

Every JOURNAL_S, or somewhat more, it is noted on the target how far it is. A backup that was interrupted goes on from
there, with the same snapshot; the pieces that were sent after the last note are found by their names. Crash points: a
snapshot without a note is given up by the next backup that is done; a note without a manifest is gone on from; a
manifest with its note still there is a whole backup, and the note goes with the next one.
"""

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from blockgw.backup.cipher import Cipher
from blockgw.backup.errors import BackupError, Damaged, NoSuchBackup, WrongKey
from blockgw.backup.lock import Lock
from blockgw.backup.manifest import Kind, Manifest, Origin, length_at
from blockgw.backup.piece import PIECE, Stored
from blockgw.backup.progress import Progress, Show, unseen
from blockgw.backup.repository import Repository
from blockgw.backup.sending import Sending
from blockgw.backup.volume import Snapshot, Volume
from blockgw.backup.workers import WORKERS

JOURNAL_S = 20.0
_JOURNAL_SHARE = 20.0  # of a large volume a note takes a while: at most a twentieth of the time goes into that
SNAPSHOTS = "holdfast-backup-"


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a backup is taken."""

    full: bool = False  # read everything, whatever has changed
    workers: int = WORKERS


class Outcome(NamedTuple):
    """What came of it."""

    manifest: Manifest  # `sent` counts the manifest, too
    resumed: bool
    remarks: list[str]  # sentences for the operator: what was found amiss, and what was done about it


class Work(NamedTuple):
    """What is left to do of a backup."""

    manifest: Manifest  # with the pieces that are settled
    positions: list[int]  # that are to be read
    lost: list[Stored]  # pieces that a manifest has and the target has not


def work_of(begun: Manifest, base: Manifest | None, changed: set[int], known: dict[bytes, int]) -> Work:
    """Return what is left to do. `changed` are the positions that differ from `base`, or from zeros without one.

    What was read before an interruption is settled, and so is what has not changed; unless the target has lost it.
    """
    size, wanted = begun.origin.size, set(changed)
    if base is not None and base.origin.size != size:  # the last piece of the smaller one has another length
        wanted.add((min(base.origin.size, size) - 1) // PIECE)
    settled = {} if base is None else {each: base.pieces[each] for each in base.pieces.keys() - wanted - begun.done}
    settled |= {position: begun.pieces[position] for position in begun.done & begun.pieces.keys()}
    lost = {position for position, stored in settled.items() if known.get(stored.id) != stored.size}
    pieces = {each: stored for each, stored in settled.items() if each not in lost and each < begun.positions}
    return Work(
        replace(begun, pieces=pieces, done=begun.done - lost),
        sorted(each for each in (wanted - begun.done) | lost if each < begun.positions),
        [settled[position] for position in sorted(lost)],
    )


class Taking:
    """One backup of one volume to one place."""

    def __init__(
        self,
        volume: Volume,
        repository: Repository,
        wishes: Wishes = Wishes(),
        show: Show = unseen,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._volume, self._repository, self._wishes = volume, repository, wishes
        # of the snapshots that are kept for this place
        self._prefix = f"{SNAPSHOTS}{hashlib.sha256(repository.target.place.encode()).hexdigest()[:8]}-"
        self._show, self._now_s = show, now_s
        self._remarks: list[str] = []

    def run(self) -> Outcome:
        """Take a backup, or finish one that was interrupted. Raise BackupError, and what the volume raises."""
        repository = self._repository
        with Lock(repository.target, repository.name("lock"), "a backup") as lock:
            cipher = repository.begin()
            unfinished = self._unfinished(cipher)
            begun = unfinished or self._begin(cipher)
            known = repository.known()
            done = self._carry_out(self._work(begun, known, cipher), known, cipher)
            self._require_pieces(done)
            lock.check()
            size = repository.write(replace(done, done=frozenset()), Kind.WHOLE)
            self._clean_up(done, lock)
        counts = replace(done.counts, sent=done.counts.sent + size)
        return Outcome(replace(done, counts=counts), unfinished is not None, self._remarks)

    # beginning

    def _unfinished(self, cipher: Cipher) -> Manifest | None:
        """Return the backup that was interrupted, if it can go on."""
        there = {snapshot.id for snapshot in self._volume.snapshots()}
        for backup_id in reversed(self._repository.backups(Kind.UNDER_WAY)):
            with suppress(Damaged, NoSuchBackup, WrongKey):
                found, sealed_by = self._repository.read(backup_id, Kind.UNDER_WAY)
                is_wished = not (self._wishes.full and found.parent is not None)
                can_go_on = found.origin.snapshot_id in there and sealed_by is cipher
                if is_wished and can_go_on and not self._is_whole(backup_id):
                    return found
        return None

    def _is_whole(self, backup_id: str) -> bool:
        return self._repository.target.size(self._repository.name("backups", backup_id)) is not None

    def _begin(self, cipher: Cipher) -> Manifest:
        """Take a snapshot and note that there is a backup under way."""
        base = None if self._wishes.full else self._base(cipher)
        now = datetime.fromtimestamp(self._now_s(), UTC)
        backup_id = f"{now:%Y%m%dT%H%M%SZ}-{os.urandom(4).hex()}"
        snapshot = self._volume.take(self._prefix + backup_id)
        origin = Origin(self._volume.id, self._volume.name, snapshot.size, snapshot.id, snapshot.name)
        begun = Manifest(backup_id, origin, snapshot.created_us, None if base is None else base.id, {})
        self._repository.write(begun, Kind.UNDER_WAY)
        return begun

    def _base(self, cipher: Cipher, backup_id: str | None = None) -> Manifest | None:
        """Return the last backup whose snapshot is still there, or that one if it is."""
        for snapshot in reversed(self._kept()):
            found = snapshot.name.removeprefix(self._prefix)
            if backup_id in (None, found):
                base = self._read_base(found, snapshot.id, cipher)
                if base is not None:
                    return base
        return None

    def _kept(self) -> list[Snapshot]:
        return [each for each in self._volume.snapshots() if each.name.startswith(self._prefix)]

    def _read_base(self, backup_id: str, snapshot_id: str, cipher: Cipher) -> Manifest | None:
        """Return a backup if it can be gone on from: of that snapshot, and sealed as new ones are."""
        try:
            found, sealed_by = self._repository.read(backup_id)
        except NoSuchBackup:
            return None
        except (Damaged, WrongKey) as error:
            self._remarks.append(f"{error}; so not only what has changed since that backup is read")
            return None
        return found if found.origin.snapshot_id == snapshot_id and sealed_by is cipher else None

    def _work(self, begun: Manifest, known: dict[bytes, int], cipher: Cipher) -> Work:
        base = None if begun.parent is None else self._base(cipher, begun.parent)
        since = None if base is None else base.origin.snapshot_name
        changed = set(self._volume.changed(begun.origin.snapshot_name, since))
        work = work_of(replace(begun, parent=None if base is None else base.id), base, changed, known)
        if work.lost and base is not None:
            others = f" and {len(work.lost) - 1} more" if len(work.lost) > 1 else ""
            name = self._repository.piece_name(work.lost[0].id)
            self._remarks.append(f"{name}{others} was gone or of another size: it is read and sent again")
        for stored in work.lost:
            known.pop(stored.id, None)
        return work

    # reading and sending

    def _carry_out(self, work: Work, known: dict[bytes, int], cipher: Cipher) -> Manifest:
        """Return the manifest with all pieces. When that does not go to its end, note how far it went."""
        origin, counts = work.manifest.origin, work.manifest.counts
        pieces, done = dict(work.manifest.pieces), set(work.manifest.done)
        total = sum(length_at(origin.size, position) for position in work.positions)
        already = counts.read

        def so_far() -> Manifest:
            return replace(work.manifest, pieces=pieces, done=frozenset(done), counts=counts)

        noted_s, pause_s = time.monotonic(), JOURNAL_S
        try:
            with self._volume.open(origin.snapshot_name) as source:
                sending = Sending(self._repository, cipher, known)
                for sent in sending.run(source, origin.size, work.positions, self._wishes.workers):
                    done.add(sent.position)
                    counts = sent.counted(counts)
                    if sent.stored is not None:
                        pieces[sent.position] = sent.stored
                    self._show(Progress(counts.read - already, total, counts.sent))
                    if time.monotonic() - noted_s > pause_s:
                        pause_s = max(JOURNAL_S, _JOURNAL_SHARE * self._note(so_far()))
                        noted_s = time.monotonic()
        except BaseException:
            with suppress(BackupError):
                self._repository.write(so_far(), Kind.UNDER_WAY)
            raise
        return so_far()

    def _note(self, so_far: Manifest) -> float:
        """Note how far it is; return how many seconds that took."""
        began_s = time.monotonic()
        self._repository.write(so_far, Kind.UNDER_WAY)
        return time.monotonic() - began_s

    # ending

    def _require_pieces(self, done: Manifest) -> None:
        """Raise Damaged unless the target has every piece: a listing may lag behind, so it is not the last word."""
        known = self._repository.known()
        for stored in set(done.pieces.values()):
            if known.get(stored.id) != stored.size and not self._repository.is_there(stored):
                raise Damaged(
                    self._repository.piece_name(stored.id),
                    "it went away while the backup was taken: take it again, and it is sent again",
                )

    def _clean_up(self, done: Manifest, lock: Lock) -> None:
        """Give up the notes, and the snapshots that no later backup to this place can begin with.

        The backup is there already: what cannot be cleared up is a remark, and the next one's.
        """
        try:
            lock.check()
            for backup_id in self._repository.backups(Kind.UNDER_WAY):
                self._repository.drop(backup_id, Kind.UNDER_WAY)
            for snapshot in self._kept():
                if snapshot.id != done.origin.snapshot_id:
                    self._volume.give_up(snapshot.name)
        except BackupError as error:
            self._remarks.append(f"the backup is whole, but not all was cleared up that it leaves behind: {error}")
