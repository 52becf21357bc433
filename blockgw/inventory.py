"""Which chunks the layers of a family have, as devices list them: what was changed, what is used, what is to be copied.

A device lists what it has. What was acknowledged is on a quorum of its chunk's replicas, so it is in the lists of any
devices that are a quorum of every set of replicas. Fewer are not taken for an answer. A device that has lost data
lists less and does not say so; but it refuses to vote, so each is asked for a vote first, in the same connection.

What is listed may be more than was acknowledged: what a writer has left on fewer replicas than a quorum.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from blockgw.agreement import NOTHING, ChunkVersion
from blockgw.errors import VolumeError
from blockgw.volumes.devices import DevicePlacing, DeviceReplica
from blockgw.volumes.replica import ReplicaStale, ReplicaUnavailable
from storage.client import Placement
from storage.quorum import Majority
from storage.rings.document import OBJECT

PAGE = 4096  # chunks of a layer that a device is asked for at a time
PATIENCE_S = 30.0  # until enough devices have answered
RETRY_S = 0.2
Listed = tuple[int, ChunkVersion, int]  # chunk, version, bytes allocated


@dataclass(slots=True)
class Held:
    """A chunk in a layer."""

    version: ChunkVersion = NOTHING  # the newest
    holders: int = 0  # devices that have that
    data: int = 0  # bytes allocated, by the replica that has most
    stored: int = 0  # bytes allocated, by all replicas that have answered

    def add(self, version: ChunkVersion, allocated: int) -> None:
        """Take what one replica says."""
        if version > self.version:
            self.version, self.holders = version, 0
        self.holders += version == self.version
        self.data = max(self.data, allocated)
        self.stored += allocated


@dataclass(slots=True)
class Row:
    """A chunk, in those of the layers that have it."""

    number: int
    layers: dict[int, Held] = field(default_factory=dict)  # by layer


def is_enough(placement: Placement, devices: Iterable[int]) -> bool:
    """Tell whether `devices` are a quorum of each set of replicas that any chunk may have."""
    there = frozenset(devices)
    for ring in placement.rings.write_rings(OBJECT):
        sets = {frozenset(device.id for device in ring.primaries(p)) for p in range(ring.partition_count)}
        if not all(Majority.of(members).reached(there) for members in sets):
            return False
    return True


def placing_of(placement: Placement, family: str) -> DevicePlacing:
    """Return where the chunks of a family are, for who does not write. `family`: hexadecimal digits."""
    return DevicePlacing(placement, bytes.fromhex(family), 0)


class Inventory:
    """Of one family."""

    def __init__(self, placement: Placement, family: bytes) -> None:
        self._placement = placement
        self._placing = DevicePlacing(placement, family, 0)
        self.unanimous = True  # every device has answered so far

    async def pages(self, layers: Sequence[int], first: int = 0, page: int = PAGE) -> AsyncIterator[list[Row]]:
        """Yield the chunks from number `first` on that any of `layers` has, in order. Raise VolumeError.

        A page has at most `page` chunks of each layer, and may be empty.
        """
        start: int | None = first if layers else None
        while start is not None:
            found = await self._listed(layers, start, page)
            full = [listed[-1][0] for lists in found.values() for listed in lists if len(listed) == page]
            last = min(full, default=None)  # beyond, somebody may have more than he has listed
            yield _merged(layers, found, last)
            start = None if last is None else last + 1

    async def _listed(self, layers: Sequence[int], first: int, page: int) -> Mapping[int, Sequence[Sequence[Listed]]]:
        """Return what enough devices list: by device, by layer."""
        found: dict[int, Sequence[Sequence[Listed]]] = {}
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            missing = [device for number, device in self._placing.devices().items() if number not in found]
            answers = await asyncio.gather(*(_lists_of(device, layers, first, page) for device in missing))
            found.update(
                {device.device: answer for device, answer in zip(missing, answers, strict=True) if answer is not None}
            )
            if is_enough(self._placement, found):
                self.unanimous &= found.keys() >= self._placing.devices().keys()
                return found
            if asyncio.get_running_loop().time() > deadline:
                raise VolumeError("too few devices can be reached to tell which chunks there are")
            await asyncio.sleep(RETRY_S)


async def _lists_of(
    device: DeviceReplica, layers: Sequence[int], first: int, page: int
) -> Sequence[Sequence[Listed]] | None:
    """Return what a device has of each layer; None: it cannot be asked, or does not know what it should have."""
    try:
        run = (await device.stat(first, layers[:1])).run
        lists = await asyncio.gather(*(device.map(layer, first, page) for layer in layers))
        is_same = (await device.stat(first, layers[:1])).run == run
    except (ReplicaUnavailable, ReplicaStale):
        return None
    return lists if is_same else None


def _merged(
    layers: Sequence[int], found: Mapping[int, Sequence[Sequence[Listed]]], last: int | None
) -> list[Row]:
    rows: dict[int, Row] = {}
    for lists in found.values():
        for layer, listed in zip(layers, lists, strict=True):
            for number, version, allocated in listed:
                if version == NOTHING or (last is not None and number > last):
                    continue
                rows.setdefault(number, Row(number)).layers.setdefault(layer, Held()).add(version, allocated)
    return [rows[number] for number in sorted(rows)]


def between(chain: Sequence[int], since: Sequence[int] | None) -> list[int]:
    """Return the layers by which two chains of a family differ; all of `chain` when there is no other.

    A chunk that none of them has is read from the same layer through both, so it is the same.
    """
    if since is None:
        return list(chain)
    one, other = frozenset(chain), frozenset(since)
    return [layer for layer in (*chain, *since) if (layer in one) != (layer in other)]
