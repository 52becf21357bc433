"""Volumes and snapshots as values, and what may be done to them. Pure.

A *layer* is what was written to a volume from one snapshot to the next. A volume's chain names its layers, first the
one that is written to; what a layer lacks is in the next. A snapshot is the chain as it was: taking one puts a new
layer in front, and copies nothing. A clone begins with a new layer in front of a snapshot's chain. All volumes that
share layers are one *family*: a chunk of any of them lies on the same devices, so it is copied up without the network.
"""

import re
from dataclasses import dataclass, field, replace
from enum import Enum

from blockgw.catalog.errors import InvalidRequest, NoSuchSnapshot, SnapshotInUse, VolumeInUse

Chain = tuple[int, ...]  # layers, the newest first

SECTOR = 512  # sizes are multiples of it
SIZE_LIMIT = 1 << 50  # bytes: a chunk's number has 28 bits then
CHAIN_LIMIT = 64  # layers: each costs a look per chunk that is touched
NAME_LIMIT = 200  # bytes
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
    settled: bool = True  # all replicas agree on what they have, but for what the holder of the lease is writing
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def layer(self) -> int:
        """The layer that is written to."""
        return self.chain[0]

    def snapshot(self, name: str) -> Snapshot:
        """Return the snapshot called `name`. Raise NoSuchSnapshot."""
        for snapshot in self.snapshots:
            if snapshot.name == name:
                return snapshot
        raise NoSuchSnapshot(f"{self.name} has no snapshot {name}")


def check_name(name: str) -> str:
    """Return `name` if volumes and snapshots may be called so. Raise InvalidRequest."""
    if not _NAME.fullmatch(name) or len(name.encode()) > NAME_LIMIT:
        raise InvalidRequest(f"{name!r} is no name: letters, digits and . _ : + -, at most {NAME_LIMIT}")
    return name


def check_size(size: int) -> int:
    """Return `size` if a volume may have it. Raise InvalidRequest."""
    if not 0 < size <= SIZE_LIMIT or size % SECTOR:
        raise InvalidRequest(f"{size} bytes: a size is a multiple of {SECTOR}, up to 1 PiB")
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
    )


def rolled_back(volume: Volume, snapshot: str, layer: int) -> Volume:
    """Return the volume as a snapshot was; what was written since is given up, other snapshots stay."""
    origin = volume.snapshot(snapshot)
    return replace(volume, size=origin.size, chain=(layer, *origin.chain))


def resized(volume: Volume, size: int, may_shrink: bool) -> Volume:
    """Return the volume with another size."""
    check_size(size)
    if size < volume.size and not may_shrink:
        raise InvalidRequest(f"{volume.name} has {volume.size} bytes; to cut off data it takes --shrink")
    return replace(volume, size=size)


def trashed(volume: Volume) -> Volume:
    """Return the volume after it was deleted, as long as it may be had back."""
    _require(volume, State.AVAILABLE)
    return replace(volume, state=State.TRASHED)


def restored(volume: Volume) -> Volume:
    """Return the volume after it was taken out of the trash."""
    _require(volume, State.TRASHED)
    return replace(volume, state=State.AVAILABLE)


def _require(volume: Volume, state: State) -> None:
    if volume.state is not state:
        raise VolumeInUse(f"{volume.name} is {volume.state.value}, not {state.value}")
