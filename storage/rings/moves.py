"""What a change of rings moves: who must copy what, and whose word counts meanwhile. Pure.

A device that comes new to a partition copies it from a read quorum of the current primaries; those that
stay have what they have. Is that enough for a quorum of the target to meet every acknowledged version? Of n
current primaries, m stay and j come new. A version is on q = quorum(n) of the n, so on at least
q - (n - m) of those that stay, and after the copying on all j. A read quorum q' of the m + j meets them if
q - (n - m) + j + q' > m + j, that is if q + q' > n. It holds when the number of replicas stays, or
changes by one. Where it does not, those that stay copy as well.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ring.lookup import Ring
from storage.quorum import quorum_of

_STRIDE = 64  # partitions compared at once: most of a ring stays, and is passed over quickly


@dataclass(frozen=True, slots=True)
class Moves:
    """The difference between two placements."""

    joiners: Mapping[int, Mapping[str, tuple[int, ...]]] = field(default_factory=dict)
    # device id -> ring name -> partitions that it must copy before anybody reads there
    current_sets: frozenset[tuple[int, ...]] = frozenset()  # primaries, so far, of partitions that move

    def partition_count(self, device_id: int) -> int:
        """Return how many partitions a device must copy."""
        return sum(map(len, self.joiners.get(device_id, {}).values()))


def moves_of(current: Mapping[str, Ring], target: Mapping[str, Ring]) -> Moves:
    """Return what turns `current` into `target`; nothing when there is no target."""
    joiners: dict[int, dict[str, list[int]]] = {}
    current_sets: set[tuple[int, ...]] = set()
    for name, new in target.items():
        old = current[name]
        for partition in _differing(old, new):
            before, after = _primaries(old, partition), _primaries(new, partition)
            if set(before) == set(after):
                continue
            current_sets.add(tuple(sorted(before)))
            for device_id in copying(before, after):
                joiners.setdefault(device_id, {}).setdefault(name, []).append(partition)
    return Moves(
        {device_id: {name: tuple(own) for name, own in rings.items()} for device_id, rings in joiners.items()},
        frozenset(current_sets),
    )


def copying(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[int, ...]:
    """Return which of the primaries `after` must copy a partition from those `before`."""
    if quorum_of(len(before)) + quorum_of(len(after)) > len(before):
        return tuple(device_id for device_id in after if device_id not in before)
    return after


def enough_refuse(primaries: tuple[int, ...], refusing: int) -> bool:
    """Tell whether no quorum of `primaries` accepts any more what `refusing` of them refuse."""
    return refusing > len(primaries) - quorum_of(len(primaries))


def held_partitions(ring: Ring, device_id: int) -> list[int]:
    """Return the partitions of which a device is a primary, in order."""
    held: set[int] = set()
    for row in ring.replica_rows:
        held.update([partition for partition, holder in enumerate(row) if holder == device_id])
    return sorted(held)


def _primaries(ring: Ring, partition: int) -> tuple[int, ...]:
    return tuple(dict.fromkeys([row[partition] for row in ring.replica_rows if partition < len(row)]))


def _differing(old: Ring, new: Ring) -> Iterator[int]:
    """Yield partitions, in order, that may have other primaries: all that have, and some that have not."""
    assert old.part_power == new.part_power
    same_rows = len(old.replica_rows) == len(new.replica_rows)
    for start in range(0, old.partition_count, _STRIDE):
        end = min(start + _STRIDE, old.partition_count)
        pairs = zip(old.replica_rows, new.replica_rows, strict=False)
        if not same_rows or any(before[start:end] != after[start:end] for before, after in pairs):
            yield from range(start, end)
