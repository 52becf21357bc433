"""Databases of rows, of containers and accounts, on quorums of their primaries: how they are written and read.

A row is acknowledged when a quorum has it. A reader asks one replica for the answer and another for its digest: equal
digests mean equal content, so the answer is what a quorum holds; else the first replica pulls what the second has and
it lacks, durably, and answers again. Either way it contains every row acknowledged before, and what it showed
once it shows from then on.

While rings change (storage.client) every round goes by one version of them, so its quorums are of that; one that is
refused as too old is begun again by newer ones. Doing it twice does no harm, for rows and states merge.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from cluster.clock import ZERO, HybridClock, Timestamp
from cluster.wire import Peer, PeerUnavailable, RemoteError, Reply
from proxy.objects import rounds
from proxy.objects.database_round import gather, raise_if_moved
from proxy.objects.errors import ContainerNotEmpty, NoSuchContainer, TooOld, Unavailable
from proxy.objects.rounds import (
    READ_TRIES,
    STALE_TRIES,
    Peers,
    Refused,
    Split,
    StaleRings,
    Superseded,
    catch_up,
    require_quorum,
    write,
)
from storage.client import Placement, Replicas
from storage.messages import DatabaseKind, IndexInfo, Info, Listing, Operation, Refusal, parse
from storage.quorum import Majority, Quorum
from storage.ranges.pointers import range_database
from storage.ranges.state import parse_refusal

FROZEN_WAIT_S = 6.0  # how long rows wait for the end of a freeze
LIST_TIMEOUT_S = 10.0
_FAR_LIMIT = 10_000  # databases whose stamps are far ahead that are remembered

_AnswerT = TypeVar("_AnswerT", Info, Listing)


@dataclass(frozen=True, slots=True)
class Database:
    """Which database: a container's or an account's."""

    kind: DatabaseKind
    key: bytes
    account: str
    container: str  # empty for an account


class Databases:
    """Those of a cluster."""

    def __init__(self, placement: Placement, clock: HybridClock) -> None:
        self._placement = placement
        self._clock = clock
        self._turn = 0
        self._far: dict[bytes, Timestamp] = {}  # key -> what was met there, of databases with stamps far ahead

    def container(self, account: str, container: str) -> Database:
        """Return the database of a container."""
        key = self._placement.names.key(account, container)
        return Database(DatabaseKind.CONTAINER, key, account, container)

    def account(self, account: str) -> Database:
        """Return the database of an account."""
        return Database(DatabaseKind.ACCOUNT, self._placement.names.key(account), account, "")

    def range(self, database: Database, range_id: str) -> Database:
        """Return a range database of a container (storage.ranges)."""
        return self.container(*range_database(database.account, database.container, range_id))

    def replicas(self, database: Database) -> Replicas:
        """Return the replicas of a database by the rings of now."""
        return self._placement.replicas(database.kind, database.key)

    async def write(
        self,
        database: Database,
        operation: Operation,
        message: tuple[Any, ...],
        replicas: Replicas | None = None,
    ) -> Mapping[int, Any]:
        """Bring a change to a quorum; return what those say, by device id.

        `replicas`: of a version to stay with, or to raise StaleRings.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + FROZEN_WAIT_S
        while True:
            chosen = replicas or self.replicas(database)
            require_quorum(chosen.members, chosen.writers)
            try:
                return await write(loop, chosen, operation, message)
            except Superseded as overtaken:
                self._clock.observe(overtaken.timestamp)
                raise TooOld("it is older than what is remembered of deletions") from overtaken
            except Refused as refused:
                if replicas is not None and isinstance(refused, StaleRings):
                    raise
                await self._refused(refused, chosen.writers, loop.time() > deadline)

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

        return await self.read(database, message, info_in)

    async def read(
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
                raise_if_moved(split, self.replicas(database).read_quorum)
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
        replicas = self.replicas(database)
        readers = self.in_turn(replicas)
        require_quorum(readers, replicas.read_quorum)
        version = replicas.version
        digest_message = IndexInfo(database.kind, database.key, database.account, database.container, None)

        def ask_full(peer: Peer) -> "asyncio.Future[Reply]":
            return peer.call(*message(None), b"", LIST_TIMEOUT_S, version)

        def ask_digest(peer: Peer) -> "asyncio.Future[Reply]":
            return peer.call(Operation.INDEX_INFO, digest_message, b"", LIST_TIMEOUT_S, version)

        answers = await gather(readers, replicas.read_quorum, ask_full, ask_digest, decode is listing_in)
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

    def now(self, database: Database) -> Timestamp:
        """Return a timestamp above all that we know of a database."""
        return self._clock.after(self._far.get(database.key, ZERO)) if self._far else self._clock.now()

    def in_turn(self, replicas: Replicas) -> Peers:
        """Return whom a read may ask, beginning with another one each time."""
        self._turn += 1
        return rounds.in_turn(replicas, self._turn)


def info_in(values: Any) -> Info:
    """Decode the state of a database."""
    return parse(Info, values)


def listing_in(values: Any) -> Listing:
    """Decode a page of a database."""
    info, items, truncated = values
    return Listing(parse(Info, info), items, truncated)


def _digest_of(answer: Info | Listing | None) -> bytes:
    if answer is None:
        return b""
    return answer.info.digest if isinstance(answer, Listing) else answer.digest
