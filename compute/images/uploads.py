"""Data of an image as a client sends it: to be the image's at once (`upload`), or to be imported later (`stage`).

Three steps: a transaction that announces the object and takes the image into its state, the bytes, a transaction that
gives the image its data, or back its old state. No transaction waits for a client.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy import Connection

from cluster.controlplane.database import Database, retried
from cluster.telemetry.log import get_logger
from compute.errors import BadRequest, ComputeError, Gone, OverLimit, Unavailable
from compute.images import contents, goldens, images, limits
from compute.images.contents import Digest
from compute.images.errors import NoSuchImage
from compute.images.formats import declared
from compute.images.receiving import HASH_ALGO, Expected, receive
from compute.images.records import Image
from compute.images.settings import Settings
from compute.images.statuses import Status
from compute.images.store.interface import Store

BERTHS = 64  # contents that come in at the same time; each has a part in memory, others wait

_log = get_logger("images")


@dataclass(frozen=True, slots=True)
class Dock:
    """Where data comes in: what uploads and imports work with."""

    database: Database
    store: Store
    settings: Settings
    worker_id: str
    clock_us: Callable[[], int]
    leftovers: deque[str] = field(default_factory=deque)  # keys of objects that could not be undone: for the reaper
    berths: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(BERTHS))  # for data that comes in


@dataclass(frozen=True, slots=True)
class Begun:
    """Data that may come now."""

    image: Image  # as it was before
    key: str
    purpose: str
    room: int | None  # bytes that the project may have more; None: any number


def begin(
    connection: Connection, dock: Dock, image: Image, status: Status, purpose: str, size: int | None
) -> Begun:
    """Take an image into `status`, and announce the object. Raise WrongStatus, BadRequest, OverLimit."""
    if image.disk_format is None or image.container_format is None:
        raise BadRequest("Properties disk_format, container_format must be set prior to saving data.")
    if image.status is Status.QUEUED:
        limits.check_uploading(connection, image.owner, dock.settings.quota)
    room = limits.room(connection, image.owner, dock.settings.quota, purpose)
    if room is not None and (size or 1) > room:  # of data whose size is not known some must fit
        raise limits.over_room(purpose)
    now_us = dock.clock_us()
    key = contents.new_key(image.id)
    images.step(connection, image, status, now_us, content_key=key, failed_import=False)
    contents.begin(connection, key, image.owner, purpose, dock.worker_id, now_us)
    return Begun(image, key, purpose, room)


def bring_in(dock: Dock, begun: Begun, chunks: Iterable[bytes | memoryview], size: int | None) -> Digest:
    """Receive what was begun. Raise what `receive` raises."""
    settings = dock.settings
    if size is not None and size > settings.max_size:
        raise _too_large(settings)
    most, over = settings.max_size, _too_large(settings)
    if begun.room is not None and begun.room < most:
        most, over = begun.room, limits.over_room(begun.purpose)
    expected = Expected(
        begun.image.disk_format,
        begun.image.container_format,
        most,
        settings.max_virtual_size,
        size,
        over,
        late=begun.purpose == contents.STAGED,
    )
    with dock.berths:
        return receive(chunks, dock.store.begin(begun.key), expected)


def upload(dock: Dock, begun: Begun, chunks: Iterable[bytes | memoryview], size: int | None) -> None:
    """Make `chunks` the data of an image that is SAVING. Raise what `receive` raises, Gone, OverLimit."""
    with Undone(dock, begun.key):
        digest = bring_in(dock, begun, chunks, size)
        retried(dock.database, lambda connection: _activate(connection, dock, begun, digest))


def stage(dock: Dock, begun: Begun, chunks: Iterable[bytes | memoryview], size: int | None) -> None:
    """Keep `chunks` for an import of an image that is UPLOADING. Raise what `receive` raises, Gone, OverLimit."""
    with Undone(dock, begun.key):
        digest = bring_in(dock, begun, chunks, size)

        def note(connection: Connection) -> None:
            image = still(connection, begun.key, Status.UPLOADING)
            limits.check_room(connection, image.owner, dock.settings.quota, contents.STAGED, digest.size)
            contents.complete(connection, begun.key, dock.worker_id, digest)
            images.touch(connection, image, dock.clock_us())

        retried(dock.database, note)


def _activate(connection: Connection, dock: Dock, begun: Begun, digest: Digest) -> None:
    image = still(connection, begun.key, Status.SAVING)
    contents.complete(connection, begun.key, dock.worker_id, digest)
    activate(connection, dock, image, digest)


def activate(connection: Connection, dock: Dock, image: Image, digest: Digest) -> None:
    """Make an image of which all data is there ACTIVE. Raise OverLimit."""
    settings, now_us = dock.settings, dock.clock_us()
    limits.check_room(connection, image.owner, settings.quota, contents.DATA, digest.size)
    images.step(
        connection,
        image,
        Status.ACTIVE,
        now_us,
        size=digest.size,
        virtual_size=digest.virtual_size,
        checksum=digest.checksum,
        hash_algo=HASH_ALGO,
        hash_value=digest.hash_value,
        failed_import=False,
    )
    if settings.goldens_at_once and image.disk_format in declared.DISKS and digest.virtual_size:
        goldens.want(connection, image.id, now_us)


def still(connection: Connection, key: str, status: Status) -> Image:
    """Return the image that `key` is written for. Raise Gone when it was deleted, or given up, meanwhile."""
    image_id = key.partition("/")[0]
    try:
        image = images.get(connection, image_id)
    except NoSuchImage:
        raise Gone(
            f"Image {image_id} could not be found after upload. The image may have been deleted during the upload."
        ) from None
    if image.content_key != key or image.status is not status:
        raise Gone(f"The data of image {image_id} took too long to arrive, and was given up.")
    return image


def give_up(connection: Connection, dock: Dock, key: str, removed_until_us: int = 0) -> bool:
    """Have an object removed that will not be whole. Tell whether it is not whole.

    Its image is as it was before. One that is being imported stays so: what becomes of that its task decides.
    """
    if not contents.give_up(connection, key, removed_until_us):
        return False  # it was whole after all: the answer to a commit was lost
    for status in (Status.SAVING, Status.UPLOADING):
        with suppress(Gone):
            image = still(connection, key, status)
            images.step(connection, image, Status.QUEUED, dock.clock_us(), content_key=None)
    return True


def undo(dock: Dock, key: str, is_quiet: bool = False) -> None:
    """Give up an object that will not be whole, and remove what there is of it. Raise Unavailable.

    With `is_quiet` the store has answered all that it was asked: the object does not come back.
    """
    until_us = 0 if is_quiet else dock.clock_us() + contents.UNDER_WAY_US
    if retried(dock.database, lambda connection: give_up(connection, dock, key, until_us)):
        dock.store.remove(key)
        if is_quiet:
            retried(dock.database, lambda connection: contents.forget(connection, key))


class Undone:
    """Undoes what was begun when what is done inside fails. What cannot be undone now is left to the reaper."""

    def __init__(self, dock: Dock, key: str) -> None:
        self._dock = dock
        self._key = key

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            return
        try:
            undo(self._dock, self._key, is_quiet=isinstance(error, ComputeError) and not isinstance(error, Unavailable))
        except Exception as failure:
            self._dock.leftovers.append(self._key)
            _log.warning("undone_later", content=self._key, error=failure)


def _too_large(settings: Settings) -> OverLimit:
    return OverLimit(f"Image exceeds the storage quota: up to {settings.max_size} bytes are allowed.")
