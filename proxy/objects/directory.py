"""Containers and accounts: databases of rows on quorums of their primaries.

A row is acknowledged when a quorum has it. A listing asks one replica for the rows and another for its
digest: equal digests mean equal content, so the rows are what a quorum holds; else the first replica
pulls what the second has and it lacks, durably, and answers again. Either way it contains every row
acknowledged before, and what it showed once it shows from then on.

While rings change (storage.client) every round goes by one version of them, so its quorums are of that; one that is
refused as too old is begun again by newer ones. Doing it twice does no harm, for rows and states merge.

Deleting a container is decided in two steps: frozen on a quorum (which then refuses rows), found empty
on all of that quorum, deleted. An acknowledged row is on a quorum too, and the two meet. Both steps go by the same
version of the rings, or are begun again.
"""

import asyncio
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from cluster.clock import HybridClock, Timestamp, wall_us
from cluster.wire import Peer, PeerUnavailable, RemoteError, Reply
from proxy.objects.errors import ContainerNotEmpty, NoSuchContainer, Unavailable
from proxy.objects.model import (
    AccountInfo,
    AccountListing,
    CommonPrefix,
    ContainerInfo,
    ContainerListing,
    ListingQuery,
)
from proxy.objects.rounds import (
    HEDGE_S,
    READ_TRIES,
    STALE_TRIES,
    Peers,
    Refused,
    StaleRings,
    Superseded,
    catch_up,
    floor_of,
    in_turn,
    require_quorum,
    write,
)
from storage.client import Placement, Replicas
from storage.messages import (
    DatabaseKind,
    IndexCreate,
    IndexDelete,
    IndexFreeze,
    IndexInfo,
    IndexList,
    IndexRows,
    Info,
    Listing,
    Operation,
    Refusal,
    Row,
    parse,
)
from storage.quorum import Quorum

FREEZE_S = 5.0
THAW_TIMEOUT_S = 5.0
FROZEN_WAIT_S = 6.0  # how long rows wait for the end of a freeze
LIST_TIMEOUT_S = 10.0
CACHE_S = 10.0  # how long a worker believes that a container exists; rows tell it otherwise at once
CACHE_LIMIT = 10_000
ROWS_PER_MESSAGE = 500

_AnswerT = TypeVar("_AnswerT", Info, Listing)


@dataclass(frozen=True, slots=True)
class Database:
    """Which database: a container's or an account's."""

    kind: DatabaseKind
    key: bytes
    account: str
    container: str  # empty for an account


class Directory:
    """Reads and writes containers and accounts."""

    def __init__(self, placement: Placement, clock: HybridClock) -> None:
        self._placement = placement
        self._clock = clock
        self._turn = 0
        self._known: dict[tuple[str, str], tuple[float, ContainerInfo]] = {}
        self._outboxes: dict[bytes, _Outbox] = {}

    def container(self, account: str, container: str) -> Database:
        """Return the database of a container."""
        key = self._placement.names.key(account, container)
        return Database(DatabaseKind.CONTAINER, key, account, container)

    def account(self, account: str) -> Database:
        """Return the database of an account."""
        return Database(DatabaseKind.ACCOUNT, self._placement.names.key(account), account, "")

    def _replicas(self, database: Database) -> Replicas:
        return self._placement.replicas(database.kind, database.key)

    # rows

    async def add_row(self, database: Database, put_timestamp: Timestamp, row: Row) -> None:
        """Bring `row` to a quorum. Raise NoSuchContainer when it was deleted after `put_timestamp`.

        Rows that are added within one turn of the event loop travel in one message.
        """
        outbox = self._outboxes.get(database.key)
        if outbox is None:
            outbox = self._outboxes[database.key] = _Outbox(self, database, put_timestamp)
        await outbox.add(put_timestamp, row)

    def _forget_outbox(self, outbox: "_Outbox") -> None:
        if self._outboxes.get(outbox.database.key) is outbox:
            del self._outboxes[outbox.database.key]

    async def send_rows(self, database: Database, put_timestamp: Timestamp, rows: list[Row]) -> None:
        """Bring `rows` to a quorum."""
        message = IndexRows(
            database.kind, database.key, database.account, database.container, put_timestamp, rows
        )
        await self._write(database, Operation.INDEX_ROWS, message)

    async def _write(
        self,
        database: Database,
        operation: Operation,
        message: tuple[Any, ...],
        replicas: Replicas | None = None,
    ) -> None:
        """Bring a change to a quorum; `replicas`: of a version to stay with, or to raise StaleRings."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + FROZEN_WAIT_S
        while True:
            chosen = replicas or self._replicas(database)
            require_quorum(chosen.members, chosen.writers)
            try:
                await write(loop, chosen, operation, message)
            except Superseded as overtaken:
                raise Unavailable("a database refused a newer state") from overtaken
            except Refused as refused:
                if replicas is not None and isinstance(refused, StaleRings):
                    raise
                await self._refused(refused, loop.time() > deadline)
            else:
                return

    async def _refused(self, refused: Refused, too_late: bool) -> None:
        if isinstance(refused, StaleRings) and not too_late:
            await catch_up(self._placement, refused)
            return
        if refused.code is Refusal.NOT_FOUND:
            raise NoSuchContainer("the container was deleted") from refused
        if refused.code is Refusal.NOT_EMPTY:
            raise ContainerNotEmpty("the container has objects") from refused
        if too_late:
            raise Unavailable(f"still {refused.code.name}") from refused
        await asyncio.sleep(random.uniform(0.005, 0.03))

    # state

    async def create(self, database: Database, metadata: Mapping[str, Any]) -> Timestamp:
        """Create the database, or bring it back, or change metadata (a value None removes a name)."""
        timestamp = self._clock.now()
        stamped = {name: (value, timestamp) for name, value in metadata.items()}
        message = IndexCreate(
            database.kind, database.key, database.account, database.container, timestamp, stamped
        )
        await self._write(database, Operation.INDEX_CREATE, message)
        self.forget(database.account, database.container)
        return timestamp

    async def update(self, database: Database, put_timestamp: Timestamp, metadata: Mapping[str, Any]) -> None:
        """Change metadata of a database that exists since `put_timestamp`."""
        timestamp = self._clock.now()
        stamped = {name: (value, timestamp) for name, value in metadata.items()}
        message = IndexCreate(
            database.kind, database.key, database.account, database.container, put_timestamp, stamped
        )
        await self._write(database, Operation.INDEX_CREATE, message)
        self.forget(database.account, database.container)

    async def delete(self, database: Database, at: Timestamp | None = None) -> Timestamp:
        """Delete a container that is empty, now or `at` a time past; return the deletion's timestamp.

        One that was made anew after `at` stays.
        """
        try:
            for tries in range(STALE_TRIES):
                replicas = self._replicas(database)
                try:
                    await self._fill(database, replicas)
                    return await self._delete(database, replicas, at)
                except StaleRings:
                    continue
                except NoSuchContainer:
                    gone = await self.deleted_at(database) if tries else None
                    if gone is None:
                        raise
                    return gone  # by our own try before, which a quorum has taken
        finally:
            self.forget(database.account, database.container)
        raise Unavailable("the rings changed again and again")

    async def _delete(self, database: Database, replicas: Replicas, at: Timestamp | None) -> Timestamp:
        """Freeze and delete on the same replicas, for those who have not frozen it do not delete it."""
        kind, key, token = database.kind, database.key, os.urandom(16)
        try:
            freeze = IndexFreeze(kind, key, token, FREEZE_S)
            await self._write(database, Operation.INDEX_FREEZE, freeze, replicas)
            timestamp = self._clock.now() if at is None else at
            deletion = IndexDelete(kind, key, token, timestamp)
            await self._write(database, Operation.INDEX_DELETE, deletion, replicas)
        except BaseException as error:
            if isinstance(error, StaleRings):
                await catch_up(self._placement, error)  # so that it is heard that we thaw
            self._thaw(IndexDelete(kind, key, token, None), replicas)
            raise
        return timestamp

    def _thaw(self, message: IndexDelete, replicas: Replicas) -> None:
        """End a freeze; nothing is awaited, for it ends by itself."""
        for _device_id, peer in replicas.members:
            if peer.up:
                version = self._placement.rings.version
                peer.call(Operation.INDEX_DELETE, message, b"", THAW_TIMEOUT_S, version)

    async def _fill(self, database: Database, replicas: Replicas) -> None:
        """Let devices that join a partition have the database: they would not know what to delete."""
        if replicas.writers.reached([device_id for device_id, _peer in replicas.readers]):
            return
        source, _peer = self._in_turn(replicas)[0]
        pull = IndexInfo(database.kind, database.key, database.account, database.container, source)
        calls = [
            peer.call(Operation.INDEX_INFO, pull, b"", LIST_TIMEOUT_S, replicas.version)
            for device_id, peer in replicas.members
            if not replicas.read_quorum.share(device_id)
        ]
        await asyncio.gather(*calls, return_exceptions=True)  # who fails is missed when the deletion counts

    def forget(self, account: str, container: str) -> None:
        """Drop what is believed of a container."""
        self._known.pop((account, container), None)

    async def known_container(self, account: str, container: str) -> ContainerInfo:
        """Return the container's state, confirmed within CACHE_S; its counters may be older. Raise NoSuchContainer."""
        known = self._known.get((account, container))
        now = asyncio.get_running_loop().time()
        if known is not None and known[0] > now:
            return known[1]
        return await self.container_info(account, container)

    def _confirm(self, database: Database) -> None:
        """Go on believing in a container: a quorum has just taken a row for it.

        So whoever writes steadily need not ask. Asking merges replicas, and would hold up all writers at once.
        """
        known = self._known.get((database.account, database.container))
        if known is not None:
            expires = asyncio.get_running_loop().time() + CACHE_S
            self._known[database.account, database.container] = (expires, known[1])

    async def container_info(self, account: str, container: str) -> ContainerInfo:
        """Return the container's state. Raise NoSuchContainer."""
        database = self.container(account, container)
        info = await self.info(database)
        if info is None:
            self.forget(account, container)
            raise NoSuchContainer(container)
        return self._remember(info)

    def _remember(self, info: Info) -> ContainerInfo:
        container = ContainerInfo(
            info.account,
            info.container,
            info.put_timestamp,
            info.created_us,
            info.object_count,
            info.bytes_used,
            _live(info.metadata),
        )
        if len(self._known) >= CACHE_LIMIT:
            self._known.clear()
        expires = asyncio.get_running_loop().time() + CACHE_S
        self._known[info.account, info.container] = (expires, container)
        return container

    async def info(self, database: Database) -> Info | None:
        """Return the state of a database on a quorum; None when it does not exist."""
        info = await self._state(database)
        return info if info is not None and info.put_timestamp > info.delete_timestamp else None

    async def deleted_at(self, database: Database) -> Timestamp | None:
        """Return when a database was deleted; None when it exists or never did."""
        info = await self._state(database)
        if info is None or info.put_timestamp > info.delete_timestamp:
            return None
        return info.delete_timestamp

    async def _state(self, database: Database) -> Info | None:
        def message(sync_from: int | None) -> tuple[Operation, tuple[Any, ...]]:
            return Operation.INDEX_INFO, IndexInfo(
                database.kind, database.key, database.account, database.container, sync_from
            )

        return await self._read(database, message, _info)

    async def account_info(self, account: str) -> AccountInfo:
        """Return the state of an account; one that was never written to is empty."""
        return _account_info(account, await self.info(self.account(account)))

    # listings

    async def list_container(self, account: str, container: str, query: ListingQuery) -> ContainerListing:
        """Return a page of a container. Raise NoSuchContainer."""
        listing = await self._list(self.container(account, container), query)
        if listing is None:
            self.forget(account, container)
            raise NoSuchContainer(container)
        return ContainerListing(self._remember(listing.info), _items(listing.items), listing.truncated)

    async def list_account(self, account: str, query: ListingQuery) -> AccountListing:
        """Return a page of an account."""
        listing = await self._list(self.account(account), query)
        if listing is None:
            return AccountListing(_account_info(account, None), [], False)
        return AccountListing(_account_info(account, listing.info), _items(listing.items), listing.truncated)

    async def _list(self, database: Database, query: ListingQuery) -> Listing | None:
        def message(sync_from: int | None) -> tuple[Operation, tuple[Any, ...]]:
            return Operation.INDEX_LIST, IndexList(
                database.kind,
                database.key,
                database.account,
                database.container,
                query.limit,
                query.prefix,
                query.marker,
                query.end_marker,
                query.delimiter,
                query.reverse,
                sync_from,
            )

        listing = await self._read(database, message, _listing)
        if listing is None or listing.info.put_timestamp <= listing.info.delete_timestamp:
            return None
        return listing

    async def _read(
        self,
        database: Database,
        message: "Callable[[int | None], tuple[Operation, tuple[Any, ...]]]",
        decode: Callable[[Any], _AnswerT],
    ) -> _AnswerT | None:
        """Return the answer of a quorum that agrees or was merged. Raise Unavailable."""
        tries_left, stale_left = READ_TRIES, STALE_TRIES
        while True:
            try:
                answer = await self._ask_quorum(database, message, decode)
            except StaleRings as stale:
                await self._count_stale(stale, stale_left)
                stale_left -= 1
            except (PeerUnavailable, RemoteError) as error:
                if isinstance(error, RemoteError) and error.code == Refusal.STALE_RINGS:
                    await self._count_stale(StaleRings(error.detail), stale_left)
                    stale_left -= 1
                    continue
                tries_left -= 1
                if not tries_left:
                    raise Unavailable(f"replicas of a listing could not be merged: {error}") from error
            else:
                if answer is not None:
                    self._observe(answer.info if isinstance(answer, Listing) else answer)
                return answer

    async def _count_stale(self, stale: StaleRings, tries_left: int) -> None:
        """Take newer rings before the next try."""
        if not tries_left:
            raise Unavailable("the rings changed again and again") from stale
        await catch_up(self._placement, stale)

    async def _ask_quorum(
        self,
        database: Database,
        message: "Callable[[int | None], tuple[Operation, tuple[Any, ...]]]",
        decode: Callable[[Any], _AnswerT],
    ) -> _AnswerT | None:
        """Ask one replica for the answer and others for their digests; merge them when they differ."""
        replicas = self._replicas(database)
        readers = self._in_turn(replicas)
        require_quorum(readers, replicas.read_quorum)
        version = replicas.version
        digest_message = IndexInfo(database.kind, database.key, database.account, database.container, None)

        def ask_full(peer: Peer) -> "asyncio.Future[Reply]":
            return peer.call(*message(None), b"", LIST_TIMEOUT_S, version)

        def ask_digest(peer: Peer) -> "asyncio.Future[Reply]":
            return peer.call(Operation.INDEX_INFO, digest_message, b"", LIST_TIMEOUT_S, version)

        answers = await _gather(readers, replicas.read_quorum, ask_full, ask_digest)
        full_id, full_reply = answers.full
        answer = None if full_reply is None else decode(full_reply)
        digest = _digest_of(answer)
        more = {device_id: None if reply is None else decode(reply) for device_id, reply in answers.more.items()}
        others = {**answers.digests, **more}
        if any(_digest_of(state) != digest for state in others.values()):
            return await self._merge(database, replicas, message, decode, full_id, list(others))
        return answer

    async def _merge(
        self,
        database: Database,
        replicas: Replicas,
        message: "Callable[[int | None], tuple[Operation, tuple[Any, ...]]]",
        decode: Callable[[Any], _AnswerT],
        full_id: int,
        others: Sequence[int],
    ) -> _AnswerT | None:
        """Bring what any of these replicas has to all of them; return the full answer anew.

        To all, and not only to the one that answers: what is shown once has to be on a quorum.
        """
        full, version = replicas.peer(full_id), replicas.version
        answer: _AnswerT | None = None
        for device_id in others:
            reply = await full.call(*message(device_id), b"", LIST_TIMEOUT_S, version)
            answer = None if reply.metadata is None else decode(reply.metadata)
        pull = IndexInfo(database.kind, database.key, database.account, database.container, full_id)
        calls = [
            replicas.peer(device_id).call(Operation.INDEX_INFO, pull, b"", LIST_TIMEOUT_S, version)
            for device_id in others
        ]
        await asyncio.gather(*calls)
        return answer

    def _observe(self, info: Info) -> None:
        """Move our clock on, so that what we write next is newer than all that was written before."""
        stamps = [timestamp for _value, timestamp in info.metadata.values()]
        self._clock.observe(max(info.put_timestamp, info.delete_timestamp, *stamps))

    def _in_turn(self, replicas: Replicas) -> Peers:
        self._turn += 1
        return in_turn(replicas, self._turn)


class _Outbox:
    """Rows of one database that wait for the end of this turn of the event loop."""

    __slots__ = ("_directory", "_rows", "_sent", "_waiter", "database", "put_timestamp")

    def __init__(self, directory: Directory, database: Database, put_timestamp: Timestamp) -> None:
        self._directory = directory
        self.database = database
        self.put_timestamp = put_timestamp
        self._rows: list[Row] = []
        loop = asyncio.get_running_loop()
        self._sent: asyncio.Future[None] = loop.create_future()
        loop.call_soon(self._flush)

    async def add(self, put_timestamp: Timestamp, row: Row) -> None:
        self.put_timestamp = max(self.put_timestamp, put_timestamp)
        self._rows.append(row)
        if len(self._rows) >= ROWS_PER_MESSAGE:
            self._directory._forget_outbox(self)
        await asyncio.shield(self._sent)

    def _flush(self) -> None:
        self._directory._forget_outbox(self)
        task = asyncio.get_running_loop().create_task(
            self._directory.send_rows(self.database, self.put_timestamp, self._rows)
        )
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        if self._sent.done():
            return
        error = None if task.cancelled() else task.exception()
        if error is not None or task.cancelled():
            self._sent.set_exception(error or Unavailable("cancelled"))
            self._sent.exception()  # heard: whoever still waits is told all the same
        else:
            self._directory._confirm(self.database)
            self._sent.set_result(None)


@dataclass(slots=True)
class _Answers:
    """Of a quorum of replicas of one database: one full reply and the others' states."""

    full: tuple[int, Any]
    digests: dict[int, Info | None]
    more: dict[int, Any]  # full replies, too: of those who were asked while the first was late


async def _gather(
    peers: Peers,
    quorum: Quorum,
    ask_full: "Callable[[Peer], asyncio.Future[Reply]]",
    ask_digest: "Callable[[Peer], asyncio.Future[Reply]]",
) -> _Answers:
    """Collect the answers of a quorum, one in full and the others' digests; ask another one where one fails or lags."""
    first, others = quorum.split(peers)
    spare = [*first, *others]
    full: tuple[int, Any] | None = None
    digests: dict[int, Info | None] = {}
    more: dict[int, Any] = {}
    pending: dict[asyncio.Future[Reply], tuple[int, bool]] = {}
    floor = 0  # of the rings, when it is above ours

    def ask(full_wanted: bool) -> None:
        device_id, peer = spare.pop(0)
        pending[ask_full(peer) if full_wanted else ask_digest(peer)] = (device_id, full_wanted)

    def full_is_coming() -> bool:
        return full is not None or any(wanted for _device, wanted in pending.values())

    while full is None or not quorum.reached([full[0], *digests, *more]):
        while spare and not quorum.reached([*digests, *more, *([full[0]] if full else []), *_devices(pending)]):
            ask(not full_is_coming())
        if not pending or not (spare or full_is_coming()):
            raise StaleRings(floor) if floor else Unavailable("too few replicas answered a listing")
        done, _ = await asyncio.wait(pending, timeout=HEDGE_S, return_when=asyncio.FIRST_COMPLETED)
        if not done and spare:
            ask(full is None)
        for call in done:
            device_id, full_wanted = pending.pop(call)
            if call.cancelled() or call.exception() is not None:
                floor = max(floor, floor_of([call.exception()] if not call.cancelled() else []))
            elif not full_wanted:
                values = call.result().metadata
                digests[device_id] = None if values is None else _info(values)
            elif full is None:
                full = (device_id, call.result().metadata)
            else:
                more[device_id] = call.result().metadata
    return _Answers(full, digests, more)


def _devices(pending: "Mapping[asyncio.Future[Reply], tuple[int, bool]]") -> list[int]:
    return [device_id for device_id, _full in pending.values()]


def _info(values: Any) -> Info:
    return parse(Info, values)


def _listing(values: Any) -> Listing:
    info, items, truncated = values
    return Listing(parse(Info, info), items, truncated)


def _digest_of(answer: Info | Listing | None) -> bytes:
    if answer is None:
        return b""
    return answer.info.digest if isinstance(answer, Listing) else answer.digest


def _items(items: list[Any]) -> list[Row | CommonPrefix]:
    return [CommonPrefix(item) if isinstance(item, str) else Row._make(item) for item in items]


def _live(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, (value, _timestamp) in metadata.items() if value is not None}


def _account_info(account: str, info: Info | None) -> AccountInfo:
    if info is None:
        return AccountInfo(account, wall_us(), 0, 0, 0, {})
    return AccountInfo(
        account,
        info.created_us,
        info.container_count,
        info.object_count,
        info.bytes_used,
        _live(info.metadata),
    )


def account_row(container: str, timestamp: Timestamp, deleted: bool, created_us: int) -> Row:
    """Return the account's row that says that a container exists, or is deleted, since `timestamp`."""
    return Row(container, timestamp, deleted, 0, modified_us=created_us)
