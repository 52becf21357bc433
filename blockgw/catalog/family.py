"""The volumes that share layers, and which layers follow from that to be needed, shared, or to be merged. Pure.

It is made once for all volumes of a family, of which there may be thousands: a golden image, and its clones.
"""

import itertools
from collections.abc import Iterable

from blockgw.catalog.errors import NoSuchSnapshot
from blockgw.catalog.volume import Volume


class Family:
    """Of volumes."""

    def __init__(self, volumes: Iterable[Volume]) -> None:
        self.volumes = tuple(volumes)
        self._by_id = {each.id: each for each in self.volumes}
        chains = [chain for each in self.volumes for chain in each.chains]
        self._tops = {chain[0] for chain in chains}
        self._above: dict[int, set[int]] = {}  # layer -> those right above it, in any chain
        for chain in chains:
            for upper, lower in itertools.pairwise(chain):
                self._above.setdefault(lower, set()).add(upper)

    def __repr__(self) -> str:
        return f"Family({len(self.volumes)} volumes)"

    def mergeable(self, volume: Volume) -> list[tuple[int, int]]:
        """Return the layers of a volume that nobody needs by themselves, each with the one above it, the oldest first.

        Such a layer is not the top of any chain: no snapshot's, and written to by nobody. And the one above is the
        same in all chains that have it, and was written by this volume: it is not its parent's.
        """
        candidates = [
            (lower, upper)
            for upper, lower in itertools.pairwise(volume.chain)
            if lower not in self._tops and self._above.get(lower) == {upper}
        ]
        if not candidates:
            return []
        foreign = self.inherited(volume)
        return [(lower, upper) for lower, upper in reversed(candidates) if lower not in foreign]

    def inherited(self, volume: Volume) -> frozenset[int]:
        """Return the layers that a clone has from its parent; all of its chain, if the parent is not known."""
        if volume.parent is None:
            return frozenset()
        parent = self._by_id.get(volume.parent.volume_id)
        for snapshot in () if parent is None else parent.snapshots:
            if snapshot.id == volume.parent.snapshot_id:
                return frozenset(snapshot.chain)
        return frozenset(volume.chain)

    def shared_with_parent(self, volume: Volume) -> frozenset[int]:
        """Return the layers that a clone has from its parent; nothing, if it is no clone. Raise NoSuchSnapshot."""
        shared = self.inherited(volume)
        if volume.layer in shared:
            raise NoSuchSnapshot(f"the snapshot that {volume.name} was cloned from is not known")
        return shared
