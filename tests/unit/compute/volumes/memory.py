"""The gateway, backups, images in memory, as `compute.volumes.backend` describes them; any call may end a process."""

import itertools
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from compute.stored import InUse, NoSuch, NotYet, Refused, Removal, Stored, StoredSnapshot, Unreachable
from compute.volumes.backend import Golden, Image, NewImage, Place, Taken, WhatToTake
from tests.unit.compute.crashes import Tripwire


@dataclass
class MemorySnapshot:
    id: str
    size: int
    data: bytes


@dataclass
class MemoryVolume:
    id: str
    name: str
    size: int
    encrypted: bool = False
    data: bytes = b""
    parent: str | None = None  # id of a snapshot
    trashed: bool = False
    limits: dict[str, int] = field(default_factory=dict)
    snapshots: dict[str, MemorySnapshot] = field(default_factory=dict)


class MemoryGateway:
    """See `backend.Backend`."""

    def __init__(self, wire: Tripwire) -> None:
        self._wire = wire
        self.volumes: dict[str, MemoryVolume] = {}
        self.in_use: set[str] = set()  # volumes that have clients
        self.dismissed: list[tuple[str, str]] = []  # volumes, and for whom they are not any more

    def find(self, name: str) -> Stored | None:
        return self._wire.around(lambda: self._find(name))

    def list(self) -> Sequence[Stored]:
        return self._wire.around(lambda: [self._stored(each) for each in self.volumes.values()])

    def create(self, name: str, size: int, encrypted: bool) -> None:
        self._wire.around(lambda: self.volumes.setdefault(name, MemoryVolume(_id(), name, size, encrypted)))

    def clone(self, parent: str, snapshot: str, name: str) -> None:
        self._wire.around(lambda: self._clone(parent, snapshot, name))

    def resize(self, name: str, size: int) -> None:
        self._wire.around(lambda: self._resize(name, size))

    def limit(self, name: str, limits: Mapping[str, int]) -> None:
        self._wire.around(lambda: self._get(name).limits.update(limits))

    def snapshot(self, name: str, snapshot: str) -> None:
        self._wire.around(lambda: self._snapshot(name, snapshot))

    def delete_snapshot(self, name: str, snapshot: str) -> Removal:
        return self._wire.around(lambda: self._delete_snapshot(name, snapshot))

    def roll_back(self, name: str, snapshot: str) -> None:
        self._wire.around(lambda: self._roll_back(name, snapshot))

    def remove(self, name: str) -> Removal:
        return self._wire.around(lambda: self._remove(name))

    def flatten(self, name: str) -> None:
        self._wire.around(lambda: setattr(self._get(name), "parent", None))

    def dismiss(self, name: str, holder: str) -> None:
        self._wire.around(lambda: self.dismissed.append((name, holder)))

    def put_aside(self, name: str, keep_s: float) -> None:
        self._wire.around(lambda: setattr(self._get(name), "trashed", True))

    def clones_of(self, volume: MemoryVolume, snapshot: str | None = None) -> Sequence[str]:
        ids = [kept.id for name, kept in volume.snapshots.items() if snapshot in (None, name)]
        return [each.name for each in self.volumes.values() if each.parent in ids]

    def _find(self, name: str) -> Stored | None:
        return self._stored(self.volumes[name]) if name in self.volumes else None

    def _get(self, name: str) -> MemoryVolume:
        if name not in self.volumes:
            raise NoSuch(f"there is no volume {name}")
        return self.volumes[name]

    def _clone(self, parent: str, snapshot: str, name: str) -> None:
        if name in self.volumes:
            return
        source = self._get(parent)
        if snapshot not in source.snapshots:
            raise NoSuch(f"{parent} has no snapshot {snapshot}")
        kept = source.snapshots[snapshot]
        self.volumes[name] = MemoryVolume(_id(), name, kept.size, source.encrypted, kept.data, kept.id)

    def _resize(self, name: str, size: int) -> None:
        volume = self._get(name)
        volume.size = max(volume.size, size)

    def _snapshot(self, name: str, snapshot: str) -> None:
        volume = self._get(name)
        volume.snapshots.setdefault(snapshot, MemorySnapshot(_id(), volume.size, volume.data))

    def _delete_snapshot(self, name: str, snapshot: str) -> Removal:
        if name not in self.volumes or snapshot not in self.volumes[name].snapshots:
            return Removal.GONE
        if self.clones_of(self.volumes[name], snapshot):
            return Removal.KEPT
        del self.volumes[name].snapshots[snapshot]
        return Removal.GONE

    def _roll_back(self, name: str, snapshot: str) -> None:
        volume = self._get(name)
        if name in self.in_use:
            raise InUse(f"{name} has 1 connections")
        if snapshot not in volume.snapshots:
            raise NoSuch(f"{name} has no snapshot {snapshot}")
        volume.data, volume.size = volume.snapshots[snapshot].data, volume.snapshots[snapshot].size

    def _remove(self, name: str) -> Removal:
        if name not in self.volumes:
            return Removal.GONE
        if name in self.in_use:
            raise InUse(f"{name} has 1 connections")
        self.volumes[name].trashed = True
        if self.clones_of(self.volumes[name]):
            return Removal.KEPT
        del self.volumes[name]
        return Removal.GONE

    def _stored(self, volume: MemoryVolume) -> Stored:
        kept = tuple(
            StoredSnapshot(each.id, name, each.size, tuple(self.clones_of(volume, name)))
            for name, each in volume.snapshots.items()
        )
        return Stored(
            volume.id,
            volume.name,
            volume.size,
            not volume.trashed,
            False,
            volume.parent is not None,
            volume.encrypted,
            kept,
        )


class MemoryArchive:
    """See `backend.Archive`."""

    def __init__(self, wire: Tripwire, gateway: MemoryGateway) -> None:
        self._wire, self._gateway = wire, gateway
        self.backups: dict[str, bytes] = {}  # by place, volume and number
        self.sealed: set[str] = set()
        self._numbers = itertools.count(1)

    def known(self, volume: str, place: Place) -> Sequence[str]:
        return self._wire.around(lambda: self._known(volume, place))

    def take(self, what: WhatToTake, known: Sequence[str]) -> Taken:
        return self._wire.around(lambda: self._take(what, known))

    def restore(self, location: Mapping[str, Any], volume: str) -> None:
        self._wire.around(lambda: self._restore(str(location["key"]), volume))

    def delete(self, location: Mapping[str, Any]) -> None:
        self._wire.around(lambda: self.backups.pop(str(location["key"]), None))

    def _known(self, volume: str, place: Place) -> "list[str]":
        return [key for key in self.backups if key.startswith(f"{place.url} {volume} ")]

    def _take(self, what: WhatToTake, known: Sequence[str]) -> Taken:
        left = [key for key in self._known(what.volume, what.place) if key not in known]
        if left:
            return Taken({"key": left[-1]}, 1)
        source = self._gateway._get(what.volume)
        key = f"{what.place.url} {what.volume} {next(self._numbers)}"
        if what.sealed:
            self.sealed.add(key)
        self.backups[key] = source.data if what.snapshot is None else source.snapshots[what.snapshot].data
        return Taken({"key": key}, 1)

    def _restore(self, key: str, volume: str) -> None:
        if key not in self.backups:
            raise Refused(f"there is no backup {key}")
        self._gateway._get(volume).data = self.backups[key]


class MemoryMover:
    """See `backend.Mover`."""

    def __init__(self, wire: Tripwire, gateway: MemoryGateway) -> None:
        self._wire, self._gateway = wire, gateway

    def copy(self, source: str, target: str) -> None:
        self._wire.around(lambda: self._copy(source, target))

    def _copy(self, source: str, target: str) -> None:
        name, _at, snapshot = source.partition("@")
        self._gateway._get(target).data = self._gateway._get(name).snapshots[snapshot].data


class MemoryImages:
    """See `backend.Images`."""

    def __init__(self, wire: Tripwire, gateway: MemoryGateway) -> None:
        self._wire, self._gateway = wire, gateway
        self.images: dict[str, Image] = {}
        self.data: dict[str, bytes] = {}
        self.uploaded: dict[str, NewImage] = {}
        self.converting: set[str] = set()
        self.announced: set[str] = set()

    def put(
        self,
        size: int = 1 << 20,
        data: bytes = b"image",
        about: Mapping[str, str] = MappingProxyType({}),
        **attributes: Any,
    ) -> str:
        """Have an image, which is nobody's in particular."""
        image_id = str(uuid.uuid4())
        kept = {"image_id": image_id, "image_name": "cirros", "disk_format": "raw", "size": str(len(data)), **about}
        known = {"name": "cirros", "status": "active", "min_disk": 0, "size": len(data), "virtual_size": size}
        self.images[image_id] = Image(id=image_id, about=kept, **{**known, **attributes})
        volume = MemoryVolume(_id(), f"image-{image_id}", size, data=data)
        volume.snapshots["golden"] = MemorySnapshot(_id(), size, data)
        self._gateway.volumes[volume.name] = volume
        return image_id

    def show(self, image_id: str, token: str) -> Image | None:
        return self.images.get(image_id)

    def golden(self, image_id: str) -> Golden:
        return self._wire.around(lambda: self._golden(image_id))

    def announce(self, wanted: NewImage) -> None:
        self.announced.add(wanted.id)

    def upload(self, wanted: NewImage, source: str) -> None:
        self._wire.around(lambda: self._upload(wanted, source))

    def discard(self, image_id: str) -> None:
        self._wire.around(lambda: (self.uploaded.pop(image_id, None), self.data.pop(image_id, None)))

    def _golden(self, image_id: str) -> Golden:
        if image_id in self.converting:
            raise NotYet(f"image {image_id} is being converted")
        if image_id not in self.images:
            raise Refused(f"there is no image {image_id}")
        return Golden(f"image-{image_id}", "golden", self.images[image_id].virtual_size)

    def _upload(self, wanted: NewImage, source: str) -> None:
        name, _at, snapshot = source.partition("@")
        self.uploaded[wanted.id] = wanted
        self.data[wanted.id] = self._gateway._get(name).snapshots[snapshot].data


class MemoryServers:
    """See `backend.Servers`."""

    def __init__(self) -> None:
        self.attachments: dict[tuple[str, str], str] = {}  # by server and volume
        self.asked: list[str] = []
        self.is_away = False

    def extended(self, volume_id: str, server_ids: Sequence[str]) -> None:
        pass

    def attachment_of(self, server_id: str, volume_id: str) -> str | None:
        if self.is_away:
            raise Unreachable("no answer")
        self.asked.append(server_id)
        return self.attachments.get((server_id, volume_id))


def _id() -> str:
    return uuid.uuid4().hex
