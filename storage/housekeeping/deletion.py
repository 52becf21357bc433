"""Deletes one version of an object for housekeeping, and nothing else: what has replaced it meanwhile stays.

The same two phases as of any write that is decided upon what is there (proxy.objects.decision): a read quorum promises
to take nothing below a new timestamp any more, and tells what it has; if the newest of that is the version, a
tombstone is written under that timestamp. So a write that was acknowledged is never overtaken, whichever replicas
have it, and one that is concurrent comes before, and is seen, or after, with a higher timestamp.

A tombstone just above the version would do without asking, as long as nobody had promised to take nothing there: but a
conditional write that failed leaves such a promise behind, and a device that was rebuilt has promised so for all.

Crash points: promises alone change nothing that is read. A tombstone on fewer than a quorum is in doubt, as any write
is; its devices see to its row. Who finds the version still there tries again.
"""

from collections.abc import Callable
from enum import Enum

from cluster.clock import Timestamp, wall_us
from cluster.telemetry.log import get_logger
from storage import metadata as stored
from storage.client import Replicas
from storage.housekeeping.promise import Promises, taken_by
from storage.housekeeping.rows import RowSender, Undecided
from storage.lineage import successor_of
from storage.messages import BlobDelete, DatabaseKind, Operation
from storage.metadata import ObjectMetadata, row_of
from storage.quorum import timestamp_of

_log = get_logger("storage")


class Outcome(Enum):
    """Of an attempt."""

    DELETED = 1
    REPLACED = 2  # it is not the newest any more, maybe because somebody else has deleted it
    UNDECIDED = 3  # too few answered, or somebody else is at it: try again later


class Deletion:
    """Of one device."""

    def __init__(
        self,
        promises: Promises,
        sender: RowSender,
        device_id: int,
        confirm: Callable[[list[tuple[bytes, Timestamp]]], None],
        wall: Callable[[], int] = wall_us,
    ) -> None:
        """`confirm` is told which rows of this device's own versions are listed."""
        self._promises = promises
        self._sender = sender
        self._device_id = device_id
        self._confirm = confirm
        self._wall_us = wall

    async def delete(self, key: bytes, version: Timestamp, name: tuple[str, str, str]) -> Outcome:
        """Delete `version` of `name`, with its row, if it is the newest."""
        promised = await self._promises.ask(key, version)
        if promised is None:
            return Outcome.UNDECIDED
        newest = promised.newest
        if newest is None or newest.timestamp != version:
            return Outcome.REPLACED if timestamp_of(newest) > version else Outcome.UNDECIDED
        tombstone = ObjectMetadata(*name, 0, "", "", self._wall_us(), {}, {}, {}, {})
        packed = stored.pack(tombstone, successor_of(newest))
        message = BlobDelete(key, promised.timestamp, 0, packed)
        taken = taken_by(await self._promises.write(promised, Operation.BLOB_DELETE, message))
        if not promised.replicas.writers.reached(taken):
            return Outcome.UNDECIDED
        await self._list(key, promised.replicas, promised.timestamp, tombstone)
        return Outcome.DELETED

    async def _list(
        self, key: bytes, replicas: Replicas, timestamp: Timestamp, tombstone: ObjectMetadata
    ) -> None:
        """Take the row away. If that cannot be done now, the devices that have the tombstone do it later."""
        account, container = tombstone.account, tombstone.container
        try:
            since = await self._sender.listed_since(account, container, timestamp)
        except Undecided as reason:
            _log.info("row_left", container=container, reason=str(reason))
            return
        row = row_of(tombstone, timestamp, deleted=True)
        if since is not None and not await self._sender.send(
            DatabaseKind.CONTAINER, account, container, since, [row]
        ):
            return
        listed = (key, timestamp)
        self._confirm([listed])
        for device_id, peer in replicas.members:
            if device_id != self._device_id and peer.up:
                peer.send(Operation.ROWS_CONFIRM, (listed,), replicas.version)
