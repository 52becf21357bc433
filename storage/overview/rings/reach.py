"""Whether enough replicas can be reached: of every partition a quorum, or a change would never end. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping

from ring.lookup import Ring
from storage.quorum import quorum_of


def partitions_short(rings: Mapping[str, Ring], away: Collection[int]) -> int:
    """Return how many partitions, of all rings, have fewer than a quorum of devices without those `away`."""
    return sum(_short(ring, frozenset(away)) for ring in rings.values()) if away else 0


def _short(ring: Ring, away: frozenset[int]) -> int:
    short = 0
    for held_by, count in _combinations(ring).items():
        devices = set(held_by)
        short += count * (len(devices - away) < quorum_of(len(devices)))
    return short


def _combinations(ring: Ring) -> Counter[tuple[int, ...]]:
    """Return how many partitions each combination of devices holds."""
    whole = [row for row in ring.replica_rows if len(row) == ring.partition_count]
    found = Counter(zip(*whole, strict=True))
    for row in ring.replica_rows[len(whole) :]:  # that covers some partitions only
        for partition, device_id in enumerate(row):
            before = tuple([each[partition] for each in whole])
            found[before] -= 1
            found[(*before, device_id)] += 1
    return found


def holdings(ring: Ring) -> Counter[int]:
    """Return how many partitions each device holds."""
    held: Counter[int] = Counter()
    for row in ring.replica_rows:
        held.update(row)
    return held
