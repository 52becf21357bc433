"""Where a partition's replicas are, and who stands in for them. A lookup is a shift and an index.

Invariant: every entry of every row is the id of a device that is there; `Ring` refuses others when it
is made, so that no lookup can fail.
Handoffs: OpenStack Swift, swift/common/ring/ring.py, `get_more_nodes`: the same devices in the same order.
"""

import struct
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from hashlib import md5
from itertools import chain

from ring.device import Device
from ring.errors import RingError
from ring.hashing import partition_of

_LONGEST_WALK = 65536  # partitions that a search for handoffs looks at; beyond it, it strides


@dataclass(frozen=True, slots=True, eq=False)
class Ring:
    """One version of a placement. Compared by identity: two versions are never equal."""

    part_power: int
    devices: tuple[Device | None, ...]  # by device id; None: removed, its id may come back
    replica_rows: tuple["memoryview[int]", ...]  # format "H" or "I"
    # row[partition] = device id; with 2.5 replicas the third row covers half of the partitions
    version: int = 1
    _holders: tuple[Device, ...] = field(init=False, repr=False)  # devices that hold any partition

    def __post_init__(self) -> None:
        if not self.replica_rows or len(self.replica_rows[0]) != self.partition_count:
            raise RingError(f"a ring of part power {self.part_power} needs {self.partition_count} partitions")
        by_id = {device.id: device for device in self.devices if device is not None}
        used = set[int]().union(*self.replica_rows)
        if not used <= by_id.keys():
            raise RingError(f"partitions are on device {min(used - by_id.keys())}, which the ring lacks")
        object.__setattr__(self, "_holders", tuple(by_id[device_id] for device_id in sorted(used)))

    @property
    def partition_count(self) -> int:
        """How many partitions there are."""
        return 1 << self.part_power

    @property
    def replica_count(self) -> float:
        """Replicas of a partition, on average."""
        return sum(len(row) for row in self.replica_rows) / self.partition_count

    def partition(self, key: bytes) -> int:
        """Return the partition of `key` (ring.hashing)."""
        return partition_of(key, self.part_power)

    def primaries(self, partition: int) -> tuple[Device, ...]:
        """Return the devices of `partition` in replica order, each once."""
        device_ids = dict.fromkeys([row[partition] for row in self.replica_rows if partition < len(row)])
        devices = self.devices
        return tuple([devices[device_id] for device_id in device_ids])  # type: ignore[misc]  # see the invariant

    def handoffs(self, partition: int) -> Iterator[Device]:
        """Yield who stands in for the primaries: from other regions, then zones, then nodes, then the rest.

        They are found by walking other partitions from one that `partition` hashes to, so that the
        load of a failed device spreads over all.
        """
        near = list(self.primaries(partition))
        for place in _PLACES:
            wanted = {place(device) for device in self._holders} - {place(device) for device in near}
            walk = self._walk(partition) if wanted else iter(())
            for device in walk:
                if place(device) in wanted:
                    yield device
                    near.append(device)
                    wanted.remove(place(device))
                    if not wanted:
                        break

    def _walk(self, partition: int) -> Iterator[Device]:
        """Yield the devices of other partitions, starting somewhere that depends on `partition`."""
        count = self.partition_count
        digest = md5(str(partition).encode(), usedforsecurity=False).digest()
        start = struct.unpack_from(">I", digest)[0] >> (32 - self.part_power)
        stride = count // _LONGEST_WALK or 1
        wrapped = stride - (count - start) % stride
        for other in chain(range(start, count, stride), range(wrapped, start, stride)):
            for row in self.replica_rows:
                if other < len(row):
                    yield self.devices[row[other]]  # type: ignore[misc]  # see the invariant


_PLACES: tuple[Callable[[Device], Hashable], ...] = (
    lambda device: device.region,
    lambda device: (device.region, device.zone),
    lambda device: (device.region, device.zone, device.ip),
    lambda device: device.id,
)
