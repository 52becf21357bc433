"""Rows that a proxy left undone, and counters that accounts have not been told, are sent from here.

A proxy confirms each row once its container has it on a quorum. A version that was not confirmed in
time is one whose proxy died in between (or whose confirmation was lost): its holders make the row from
the object's own metadata and send it. Rows merge, so one too many does no harm. The holders take turns,
in ring order, so that usually only the first has something to do. How long a version has waited is what its timestamp
says or, if that is more, since when it is known here to wait: the clock of its proxy may have been ahead.

When the container was deleted after that version was written, or before and without its proxy knowing, no
container will ever list it: an orphan. It is deleted, for else it would be found by name in a
container of the same name that is made later.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

from cluster.clock import ZERO, Timestamp, just_after, microseconds_of, wall_us
from cluster.telemetry.log import get_logger
from cluster.wire import RemoteError, Reply
from storage import metadata as stored
from storage.asking import ask, refusals_of, replies_of
from storage.client import Placement
from storage.messages import (
    NEWER,
    BlobDelete,
    BlobFlag,
    DatabaseKind,
    IndexInfo,
    IndexMove,
    Info,
    Operation,
    Refusal,
    Row,
    Version,
    parse,
)
from storage.metadata import row_of
from storage.quorum import Quorum
from storage.ranges.decision import Named
from storage.ranges.pointers import RANGES, owner_of
from storage.ranges.sending import NotTaken, send_rows
from storage.rings.document import OBJECT

PATIENCE_S = 15.0  # in which a proxy must confirm; the second holder waits twice as long, and so on
YOUNG_LIMIT = 10_000  # versions of which it is known since when they wait; others wait by their timestamps
BATCH = 200
INTERVAL_S = 5.0
REPORT_INTERVAL_S = 1.0
_log = get_logger("storage")


class Undecided(Exception):
    """Too few of a container's replicas answered, or too few of them agree. Ask again later."""


def listed_since(
    infos: Mapping[int, Info], version: Timestamp, quorum: Quorum, floor: Timestamp = ZERO
) -> Timestamp | None:
    """Return since when the container exists that lists `version`; None when it was deleted: an orphan.

    `infos` are the container's states by device, of a quorum, without those that never heard of it. A
    deletion counts only when a quorum has taken it. Raise Undecided.

    Below `floor` nobody may remember the deletion (storage.housekeeping.reclaim_databases): then there is no container,
    or one that was made after `version`, which no proxy can have believed to be in it.
    """
    put = max((info.put_timestamp for info in infos.values()), default=ZERO)
    gone = max((info.delete_timestamp for info in infos.values()), default=ZERO)
    if version < floor and all(info.created_us > microseconds_of(version) for info in infos.values()):
        return None
    if put > gone and version > gone:
        return put
    deleted = [
        device_id
        for device_id, info in infos.items()
        if ZERO < info.delete_timestamp >= min(info.put_timestamp, version)
    ]
    if not quorum.reached(deleted):
        raise Undecided(f"{len(deleted)} replicas of the container say that it was deleted: no quorum")
    return None


class Unlisted(Protocol):
    """The objects of this device, and those of their versions whose rows nobody has confirmed."""

    def unlisted(self, start: bytes = b"", limit: int = 1000) -> tuple[list[tuple[bytes, Timestamp]], bytes]:
        """Return (key, version) of those, and where to go on, b"": done."""

    def head(self, key: bytes) -> Version | Awaitable[Version | None] | None:
        """Return the newest version with its metadata."""

    def confirm_rows(self, versions: Iterable[tuple[bytes, Timestamp]]) -> None:
        """Forget that the rows of these versions were missing."""


class Reports(Protocol):
    """Counters of containers that changed."""

    def take_reports(self, limit: int) -> dict[bytes, tuple[str, Row]]:
        """Return (account, row), by container key, of those that changed since they were last taken."""

    def put_back_reports(self, reports: dict[bytes, tuple[str, Row]]) -> None:
        """Take back what could not be sent."""


class RowSender:
    """Brings rows to a quorum of a database's primaries."""

    def __init__(self, placement: Placement, floor: Callable[[], Timestamp] = lambda: ZERO) -> None:
        """`floor`: below it this device's databases let nothing begin."""
        self._placement = placement
        self._floor = floor

    async def send(
        self, kind: DatabaseKind, account: str, container: str, put_timestamp: Timestamp, rows: list[Row]
    ) -> bool:
        """Tell whether a quorum has taken `rows`, wherever those of the container are."""
        return await self.sent(kind, account, container, put_timestamp, rows) is None

    async def sent(
        self, kind: DatabaseKind, account: str, container: str, put_timestamp: Timestamp, rows: list[Row]
    ) -> frozenset[int] | None:
        """Send rows; return None when a quorum has taken them, else with which codes they were refused."""
        try:
            await send_rows(self._placement, kind, Named(account, container), put_timestamp, rows)
        except NotTaken as error:
            _log.info("rows_not_taken", account=account, container=container, reason=str(error))
            return error.codes
        return None

    async def count(self, database: str, row: Row) -> bool:
        """Tell the root of a container what one of its range databases holds; tell whether a quorum has heard it."""
        root = Named(RANGES, database).root
        range_id = owner_of(RANGES, database).range_id
        key = self._placement.names.key(*root)
        replicas = self._placement.replicas(DatabaseKind.CONTAINER, key)
        counts = {range_id: (row.stats_timestamp or ZERO, row.object_count, row.size)}
        message = IndexMove(DatabaseKind.CONTAINER, key, *root, ZERO, ZERO, [], counts, ZERO)
        answers = await ask(self._placement, replicas, replicas.members, Operation.INDEX_MOVE, message)
        done = (replies_of(answers), refusals_of(answers, Refusal.NOT_FOUND))  # the container is gone
        return any(replicas.writers.reached(devices) for devices in done)

    async def listed_since(self, account: str, container: str, version: Timestamp) -> Timestamp | None:
        """Return since when the container exists that lists `version`; None: it was deleted. Raise Undecided."""
        key = self._placement.names.key(account, container)
        replicas = self._placement.replicas(DatabaseKind.CONTAINER, key)
        message = IndexInfo(DatabaseKind.CONTAINER, key, account, container)
        answers = await ask(self._placement, replicas, replicas.readers, Operation.INDEX_INFO, message)
        replies = {
            device_id: answer.metadata
            for device_id, answer in answers.items()
            if not isinstance(answer, BaseException)
        }
        if not replicas.read_quorum.reached(replies):
            raise Undecided("too few replicas of the container answered")
        infos = {device_id: parse(Info, values) for device_id, values in replies.items() if values is not None}
        return listed_since(infos, version, replicas.read_quorum, self._floor())


class AddRows:
    """The housekeeping task that adds missing rows."""

    name = "add missing rows"

    def __init__(
        self,
        unlisted: Unlisted,
        sender: RowSender,
        placement: Placement,
        device_id: int,
        wall: Callable[[], int] = wall_us,
        renew: Callable[[bytes, Timestamp], Awaitable[bool]] | None = None,
    ) -> None:
        """`renew` brings a version, if it is the newest, to a new timestamp: the old one's row comes too late."""
        self._wall_us = wall
        self._renew = renew
        self._unlisted = unlisted
        self._sender = sender
        self._placement = placement
        self._device_id = device_id
        self._start = b""  # where the pass over all such versions goes on
        self._young: dict[tuple[bytes, Timestamp], float] = {}  # version -> loop time, of the pass before
        self._still_young: dict[tuple[bytes, Timestamp], float] = {}  # of this one
        self.added_count = 0
        self.orphan_count = 0  # objects that were deleted because no container will ever list them

    async def step(self) -> float:
        """Look at the next BATCH versions without a confirmed row."""
        unlisted, self._start = self._unlisted.unlisted(self._start, BATCH)
        for key, timestamp in unlisted:
            if self._waited_s(key, timestamp) > PATIENCE_S * (1 + self._turn(key)):
                await self._add(key, timestamp)
        if self._start:
            return 0.1
        self._young, self._still_young = self._still_young, {}
        return INTERVAL_S

    def _waited_s(self, key: bytes, timestamp: Timestamp) -> float:
        """Return for how long a version has waited for its row."""
        age_s = (self._wall_us() - microseconds_of(timestamp)) / 1e6
        if age_s > PATIENCE_S or len(self._still_young) >= YOUNG_LIMIT:
            return age_s
        now = asyncio.get_running_loop().time()
        since = self._still_young[key, timestamp] = self._young.get((key, timestamp), now)
        return max(age_s, now - since)

    def _turn(self, key: bytes) -> int:
        holders = [device_id for device_id, _peer in self._placement.replicas(OBJECT, key).members]
        return holders.index(self._device_id) if self._device_id in holders else len(holders)

    async def _add(self, key: bytes, timestamp: Timestamp) -> None:
        try:
            found = self._unlisted.head(key)
            version = await found if isinstance(found, Awaitable) else found
        except RemoteError:  # it is damaged here, and will be healed; those behind it do not wait for that
            return
        if version is None or version.timestamp != timestamp:
            self._unlisted.confirm_rows([(key, timestamp)])
            return
        metadata = stored.unpack(version.metadata)
        account, container = metadata.account, metadata.container
        try:
            since = await self._sender.listed_since(account, container, timestamp)
        except Undecided:
            return
        if since is not None:
            row = row_of(metadata, timestamp, version.deleted)
            refused = await self._sender.sent(DatabaseKind.CONTAINER, account, container, since, [row])
            if refused is not None:
                if Refusal.PROMISED in refused and self._renew is not None:
                    await self._renew(key, timestamp)
                return
            self.added_count += 1
        elif not version.deleted:
            if not await self._delete_orphan(key, version):
                return
            self.orphan_count += 1
        self._confirm(key, timestamp)

    async def _delete_orphan(self, key: bytes, version: Version) -> bool:
        """Bring a tombstone for exactly this version to a quorum; anything newer wins over it.

        All holders write the same one, so it does no harm that several may.
        """
        metadata = stored.pack(stored.unpack(version.metadata))  # its lineage is not the tombstone's
        message = BlobDelete(key, just_after(version.timestamp), BlobFlag.UNLISTED, metadata)
        replicas = self._placement.replicas(OBJECT, key)
        answers = await ask(self._placement, replicas, replicas.members, Operation.BLOB_DELETE, message)
        return replicas.writers.reached([device_id for device_id, answer in answers.items() if _has_left(answer)])

    def _confirm(self, key: bytes, timestamp: Timestamp) -> None:
        """Tell the other holders, so that they need not do the same."""
        self._unlisted.confirm_rows([(key, timestamp)])
        replicas = self._placement.replicas(OBJECT, key)
        for device_id, peer in replicas.members:
            if device_id != self._device_id and peer.up:
                peer.send(Operation.ROWS_CONFIRM, ((key, timestamp),), replicas.version)


def _has_left(answer: Reply | BaseException) -> bool:
    """Tell whether a replica has the version no more: it took the tombstone, or has something newer."""
    if isinstance(answer, RemoteError):
        return answer.code in NEWER
    return not isinstance(answer, BaseException)


class Report:
    """The housekeeping task that tells accounts what their containers hold, and roots what their ranges hold."""

    name = "report counters"

    def __init__(self, reports: Reports, sender: RowSender) -> None:
        self._reports = reports
        self._sender = sender

    async def step(self) -> float:
        """Send the counters of up to BATCH containers."""
        reports = self._reports.take_reports(BATCH)
        by_account: dict[str, dict[bytes, tuple[str, Row]]] = {}
        for key, report in reports.items():
            by_account.setdefault(report[0], {})[key] = report
        ranges = by_account.pop(RANGES, {})
        heard = await asyncio.gather(*(self._sender.count(row.name, row) for _account, row in ranges.values()))
        self._reports.put_back_reports({key: ranges[key] for key, told in zip(ranges, heard, strict=True) if not told})
        for account, own in by_account.items():
            rows = [row for _account, row in own.values()]
            oldest = min(row.timestamp for row in rows)
            if not await self._sender.send(DatabaseKind.ACCOUNT, account, "", oldest, rows):
                self._reports.put_back_reports(own)
                _log.info("report_failed", account=account)
        return 0.05 if len(reports) == BATCH else REPORT_INTERVAL_S
