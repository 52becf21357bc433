"""Volumes and snapshots as values, and what may be done to them. Pure.

A *layer* is what was written to a volume from one snapshot to the next. A volume's chain names its layers, first the
one that is written to; what a layer lacks is in the next. A snapshot is the chain as it was: taking one puts a new
layer in front, and copies nothing. A clone begins with a new layer in front of a snapshot's chain. All volumes that
share layers are one *family*: a chunk of any of them lies on the same devices, so it is copied up without the network.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from blockgw.catalog.errors import InvalidRequest, NoSuchSnapshot, Overtaken, SnapshotInUse, VolumeInUse

Chain = tuple[int, ...]  # layers, the newest first

SECTOR = 512  # sizes are multiples of it
ENCRYPTED_SECTOR = 4096  # likewise, of encrypted ones
SIZE_LIMIT = 1 << 50  # bytes: a chunk's number has 28 bits then
CHAIN_LIMIT = 64  # layers: each costs a look per chunk that is touched
NAME_LIMIT = 200  # bytes
BURST_LIMIT_S = 3600.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]*")


class State(Enum):
    """Of a volume."""

    AVAILABLE = "available"
    TRASHED = "trashed"  # nobody can open it; it may be had back
    DELETING = "deleting"  # its layers are being dropped


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A volume as it was."""

    id: str  # 32 hexadecimal digits
    name: str
    size: int  # bytes, of the volume at that time
    chain: Chain
    created_us: int
    deleting: bool = False  # no clone may begin any more


@dataclass(frozen=True, slots=True)
class Limits:
    """How much clients of a volume may do, by second; 0: as much as they can."""

    iops: int = 0  # requests of any kind that move or change data
    read_iops: int = 0
    write_iops: int = 0
    bandwidth: int = 0  # bytes
    read_bandwidth: int = 0
    write_bandwidth: int = 0
    burst_s: float = 1.0  # of what was not used is saved up, and may be used at once

    @property
    def rates(self) -> tuple[int, ...]:
        """All but the burst."""
        return (
            self.iops, self.read_iops, self.write_iops, self.bandwidth, self.read_bandwidth, self.write_bandwidth
        )


UNLIMITED = Limits()


@dataclass(frozen=True, slots=True)
class Parent:
    """The snapshot that a clone began with."""

    volume_id: str
    snapshot_id: str


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume."""

    id: str  # 32 hexadecimal digits
    name: str
    size: int  # bytes
    family: str  # 32 hexadecimal digits
    chain: Chain
    created_us: int
    state: State = State.AVAILABLE
    snapshots: tuple[Snapshot, ...] = ()  # in the order in which they were taken
    parent: Parent | None = None
    epoch: int = 0  # under which it was opened last: who has it under an older one has lost it
    settled: bool = True  # all replicas agree on what they have, but for what the holder of the lease is writing
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    purge_us: int = 0  # when it is deleted, if it is in the trash; 0: never by itself
    flattening: bool = False  # it is to be made independent of its parent
    limits: Limits = UNLIMITED
    dismissed: tuple[str, ...] = ()  # for whom it is opened no more (blockgw.holders), the last ones
    key: str = field(default="", repr=False)  # wrapped (blockgw.encryption), hexadecimal; empty: it is not encrypted

    @property
    def layer(self) -> int:
        """The layer that is written to."""
        return self.chain[0]

    @property
    def chains(self) -> tuple[Chain, ...]:
        """Its own, and those of its snapshots."""
        return (self.chain, *(snapshot.chain for snapshot in self.snapshots))

    def snapshot(self, name: str) -> Snapshot:
        """Return the snapshot called `name`. Raise NoSuchSnapshot."""
        for snapshot in self.snapshots:
            if snapshot.name == name:
                return snapshot
        raise NoSuchSnapshot(f"{self.name} has no snapshot {name}")


def taken_over(volume: Volume, epoch: int) -> Volume:
    """Return the volume as it is from when it is opened under `epoch`. Raise Overtaken when somebody did so later."""
    if volume.epoch > epoch:
        raise Overtaken(f"{volume.name} was opened by another gateway")
    return replace(volume, epoch=epoch, settled=False)


def check_name(name: str) -> str:
    """Return `name` if volumes and snapshots may be called so. Raise InvalidRequest."""
    if not _NAME.fullmatch(name) or len(name.encode()) > NAME_LIMIT:
        raise InvalidRequest(f"{name!r} is no name: letters, digits and . _ : + -, at most {NAME_LIMIT}")
    return name


def check_size(size: int, encrypted: bool = False) -> int:
    """Return `size` if a volume may have it. Raise InvalidRequest."""
    sector = ENCRYPTED_SECTOR if encrypted else SECTOR
    if not 0 < size <= SIZE_LIMIT or size % sector:
        raise InvalidRequest(f"{size} bytes: a size is a multiple of {sector}, up to 1 PiB")
    return size


def with_snapshot(volume: Volume, snapshot_id: str, name: str, layer: int, now_us: int) -> Volume:
    """Return the volume after a snapshot was taken of it; `layer` is written to from now on."""
    check_name(name)
    if any(snapshot.name == name for snapshot in volume.snapshots):
        raise InvalidRequest(f"{volume.name} has a snapshot {name} already")
    if len(volume.chain) >= CHAIN_LIMIT:
        raise InvalidRequest(f"{volume.name} has {len(volume.chain)} layers: flatten it, or delete snapshots")
    snapshot = Snapshot(snapshot_id, name, volume.size, volume.chain, now_us)
    return replace(volume, chain=(layer, *volume.chain), snapshots=(*volume.snapshots, snapshot))


def marked_for_deletion(volume: Volume, name: str) -> Volume:
    """Return the volume with a snapshot of which no clone may begin any more."""
    doomed = volume.snapshot(name)
    return _with(volume, replace(doomed, deleting=True))


def spared(volume: Volume, name: str) -> Volume:
    """Return the volume after it was found that a snapshot cannot be deleted."""
    return _with(volume, replace(volume.snapshot(name), deleting=False))


def _with(volume: Volume, changed: Snapshot) -> Volume:
    kept = tuple(changed if snapshot.id == changed.id else snapshot for snapshot in volume.snapshots)
    return replace(volume, snapshots=kept)


def without_snapshot(volume: Volume, name: str) -> Volume:
    """Return the volume without a snapshot. Its layers stay in the chain: the volume reads through them."""
    doomed = volume.snapshot(name)
    return replace(volume, snapshots=tuple(kept for kept in volume.snapshots if kept.id != doomed.id))


def cloned(parent: Volume, snapshot: str, volume_id: str, name: str, layer: int, now_us: int) -> Volume:
    """Return a new volume that begins as a snapshot of `parent`."""
    origin = parent.snapshot(snapshot)
    if origin.deleting:
        raise SnapshotInUse(f"snapshot {snapshot} of {parent.name} is being deleted")
    return Volume(
        volume_id,
        check_name(name),
        origin.size,
        parent.family,
        (layer, *origin.chain),
        now_us,
        parent=Parent(parent.id, origin.id),
        key=parent.key,
    )


def rolled_back(volume: Volume, snapshot: str, layer: int) -> Volume:
    """Return the volume as a snapshot was; what was written since is given up, other snapshots stay."""
    origin = volume.snapshot(snapshot)
    return replace(volume, size=origin.size, chain=(layer, *origin.chain))


def resized(volume: Volume, size: int, may_shrink: bool) -> Volume:
    """Return the volume with another size."""
    check_size(size, bool(volume.key))
    if size < volume.size and not may_shrink:
        raise InvalidRequest(f"{volume.name} has {volume.size} bytes; to cut off data it takes --shrink")
    return replace(volume, size=size)


def trashed(volume: Volume, purge_us: int = 0) -> Volume:
    """Return the volume after it was deleted, as long as it may be had back: until `purge_us`, or (0) as one likes."""
    require(volume, State.AVAILABLE)
    return replace(volume, state=State.TRASHED, purge_us=purge_us)


def restored(volume: Volume) -> Volume:
    """Return the volume after it was taken out of the trash."""
    require(volume, State.TRASHED)
    return replace(volume, state=State.AVAILABLE, purge_us=0)


def limited(volume: Volume, wanted: Mapping[str, float]) -> Volume:
    """Return the volume with some of its limits changed, by their names in `Limits`."""
    limits = replace(volume.limits, **{name: _limit(name, value) for name, value in wanted.items()})
    if min(limits.rates) < 0 or not 0 < limits.burst_s <= BURST_LIMIT_S:
        raise InvalidRequest(f"limits are not negative, and a burst is of more than 0 and up to {BURST_LIMIT_S:g} s")
    return replace(volume, limits=limits)


def _limit(name: str, value: float) -> Any:
    return float(value) if name == "burst_s" else int(value)


def given_up(before: Volume, after: Volume) -> list[int]:
    """Return the layers that a change leaves without a chain of this volume."""
    kept = {layer for chain in after.chains for layer in chain}
    return [layer for layer in dict.fromkeys(layer for chain in before.chains for layer in chain) if layer not in kept]


def without_layers(volume: Volume, layers: Collection[int]) -> Volume:
    """Return the volume that reads through some layers no more: what they have is in the one above."""

    def cut(chain: Chain) -> Chain:
        return tuple(layer for layer in chain if layer not in layers)

    snapshots = tuple(replace(snapshot, chain=cut(snapshot.chain)) for snapshot in volume.snapshots)
    return replace(volume, chain=cut(volume.chain), snapshots=snapshots)


def to_be_flattened(volume: Volume) -> Volume:
    """Return the volume after it was asked for that it be made independent of its parent."""
    require(volume, State.AVAILABLE)
    if volume.parent is None:
        raise InvalidRequest(f"{volume.name} is no clone, or shares nothing any more")
    return replace(volume, flattening=True)


def flattened(volume: Volume, shared: Collection[int]) -> Volume:
    """Return the volume without the layers that it shares with its parent; its snapshots keep them."""
    chain = tuple(layer for layer in volume.chain if layer not in shared)
    return independent(replace(volume, chain=chain, flattening=False), shared)


def independent(volume: Volume, shared: Collection[int]) -> Volume:
    """Return the volume without a parent, if it reads through none of the layers that it shared."""
    if any(layer in shared for chain in volume.chains for layer in chain):
        return volume
    return replace(volume, parent=None)


def require(volume: Volume, state: State) -> None:
    """Raise VolumeInUse when a volume is in another state."""
    if volume.state is not state:
        raise VolumeInUse(f"{volume.name} is {volume.state.value}, not {state.value}")
