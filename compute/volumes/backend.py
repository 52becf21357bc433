"""What the service needs of others: of the block gateway, of the place where backups are, and of images.

All calls block, and may be made again: what is there already, or gone already, is no error. So an operation that was
interrupted is carried out once more from its beginning. Sizes are bytes. What goes wrong is in `compute.stored`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from compute.stored import Removal, Stored


class Backend(Protocol):
    """The block gateway. Methods raise BackendError."""

    def find(self, name: str) -> Stored | None:
        """Return a volume; None: there is none. `clones` of its snapshots are not told."""

    def list(self) -> Sequence[Stored]:
        """Return all volumes of the cluster, whoever made them."""

    def create(self, name: str, size: int, encrypted: bool) -> None:
        """Make an empty volume."""

    def clone(self, parent: str, snapshot: str, name: str) -> None:
        """Make a volume that begins as a snapshot. Raise NoSuch."""

    def resize(self, name: str, size: int) -> None:
        """Make a volume larger, or leave it. Its clients come back and see it."""

    def limit(self, name: str, limits: Mapping[str, int]) -> None:
        """Set what clients of a volume may do: fields of `blockgw.catalog.volume.Limits`."""

    def snapshot(self, name: str, snapshot: str) -> None:
        """Keep a volume as it is now."""

    def delete_snapshot(self, name: str, snapshot: str) -> Removal:
        """Give up a snapshot, unless clones read through it."""

    def roll_back(self, name: str, snapshot: str) -> None:
        """Make a volume as it was. Raise InUse when it has clients, NoSuch."""

    def remove(self, name: str) -> Removal:
        """Have nobody open a volume any more; delete it with its snapshots, unless clones read through them.

        Raise InUse when it has clients.
        """

    def dismiss(self, name: str, holder: str) -> None:
        """Have nobody use a volume as NAME~HOLDER any more: connections are cut, and there are no new ones."""

    def flatten(self, name: str) -> None:
        """Begin to make a clone independent of its parent."""

    def put_aside(self, name: str, keep_s: float) -> None:
        """Put a volume in the trash, from where an operator may take it back for a while. Raise InUse."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where backups of a project are."""

    url: str  # s3://BUCKET/PREFIX or swift://…
    endpoint: str | None = None  # None: as the address says

    def document(self) -> dict[str, Any]:
        """Return it as it is kept."""
        return {"url": self.url, "endpoint": self.endpoint}


@dataclass(frozen=True, slots=True)
class WhatToTake:
    """A backup that is wanted."""

    volume: str
    snapshot: str | None  # None: the volume as it is
    place: Place
    full: bool  # all is read, not only what has changed
    sealed: bool  # with the cluster's key: those of a volume are all sealed, or none is


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that is whole."""

    location: Mapping[str, Any]  # what `restore` and `delete` find it by
    object_count: int


class Archive(Protocol):
    """Backups in buckets. Methods raise BackendError."""

    def known(self, volume: str, place: Place) -> Sequence[str]:
        """Return the names of the backups of a volume that a place has."""

    def take(self, what: WhatToTake, known: Sequence[str]) -> Taken:
        """Send what a place lacks of a volume as it is, or of its snapshot.

        One that is there and not `known` is what an interrupted call has left: it is the one that is returned.
        """

    def restore(self, location: Mapping[str, Any], volume: str) -> None:
        """Make a volume what it was, whatever it is now."""

    def delete(self, location: Mapping[str, Any]) -> None:
        """Delete a backup, and what no other one has."""


class Mover(Protocol):
    """Moves data between volumes. Methods raise BackendError."""

    def copy(self, source: str, target: str) -> None:
        """Make volume `target` what `source`, VOLUME or VOLUME@SNAPSHOT, is; zeros are beyond its end."""


@dataclass(frozen=True, slots=True)
class Golden:
    """An image as a snapshot that volumes are clones of."""

    volume: str
    snapshot: str
    size: int


@dataclass(frozen=True, slots=True)
class Image:
    """What there is to know of an image before a volume is made of it."""

    id: str
    name: str | None
    status: str
    min_disk: int  # GiB
    size: int  # of the file
    virtual_size: int  # of the disk; 0: not known yet
    about: Mapping[str, str] = field(default_factory=dict)  # what volumes keep of it


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image that a volume becomes."""

    id: str
    name: str
    owner: str
    disk_format: str
    container_format: str
    visibility: str
    protected: bool
    properties: Mapping[str, str] = field(default_factory=dict)


class Images(Protocol):
    """The image service. Methods raise BackendError."""

    def show(self, image_id: str, token: str) -> Image | None:
        """Return an image that who has `token` may use; None: there is none."""

    def golden(self, image_id: str) -> Golden:
        """Return an image as a snapshot. Raise NotYet while it becomes one, Refused when it cannot."""

    def announce(self, wanted: NewImage) -> None:
        """Have an image be there that has no data yet."""

    def upload(self, wanted: NewImage, source: str) -> None:
        """Make an image of `source`, VOLUME@SNAPSHOT, announced or not."""

    def discard(self, image_id: str) -> None:
        """Delete an image that did not become whole."""


class Servers(Protocol):
    """The compute service."""

    def extended(self, volume_id: str, server_ids: Sequence[str]) -> None:
        """Tell servers that a volume which they have has grown. What goes wrong is reported, and no error."""

    def attachment_of(self, server_id: str, volume_id: str) -> str | None:
        """Return the attachment by which a server has a volume; None: it has it not. Raise BackendError."""
