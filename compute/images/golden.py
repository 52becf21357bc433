"""Golden volumes: an image as the snapshot of a volume, made once, so that volumes of the image are clones of it.

    image 5f0e… -> volume image-5f0e…, snapshot golden

A volume of that name without the snapshot is one that did not become whole: it is removed, and made anew. What is in
the store is compared with the digest that the image has while it is read. The volume of a deleted image goes when no
clone reads through it any more. `goldens` has what is recorded of it.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection

from cluster.controlplane.database import retried
from cluster.telemetry.log import get_logger
from compute.errors import ComputeError, Unavailable
from compute.images import contents, conversion, goldens, images
from compute.images.contents import Content
from compute.images.conversion import NoConverter, Source
from compute.images.errors import NoSuchImage, Refused
from compute.images.formats import declared
from compute.images.goldens import Golden
from compute.images.records import Image
from compute.images.uploads import Dock

SNAPSHOT = "golden"
SECTOR = 512
PIECE = 4 << 20  # bytes that are written to a volume at once: a chunk
_SPARE = 1 << 30  # bytes of the scratch directory's disk that are left to others
_OWN_BYTES = frozenset((*declared.PLAIN, declared.ISO))

_log = get_logger("images")


class VolumeFailed(Exception):
    """The gateway refuses, or does not answer; it may later."""


class Disk(Protocol):
    """A volume that is open."""

    def write_at(self, offset: int, data: memoryview) -> None:
        """Write. Raise OSError."""

    def close(self) -> None:
        """Make durable what was written. Raise OSError."""


class Volumes(Protocol):
    """What is needed of a block gateway. All methods raise VolumeFailed."""

    def has(self, name: str) -> bool:
        """Tell whether there is a volume of this name."""

    def has_snapshot(self, name: str, snapshot: str) -> bool:
        """Tell whether a volume is there, and has this snapshot."""

    def create(self, name: str, size: int) -> None:
        """Make a volume that reads as zeros."""

    def open(self, name: str) -> Disk:
        """Open a volume, to write to it."""

    def uri(self, name: str) -> str:
        """Return where NBD clients find a volume."""

    def snapshot(self, name: str, snapshot: str) -> None:
        """Keep a volume as it is."""

    def remove(self, name: str) -> bool:
        """Remove a volume with its snapshots; tell whether it is gone: not while clones read through it."""


def name_of(image_id: str) -> str:
    """Return the name of the volume of an image."""
    return f"image-{image_id}"


def size_of(image: Image) -> int:
    """Return how many bytes the volume of an image has."""
    return -(-(image.virtual_size or 0) // SECTOR) * SECTOR


class GoldenMaker:
    """Makes volumes of images, and removes those of deleted ones."""

    def __init__(self, dock: Dock, volumes: Volumes, scratch: Path) -> None:
        self._dock = dock
        self._volumes = volumes
        self._scratch = scratch  # a directory of the service's own
        self._open: Golden | None = None  # claimed, and not ended yet

    def __repr__(self) -> str:
        return f"GoldenMaker({self._volumes})"

    def prepare(self) -> None:
        """Remove what an earlier process left in the scratch directory."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True, mode=0o700)

    def step(self) -> bool:
        """Make the volume that has been wanted longest; tell whether there was one."""
        dock = self._dock
        if self._open is not None:  # the last step could not note how it ended
            self._not_now(self._open, VolumeFailed("it was interrupted"))
            self._release(self._open)
            self._open = None
        with dock.database.reading() as connection:
            if not goldens.any_due(connection, dock.clock_us()):
                return False
        golden = retried(dock.database, lambda connection: goldens.claim(connection, dock.worker_id, dock.clock_us()))
        if golden is None:
            return False
        self._open = golden
        self._end(golden)
        self._release(golden)
        self._open = None
        return True

    def _end(self, golden: Golden) -> None:
        """Make a volume, and note what became of it."""
        try:
            self._make(golden)
        except (VolumeFailed, Unavailable, NoConverter, OSError) as error:
            _log.warning("golden_delayed", image=golden.image_id, attempt=golden.attempts, error=error)
            self._not_now(golden, error)
        except NoSuchImage:
            pass  # deleted meanwhile: its row says so
        except ComputeError as error:
            self._failed(golden, str(error))

    def remove_unwanted(self) -> None:
        """Remove the volumes of deleted images, as far as nobody reads through them."""
        dock = self._dock
        with dock.database.reading() as connection:
            waiting = goldens.unwanted(connection)
        for image_id in waiting:
            try:
                is_gone = self._volumes.remove(name_of(image_id))
            except VolumeFailed as error:
                _log.warning("golden_left", image=image_id, error=error)
                is_gone = False
            retried(dock.database, partial(_note_removal, image_id, is_gone, dock.clock_us()))

    def _make(self, golden: Golden) -> None:
        dock, name = self._dock, name_of(golden.image_id)
        with dock.database.reading() as connection:
            image = images.get(connection, golden.image_id)
            content = contents.get(connection, image.content_key or "")
        if content is None or not image.virtual_size:
            raise Refused(f"Image {image.id} has no disk that a volume can be made of.")
        size = size_of(image)
        if not self._volumes.has_snapshot(name, SNAPSHOT):
            if self._volumes.has(name) and not self._volumes.remove(name):
                raise VolumeFailed(f"{name} cannot be removed")
            self._volumes.create(name, size)
            self._fill(image, content, name)
            self._volumes.snapshot(name, SNAPSHOT)

        def note(connection: Connection) -> bool:
            return goldens.finish(connection, image.id, dock.worker_id, size, dock.clock_us())

        if retried(dock.database, note):
            _log.info("golden_made", image=image.id, volume=name, size=size)

    def _fill(self, image: Image, content: Content, name: str) -> None:
        if image.disk_format in _OWN_BYTES:
            disk = self._volumes.open(name)
            try:
                _write(self._verified(content), disk)
            finally:
                disk.close()
            return
        assert image.disk_format is not None
        assert image.virtual_size is not None
        with self._directory(content.digest.size) as directory:
            source = Source(directory / "image", image.disk_format, image.virtual_size)
            with source.path.open("xb") as file:
                for piece in self._verified(content):
                    file.write(piece)
            conversion.check(source)
            conversion.write_to(source, self._volumes.uri(name))

    def _verified(self, content: Content) -> Iterator[bytes]:
        """Yield a content. Raise Refused at its end when it is not what it was."""
        digest = hashlib.sha512()
        for piece in self._dock.store.read(content.key, 0, content.digest.size):
            digest.update(piece)
            yield piece
        if digest.hexdigest() != content.digest.hash_value:
            raise Refused("The data in the store is not what was brought in: its digest differs.")

    @contextmanager
    def _directory(self, size: int) -> Iterator[Path]:
        """Give a directory that nothing else is in, and remove it. Raise OSError when `size` bytes do not fit."""
        free = shutil.disk_usage(self._scratch).free
        if free < size + _SPARE:
            raise OSError(f"the scratch directory {self._scratch} has {free} bytes left, and {size} are needed")
        with tempfile.TemporaryDirectory(dir=self._scratch) as directory:
            yield Path(directory)

    def _not_now(self, golden: Golden, error: Exception) -> None:
        if golden.attempts >= goldens.ATTEMPTS:
            self._failed(golden, f"The volume could not be made: {error}")
            return
        dock = self._dock

        def put_back(connection: Connection) -> None:
            if goldens.is_claimed(connection, golden.image_id, dock.worker_id):
                goldens.want_again(connection, golden, dock.clock_us())

        retried(dock.database, put_back)

    def _release(self, golden: Golden) -> None:
        dock = self._dock

        def note(connection: Connection) -> None:
            goldens.release(connection, golden.image_id, dock.worker_id, dock.clock_us())

        retried(dock.database, note)

    def _failed(self, golden: Golden, message: str) -> None:
        dock = self._dock
        _log.warning("golden_failed", image=golden.image_id, error=message)

        def note(connection: Connection) -> bool:
            return goldens.fail(connection, golden.image_id, dock.worker_id, message, dock.clock_us())

        if not retried(dock.database, note):
            return  # it is there after all, or not wanted any more: others see to the volume
        try:
            self._volumes.remove(name_of(golden.image_id))
        except VolumeFailed as error:
            _log.warning("golden_left", image=golden.image_id, error=error)  # the next attempt removes it


def _write(pieces: Iterator[bytes], disk: Disk) -> None:
    """Write `pieces` from the beginning on; what is zero anyhow is left out."""
    buffer, offset, zeros = bytearray(), 0, bytes(PIECE)
    for piece in pieces:
        buffer += piece
        while len(buffer) >= PIECE:
            if buffer[:PIECE] != zeros:
                disk.write_at(offset, memoryview(bytes(buffer[:PIECE])))
            del buffer[:PIECE]
            offset += PIECE
    if buffer:
        buffer += bytes(-len(buffer) % SECTOR)
        disk.write_at(offset, memoryview(bytes(buffer)))


def _note_removal(image_id: str, is_gone: bool, now_us: int, connection: Connection) -> None:
    if is_gone:
        goldens.forget(connection, image_id)
    else:
        goldens.postpone(connection, image_id, now_us)
