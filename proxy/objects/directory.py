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

from cluster.clock import ZERO, HybridClock, Timestamp, wall_us
from cluster.wire import Peer, PeerUnavailable, RemoteError, Reply
from proxy.objects.errors import ContainerNotEmpty, NoSuchContainer, TooOld, Unavailable
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
    Split,
    StaleRings,
    Superseded,
    catch_up,
    floor_of,
    in_turn,
    require_quorum,
    split_of,
    write,
)
from proxy.objects.spans import MapChanged, Maps, Moved, SpanListing
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
from storage.quorum import Majority, Quorum
from storage.ranges.decision import Decision, Gone, Named, Tree, Undecidable, follow
from storage.ranges.decision import replace as replace_range
from storage.ranges.pointers import Pointer, Span, created_at, range_database
from storage.ranges.state import decided_by, moved_of, parse_refusal, refusal_of, visible

FREEZE_S = 5.0
_FAR_LIMIT = 10_000  # databases whose stamps are far ahead that are remembered
SPLIT_FREEZE_S = 10.0  # of a container with ranges, all of which are deleted meanwhile
SPLIT_TRIES = 12  # of what meets moved databases: each shows the way to the next
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
        self._far: dict[bytes, Timestamp] = {}  # key -> what was met there, of databases with stamps far ahead
        self._maps = Maps()
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
        """Bring `rows` to a quorum, of the databases that have them."""
        for _ in range(SPLIT_TRIES):
            spans = self._maps.get(database.key)
            if spans is None:
                rows = await self._send_to_root(database, put_timestamp, rows)
            else:
                routed = spans.route(rows)
                left = await asyncio.gather(
                    *(self._send_to_range(database, span.range_id, own) for span, own in routed.items())
                )
                rows = [row for part in left for row in part]
            if not rows:
                return
        raise Unavailable("the container is split again and again")

    async def _send_to_root(self, database: Database, put_timestamp: Timestamp, rows: list[Row]) -> list[Row]:
        """Bring rows to a database; return those that have to be sent elsewhere."""
        try:
            await self._send(database, put_timestamp, rows)
        except Moved as moved:
            self._maps.learn(database.key, moved.pointers)
            return rows
        return []

    async def _send_to_range(self, database: Database, range_id: str, rows: list[Row]) -> list[Row]:
        """The same, for rows in a range of a split container."""
        try:
            await self._send(self._range(database, range_id), created_at(range_id), rows)
        except Moved as moved:
            self._maps.follow(database.key, range_id, moved.pointers)
        except NoSuchContainer:
            await self._range_is_gone(database, range_id)
        else:
            return []
        return rows

    async def _send(self, database: Database, put_timestamp: Timestamp, rows: list[Row]) -> None:
        message = IndexRows(
            database.kind, database.key, database.account, database.container, put_timestamp, rows
        )
        await self._write(database, Operation.INDEX_ROWS, message)

    # split containers

    def _range(self, database: Database, range_id: str) -> Database:
        """Return a range database of a container."""
        return self.container(*range_database(database.account, database.container, range_id))

    async def _range_is_gone(self, database: Database, range_id: str) -> None:
        """Look why a range database is deleted. Raise NoSuchContainer when the container is.

        Else a deletion has stopped half way. The range was found empty; a new one takes its place.
        """
        await self.container_info(database.account, database.container)
        spans = self._maps.get(database.key)
        if spans is None or all(span.range_id != range_id for span in spans.spans):
            return
        root = Named(database.account, database.container)
        try:
            await replace_range(self._placement, self._clock, root, os.urandom(16), range_id)
        except Gone:
            raise NoSuchContainer(database.container) from None
        except Undecidable:
            await asyncio.sleep(random.uniform(0.005, 0.03))  # a deletion may be under way
        self._maps.forget(database.key)

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
                self._clock.observe(overtaken.timestamp)
                raise TooOld("it is older than what is remembered of deletions") from overtaken
            except Refused as refused:
                if replicas is not None and isinstance(refused, StaleRings):
                    raise
                await self._refused(refused, chosen.writers, loop.time() > deadline)
            else:
                return

    async def _refused(self, refused: Refused, quorum: Quorum, too_late: bool) -> None:
        if isinstance(refused, StaleRings) and not too_late:
            await catch_up(self._placement, refused)
            return
        if isinstance(refused, Split):
            raise_if_moved(refused, quorum)
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
        timestamp = self._now(database)
        stamped = {name: (value, timestamp) for name, value in metadata.items()}
        message = IndexCreate(
            database.kind, database.key, database.account, database.container, timestamp, stamped
        )
        await self._write(database, Operation.INDEX_CREATE, message)
        self.forget(database.account, database.container)
        return timestamp

    async def update(self, database: Database, put_timestamp: Timestamp, metadata: Mapping[str, Any]) -> None:
        """Change metadata of a database that exists since `put_timestamp`."""
        timestamp = self._now(database)
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
                except Moved:
                    return await self._delete_split(database, at)
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
            timestamp = self._now(database) if at is None else at
            deletion = IndexDelete(kind, key, token, timestamp)
            await self._write(database, Operation.INDEX_DELETE, deletion, replicas)
        except BaseException as error:
            if isinstance(error, StaleRings):
                await catch_up(self._placement, error)  # so that it is heard that we thaw
            self._thaw(IndexDelete(kind, key, token, None), replicas)
            raise
        return timestamp

    async def _delete_split(self, database: Database, at: Timestamp | None) -> Timestamp:
        """Delete a split container: its ranges, then its root, under a freeze that outlasts both (storage.ranges)."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + FROZEN_WAIT_S
        while True:
            info = await self.container_info(database.account, database.container)
            if at is not None and info.put_timestamp > at:
                return at  # made anew since
            try:
                deleted = await self._try_to_delete_split(database)
            except Gone:
                raise NoSuchContainer(database.container) from None
            except Undecidable as error:
                if loop.time() > deadline:
                    raise Unavailable(f"the container is being split: {error}") from error
                deleted = None
            if deleted is not None:
                return deleted
            await asyncio.sleep(random.uniform(0.005, 0.03))

    async def _try_to_delete_split(self, database: Database) -> Timestamp | None:
        """Delete it now; None: something else had to be finished first. Raise Undecidable, Gone, ContainerNotEmpty."""
        root = Named(database.account, database.container)
        async with Decision(self._placement, self._clock, root, os.urandom(16), SPLIT_FREEZE_S) as decision:
            situation = await decision.freeze()
            wanted: list[Pointer] = []
            if situation.inherited:
                wanted = situation.inherited
            elif situation.inherited is None:
                tree = await follow(self._placement, root, situation.pointers)
                await self._delete_ranges(database, tree)
            timestamp = await decision.accept(wanted)
            await decision.announce()
            return None if wanted else timestamp

    async def _delete_ranges(self, database: Database, tree: Tree) -> None:
        """Delete all range databases, each found empty on a quorum that is frozen.

        Raise ContainerNotEmpty, Undecidable.
        """
        token = os.urandom(16)
        ranges = [self._range(database, range_id) for range_id in tree.known]
        held = [(part, self._replicas(part)) for part in ranges]
        steps: Sequence[Callable[[Database], tuple[Operation, tuple[Any, ...]]]] = (
            lambda part: (Operation.INDEX_FREEZE, IndexFreeze(part.kind, part.key, token, SPLIT_FREEZE_S)),
            lambda part: (
                Operation.INDEX_DELETE,
                IndexDelete(part.kind, part.key, token, self._now(part)),
            ),
        )
        try:
            for step in steps:
                await asyncio.gather(*(self._write(part, *step(part), replicas) for part, replicas in held))
        except (Moved, StaleRings, NoSuchContainer, Unavailable) as error:
            raise Undecidable(f"a range could not be deleted: {error}") from error
        finally:
            for part, replicas in held:
                self._thaw(IndexDelete(part.kind, part.key, token, None), replicas)

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
        self._maps.forget(self._placement.names.key(account, container))

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
        moved = moved_of(info.metadata)
        self._maps.learn(self._placement.names.key(info.account, info.container), moved[1] if moved else None)
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
        database = self.container(account, container)
        for _ in range(SPLIT_TRIES):
            try:
                if self._maps.get(database.key) is not None:
                    return await self._list_spans(database, query)
                listing = await self._list(database, query)
            except Moved as moved:
                self._maps.learn(database.key, moved.pointers)
                continue
            except MapChanged:
                continue
            if listing is None:
                self.forget(account, container)
                raise NoSuchContainer(container)
            return ContainerListing(self._remember(listing.info), _items(listing.items), listing.truncated)
        raise Unavailable("the container is split again and again")

    async def _list_spans(self, database: Database, query: ListingQuery) -> ContainerListing:
        """Return a page of a split container. Raise NoSuchContainer, MapChanged."""

        async def page(span: Span, part: ListingQuery) -> Listing:
            try:
                listing = await self._list(self._range(database, span.range_id), part, span)
            except Moved as moved:
                self._maps.follow(database.key, span.range_id, moved.pointers)
                raise
            if listing is None:
                await self._range_is_gone(database, span.range_id)
                raise MapChanged
            return listing

        items, truncated = await SpanListing(lambda: self._maps.get(database.key), page, query).read()
        info = await self.known_container(database.account, database.container)
        return ContainerListing(info, _items(items), truncated)

    async def list_account(self, account: str, query: ListingQuery) -> AccountListing:
        """Return a page of an account."""
        listing = await self._list(self.account(account), query)
        if listing is None:
            return AccountListing(_account_info(account, None), [], False)
        return AccountListing(_account_info(account, listing.info), _items(listing.items), listing.truncated)

    async def _list(
        self, database: Database, query: ListingQuery, span: Span | None = None
    ) -> Listing | None:
        """Return a page of a database, or of a span of it; None: it does not exist. Raise Moved."""

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
                span.low if span else "",
                span.high if span else "",
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
        """Return the answer of a quorum that agrees or was merged. Raise Unavailable, and Moved for a listing."""
        tries_left, stale_left = READ_TRIES, STALE_TRIES
        loop = asyncio.get_running_loop()
        deadline = loop.time() + FROZEN_WAIT_S
        while True:
            try:
                answer = await self._ask_quorum(database, message, decode)
            except StaleRings as stale:
                await self._count_stale(stale, stale_left)
                stale_left -= 1
            except Split as split:
                raise_if_moved(split, self._replicas(database).read_quorum)
                if loop.time() > deadline:
                    raise Unavailable("it is not decided where the rows are") from split
                await asyncio.sleep(random.uniform(0.005, 0.03))
            except (PeerUnavailable, RemoteError) as error:
                if isinstance(error, RemoteError) and error.code == Refusal.SPLIT and loop.time() < deadline:
                    raise_if_moved(Split({0: parse_refusal(error.detail)}), Majority(frozenset(), 1))
                    await asyncio.sleep(random.uniform(0.001, 0.01))
                    continue
                if isinstance(error, RemoteError) and error.code == Refusal.STALE_RINGS:
                    await self._count_stale(StaleRings(error.detail), stale_left)
                    stale_left -= 1
                    continue
                tries_left -= 1
                if not tries_left:
                    raise Unavailable(f"replicas of a listing could not be merged: {error}") from error
            else:
                if answer is not None:
                    self._observe(database, answer.info if isinstance(answer, Listing) else answer)
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

        answers = await _gather(readers, replicas.read_quorum, ask_full, ask_digest, decode is _listing)
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

    def _observe(self, database: Database, info: Info) -> None:
        """Move our clock on, so that what we write next is newer than all that was written before."""
        newest = max(info.put_timestamp, info.delete_timestamp, *(stamp for _value, stamp in info.metadata.values()))
        self._clock.observe(newest)
        if newest > self._clock.now():
            if len(self._far) >= _FAR_LIMIT:
                self._far.clear()
            self._far[database.key] = newest

    def _now(self, database: Database) -> Timestamp:
        """Return a timestamp above all that we know of a database."""
        return self._clock.after(self._far.get(database.key, ZERO)) if self._far else self._clock.now()

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
    listing: bool,
) -> _Answers:
    """Collect the answers of a quorum, one in full and the others' digests; ask another one where one fails or lags.

    Who has accepted that the rows are elsewhere has no say in a `listing`. Raise Split when no quorum is left.
    """
    first, others = quorum.split(peers)
    spare = [*first, *others]
    full: tuple[int, Any] | None = None
    digests: dict[int, Info | None] = {}
    more: dict[int, Any] = {}
    pending: dict[asyncio.Future[Reply], tuple[int, bool]] = {}
    floor = 0  # of the rings, when it is above ours
    refused: dict[int, BaseException | None] = {}

    def ask(full_wanted: bool) -> None:
        device_id, peer = spare.pop(0)
        pending[ask_full(peer) if full_wanted else ask_digest(peer)] = (device_id, full_wanted)

    def full_is_coming() -> bool:
        return full is not None or any(wanted for _device, wanted in pending.values())

    while full is None or not quorum.reached([full[0], *digests, *more]):
        while spare and not quorum.reached([*digests, *more, *([full[0]] if full else []), *_devices(pending)]):
            ask(not full_is_coming())
        if not pending or not (spare or full_is_coming()):
            raise _too_few(floor, refused)
        done, _ = await asyncio.wait(pending, timeout=HEDGE_S, return_when=asyncio.FIRST_COMPLETED)
        if not done and spare:
            ask(full is None)
        for call in done:
            device_id, full_wanted = pending.pop(call)
            if call.cancelled() or call.exception() is not None:
                refused[device_id] = None if call.cancelled() else call.exception()
                floor = max(floor, floor_of(refused.values()))
                _raise_if_known(refused)
            elif not full_wanted:
                values = call.result().metadata
                info = None if values is None else _info(values)
                accepted = refusal_of(info.metadata) if listing and info is not None else None
                if accepted is not None and not accepted.decided:
                    refused[device_id] = RemoteError(Refusal.SPLIT, accepted)
                else:
                    digests[device_id] = info
            elif full is None:
                full = (device_id, call.result().metadata)
            else:
                more[device_id] = call.result().metadata
    return _Answers(full, digests, more)


def _too_few(floor: int, refused: Mapping[int, BaseException | None]) -> Exception:
    split = split_of(refused)
    if floor or split is None:
        return StaleRings(floor) if floor else Unavailable("too few replicas answered a listing")
    return split


def _raise_if_known(refused: Mapping[int, BaseException | None]) -> None:
    """Raise Split when one of those who refused knows where the rows are."""
    split = split_of(refused)
    if split is not None and any(refusal.decided for refusal in split.refusals.values()):
        raise split


def raise_if_moved(split: Split, quorum: Quorum) -> None:
    """Raise Moved when that is decided."""
    pointers = decided_by(split.refusals, quorum)
    if pointers:
        raise Moved(pointers) from split


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
    return {name: value for name, (value, _timestamp) in visible(metadata).items() if value is not None}


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
