"""Whether a volume was a disk: what each block was found to be, beside what was written to it. Pure.

The writes of a block have an order: those under an older epoch come first, and of one epoch those that were asked for
first (nobody has two under way to a block). A read is of one of them. It must not be of one that comes before

- one that was acknowledged before the read began, under the same epoch; unless all replicas have lost power since, and
  it was not flushed: then the owner goes on without it, and the first flush that succeeds comes after one that failed;
- one that was acknowledged under an older epoch, if it was flushed since, or no device has lost power since;
- one that a later owner has read, likewise: what has failed, or was never answered, may be there or not, but once
  somebody has seen it under a newer epoch that is decided;

and not of one that comes after what somebody has read under a newer epoch than its own: it is gone, and stays so. Only
a power cut of what was never flushed undoes that.

A snapshot is one reading of all blocks, at some moment while it was taken: each of its blocks is always the same, and
what was acknowledged before something else in it was asked for is in it, too. What a rollback writes, and what a clone
begins with, is what the snapshot has.

No write is acknowledged that was asked for after another gateway had the volume.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.sim.volumes.history import UNKNOWN, ZEROS, Disk, Flush, Read, Snapshot, Write, shown

BEFORE = float("-inf")
REPLICAS = 3
DOWN_S = 2.0  # from a power cut until a device serves again, at most


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that no disk does."""

    volume: str
    offset: int  # -1: of no block
    text: str

    def __str__(self) -> str:
        return f"{self.volume}{f' block {self.offset:#x}' if self.offset >= 0 else ''}: {self.text}"


def violations(
    disks: Sequence[Disk],
    losses: Sequence[float],
    opened: Mapping[tuple[str, int], float],
    power_cuts: Sequence[tuple[float, int]] = (),
) -> list[Violation]:
    """Return what is wrong.

    `losses`: when what was not synced may have gone; `opened`: when a gateway had a volume, by name and epoch;
    `power_cuts`: when, and of which device.
    """
    found = [wrong for disk in disks for wrong in _late_writes(disk, opened)]
    snapshots = {(snapshot.volume, snapshot.name): snapshot for disk in disks for snapshot in disk.snapshots}
    for disk in disks:
        for offset in disk.offsets:
            found += Block(disk, offset, losses, opened, power_cuts).violations()
        for snapshot in disk.snapshots:
            found += _torn(disk, snapshot)
    assert len(snapshots) == sum(len(disk.snapshots) for disk in disks)
    return found


def _late_writes(disk: Disk, opened: Mapping[tuple[str, int], float]) -> Iterator[Violation]:
    """Yield the writes that succeeded although somebody else had the volume before they were asked for."""
    times = sorted((epoch, at) for (name, epoch), at in opened.items() if name == disk.name)
    for offset, writes in disk.writes.items():
        for write in writes:
            later = [(epoch, at) for epoch, at in times if epoch > write.epoch and at < write.called]
            if write.ended != UNKNOWN and later:
                yield Violation(disk.name, offset, f"({write}) succeeded after epoch {later[0][0]} had begun")


@dataclass(slots=True, eq=False)
class _Found:
    """A reading, and which writes it may be of."""

    read: Read
    candidates: list[int]
    what: str

    @property
    def index(self) -> int | None:
        """The write that it is of, if that is certain."""
        return self.candidates[0] if len(self.candidates) == 1 else None


class Block:
    """One block of one volume, with all that happened to it."""

    def __init__(
        self,
        disk: Disk,
        offset: int,
        losses: Sequence[float],
        opened: Mapping[tuple[str, int], float],
        power_cuts: Sequence[tuple[float, int]],
    ) -> None:
        self._disk = disk
        self._offset = offset
        self._losses = sorted(losses)
        self._opened = opened
        self._power_cuts = power_cuts
        begun = Write(0, BEFORE, ZEROS if disk.origin is None else disk.origin, True, BEFORE)
        writes = [write for write in disk.writes.get(offset, ()) if write.epoch or write.ended != UNKNOWN]
        self._writes = [begun, *sorted(writes, key=lambda write: (write.epoch, write.called))]
        self._contents = [contents(write, offset) for write in self._writes]
        self._seen: list[float] = [write.ended for write in self._writes]  # from when on a write counts
        self._secured: list[float] = []

    def violations(self) -> list[Violation]:
        """Return what is wrong."""
        found = [Violation(self._disk.name, self._offset, text) for text in self._unequal()]
        readings = sorted(self._readings(), key=lambda each: each.read.ended)
        for each in readings:
            if not each.candidates:
                found.append(self._wrong(each, "nobody has written that by then"))
        known = [each for each in readings if each.candidates]
        self._note_seen(known)
        self._secured = [self._durable_from(index, known) for index in range(len(self._writes))]
        for position, each in enumerate(known):
            reasons = [self._reason(each, index, known[:position]) for index in each.candidates]
            if all(reasons):
                found.append(self._wrong(each, reasons[-1]))
        return found

    def _wrong(self, found: _Found, reason: str) -> Violation:
        return Violation(self._disk.name, self._offset, f"({found.read}){found.what}: {reason}")

    def _unequal(self) -> Iterator[str]:
        for snapshot in self._disk.snapshots:
            values = set(snapshot.reads.get(self._offset, ()))
            if len(values) > 1:
                yield f"snapshot {snapshot.name} changes: {', '.join(sorted(map(shown, values)))}"

    def _readings(self) -> Iterator[_Found]:
        for read in self._disk.reads.get(self._offset, ()):
            yield _Found(read, self._candidates(read), "")
        for snapshot in self._disk.snapshots:
            for value in sorted(set(snapshot.reads.get(self._offset, ()))):
                read = Read(snapshot.epoch, snapshot.called, snapshot.ended, value)
                yield _Found(read, self._candidates(read), f" in snapshot {snapshot.name}")

    def _candidates(self, read: Read) -> list[int]:
        return [
            index
            for index, write in enumerate(self._writes)
            if read.value in self._contents[index] and write.epoch <= read.epoch and write.called < read.ended
        ]

    def _note_seen(self, readings: Iterable[_Found]) -> None:
        """Take note of writes that a later owner has found: they count as if they were acknowledged then."""
        for each in readings:
            index = each.index
            if index is not None and self._writes[index].epoch < each.read.epoch:
                self._seen[index] = min(self._seen[index], each.read.ended)

    def _durable_from(self, index: int, readings: Sequence[_Found]) -> float:
        """Return from when on no power cut undoes a write."""
        write, seen = self._writes[index], self._seen[index]
        if write.durable and write.ended != UNKNOWN:
            return write.ended
        found = [
            flush.ended
            for flush in self._disk.flushes
            if flush.called >= seen and flush.epoch >= write.epoch and self._is_kept(index, flush, readings)
        ]
        return min(found, default=UNKNOWN)

    def _is_kept(self, index: int, flush: Flush, readings: Sequence[_Found]) -> bool:
        """Tell whether a write was there when its volume was flushed: a later owner's flush does not bring it back."""
        write = self._writes[index]
        if not self._has_loss(write.called, flush.ended):
            return True
        if flush.epoch == write.epoch:
            return not self._is_told_lost(write, flush)
        return any(
            each.index == index and each.read.epoch == flush.epoch and each.read.ended <= flush.called
            for each in readings
        )

    def _reason(self, found: _Found, index: int, earlier: Sequence[_Found]) -> str:
        """Return why a reading cannot be of a write; "" when it can."""
        read = found.read
        for later in range(len(self._writes) - 1, index, -1):
            if self._is_certain(later, read, earlier):
                return f"it comes after ({self._writes[later]})"
        epoch = self._writes[index].epoch
        for before in earlier:
            seen = before.index
            if seen is None or seen >= index or before.read.ended > read.called or before.read.epoch > read.epoch:
                continue
            if epoch < before.read.epoch and not self._is_undone(before.read, read):
                return f"it was gone at ({before.read}){before.what}"
        return ""

    def _is_certain(self, index: int, read: Read, earlier: Sequence[_Found]) -> bool:
        """Tell whether a write must be there, or something later, when a block is read."""
        write, seen = self._writes[index], self._seen[index]
        if write.epoch > read.epoch or seen > read.called:
            return False
        if self._secured[index] <= read.called:
            return True
        if write.epoch == read.epoch and not self._is_blackout(write.called, read.ended):
            return True
        if not self._has_loss(write.called, read.called):
            return True
        return any(
            before.index == index and before.read.epoch == read.epoch and before.read.ended <= read.called
            for before in earlier
        )

    def _is_told_lost(self, write: Write, flush: Flush) -> bool:
        """Tell whether the owner was told, before a flush succeeded, that what was written before may be lost."""
        return any(
            told.epoch == write.epoch and write.called <= told.ended <= flush.ended
            for told in self._disk.losses_told
        ) and self._is_blackout(write.called, flush.ended)

    def _is_blackout(self, begin: float, end: float) -> bool:
        """Tell whether all replicas of a chunk have lost their power, or were without when something was written."""
        return len({device for at, device in self._power_cuts if begin - DOWN_S <= at <= end}) >= REPLICAS

    def _is_undone(self, before: Read, read: Read) -> bool:
        """Tell whether a power cut may have undone what was decided when a block was read."""
        if before.epoch == read.epoch:
            return False
        if any(flush.called >= before.ended and flush.epoch >= before.epoch and flush.ended <= read.called
               for flush in self._disk.flushes):
            return False
        return self._has_loss(self._opened.get((self._disk.name, before.epoch), BEFORE), read.called)

    def _has_loss(self, begin: float, end: float) -> bool:
        return any(begin <= at <= end for at in self._losses)


def contents(write: Write, offset: int) -> frozenset[bytes]:
    """Return what a write may have put into a block: of a snapshot, what was read there; beyond its end, zeros."""
    if not isinstance(write.content, Snapshot):
        return frozenset((write.content,))
    return frozenset(write.content.reads.get(offset, (ZEROS,)))


def _torn(disk: Disk, snapshot: Snapshot) -> Iterator[Violation]:
    """Yield the blocks of a snapshot that lack what was acknowledged before something else in it was asked for."""
    own = {
        offset: sorted((write for write in writes if write.epoch == snapshot.epoch), key=lambda write: write.called)
        for offset, writes in disk.writes.items()
        if offset in snapshot.reads
    }
    shown_writes = (write for offset, writes in own.items() for write in writes if _is_in(write, offset, snapshot))
    newest = max((write.called for write in shown_writes), default=BEFORE)
    for offset, writes in own.items():
        for index, write in enumerate(writes):
            allowed = frozenset().union(*(contents(each, offset) for each in writes[index:]))
            if write.ended <= newest and not allowed.intersection(snapshot.reads[offset]):
                text = f"snapshot {snapshot.name} has what was written later elsewhere, and not ({write})"
                yield Violation(disk.name, offset, text)


def _is_in(write: Write, offset: int, snapshot: Snapshot) -> bool:
    """Tell whether a snapshot shows that a write was before it."""
    return isinstance(write.content, bytes) and write.content != ZEROS and write.content in snapshot.reads[offset]
