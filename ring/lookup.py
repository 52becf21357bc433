"""Where a partition's replicas are, and who stands in for them. A lookup is a shift and an index.

Invariant: every entry of every row is the id of a device that is there; `Ring` refuses others when it
is made, so that no lookup can fail.
Handoffs: OpenStack Swift, swift/common/ring/ring.py, `get_more_nodes`: the same devices in the same order.
"""

import struct
from array import array
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import md5
from itertools import chain

from ring import planes
from ring.device import Device
from ring.errors import RingError
from ring.hashing import partition_of

_PART_POWER_LIMIT = 32  # bits of a key that tell its partition
_LONGEST_WALK = 65536  # partitions that a search for handoffs looks at; beyond it, it strides


@dataclass(frozen=True, slots=True, eq=False)
class Ring:
    """One version of a placement. Compared by identity: two versions are never equal."""

    part_power: int
    devices: tuple[Device | None, ...]  # by device id; None: removed, its id may come back
    replica_rows: tuple["memoryview[int]", ...]  # format "H" or "I"
    # row[partition] = device id; with 2.5 replicas the third row covers half of the partitions
    version: int = 1
    next_part_power: int | None = None  # while the part power is being increased
    _holders: tuple[Device, ...] = field(init=False, repr=False)  # devices that hold any partition
    _table: bytes = field(init=False, repr=False)  # the rows once more, by partition: one look for all replicas
    _entry: struct.Struct = field(init=False, repr=False)  # of `_table`, for one partition

    def __post_init__(self) -> None:
        if not 0 <= self.part_power <= _PART_POWER_LIMIT:
            raise RingError(f"a ring's part power is from 0 to {_PART_POWER_LIMIT}, not {self.part_power}")
        self._check_lengths()
        by_id = {device.id: device for device in self.devices if device is not None}
        used = set[int]().union(*map(planes.values, self.replica_rows))
        if not used <= by_id.keys():
            raise RingError(f"partitions are on device {min(used - by_id.keys())}, which the ring lacks")
        object.__setattr__(self, "_holders", tuple(by_id[device_id] for device_id in sorted(used)))
        rows = _completed(self.replica_rows)
        object.__setattr__(self, "_table", planes.interleave(rows))
        object.__setattr__(self, "_entry", struct.Struct(f"={len(rows)}{rows[0].format}"))

    def _check_lengths(self) -> None:
        lengths = [len(row) for row in self.replica_rows] or [0]
        if any(length != self.partition_count for length in (lengths[0], *lengths[:-1])):
            raise RingError(f"a ring of part power {self.part_power} needs {self.partition_count} partitions")
        if not 0 < lengths[-1] <= self.partition_count:
            raise RingError(f"the last replica covers {lengths[-1]} of {self.partition_count} partitions")

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
        entry = self._entry
        device_ids = entry.unpack_from(self._table, partition * entry.size)
        if len(set(device_ids)) < len(device_ids):
            device_ids = tuple(dict.fromkeys(device_ids))
        return tuple(map(self.devices.__getitem__, device_ids))  # type: ignore[arg-type]  # see the invariant

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


def _completed(rows: Sequence["memoryview[int]"]) -> list["memoryview[int]"]:
    """Return `rows` in one format and at full length: where the last one ends, the first goes on."""
    first, widest = rows[0], max(row.format for row in rows)
    return [
        row
        if row.format == widest and len(row) == len(first)
        else memoryview(array(widest, [*row, *first[len(row) :]]))
        for row in rows
    ]


_PLACES: tuple[Callable[[Device], Hashable], ...] = (
    lambda device: device.region,
    lambda device: (device.region, device.zone),
    lambda device: (device.region, device.zone, device.ip),
    lambda device: device.id,
)
