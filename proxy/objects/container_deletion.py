"""Containers are deleted when they are empty, and no acknowledged row is lost by that.

It is frozen on a quorum (which then refuses rows) and found empty on all of that; that it is deleted is accepted by a
quorum of those who are frozen, and told to all (storage.ranges.deletion). An acknowledged row is on a quorum too, and
the two meet. All steps go by the same version of the rings, or are begun again. So they are when a replica refuses
that has missed what a quorum knows: that the container was made, or its last object deleted. What was made anew
meanwhile stays: the life that is deleted is over. A split container's ranges go like that, all of them, and its root
then (storage.ranges).

Whoever dies after some have accepted leaves what devices settle. We do not stop in between because a client went away.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cluster.clock import HybridClock, Timestamp
from proxy.objects.containers import Containers
from proxy.objects.databases import FROZEN_WAIT_S, LIST_TIMEOUT_S, Database, Databases
from proxy.objects.errors import ContainerNotEmpty, NoSuchContainer, Unavailable
from proxy.objects.rounds import StaleRings, catch_up, heard
from proxy.objects.spans import Moved
from storage.client import Placement, Replicas
from storage.messages import Frozen, IndexFreeze, IndexInfo, IndexThaw, Info, Operation, parse
from storage.ranges.decision import Decision, Gone, Named, Tree, Undecidable, follow
from storage.ranges.deletion import acceptance_of, deletion_at
from storage.ranges.moving import TOKEN_SIZE
from storage.ranges.pointers import Pointer
from storage.ranges.state import Accepted

FREEZE_S = 5.0
SPLIT_FREEZE_S = 10.0  # of a container with ranges, all of which are deleted meanwhile
THAW_TIMEOUT_S = 5.0


class ContainerDeletion:
    """Deletes containers."""

    def __init__(
        self, placement: Placement, clock: HybridClock, databases: Databases, containers: Containers
    ) -> None:
        self._placement = placement
        self._clock = clock
        self._databases = databases
        self._containers = containers

    async def delete(self, database: Database, at: Timestamp | None = None) -> Timestamp:
        """Delete a container that is empty, now or `at` a time past; return the deletion's timestamp.

        One that was made anew after `at` stays.
        """
        deadline = asyncio.get_running_loop().time() + FROZEN_WAIT_S
        ended = at  # when its life ends: by what we were told, or have sent already
        try:
            while True:
                replicas = self._databases.replicas(database)
                token = os.urandom(TOKEN_SIZE)
                try:
                    life = await self._freeze_filled(database, replicas, token)
                    if ended is not None and life > ended:
                        self._thaw(database, replicas, token)
                        return ended  # made anew since
                    ended = self._after(database, life) if at is None else at
                    await self._decide(database, replicas, token, life, ended)
                    return ended
                except Moved:
                    return await self._delete_split(database, at)
                except StaleRings as stale:
                    self._require_time(deadline, stale)
                except (NoSuchContainer, ContainerNotEmpty) as refusal:
                    info = await self._databases.info(database)
                    if ended is not None and (info is None or info.put_timestamp > ended):
                        return ended
                    if _agrees(info, refusal):
                        raise
                    self._require_time(deadline, refusal)
                    await asyncio.sleep(random.uniform(0.005, 0.03))
        finally:
            self._containers.forget(database.account, database.container)

    def _after(self, database: Database, life: Timestamp) -> Timestamp:
        """Return when a life ends that is deleted now."""
        return self._clock.after(max(life, self._databases.now(database)))

    @staticmethod
    def _require_time(deadline: float, error: Exception) -> None:
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable(f"it could not be deleted: {error}") from error

    async def _freeze_filled(self, database: Database, replicas: Replicas, token: bytes) -> Timestamp:
        """Freeze a quorum of those who have the database, or have it from now on; return since when it exists."""
        await self._fill(database, replicas)
        async with self._thawing(database, replicas, token):
            return await self._freeze(database, replicas, token, FREEZE_S)

    async def _freeze(self, database: Database, replicas: Replicas, token: bytes, ttl_s: float) -> Timestamp:
        """Freeze a quorum that is empty; return since when the database exists."""
        message = IndexFreeze(database.kind, database.key, token, ttl_s)
        answers = await self._databases.write(database, Operation.INDEX_FREEZE, message, replicas)
        frozen = [parse(Frozen, values) for values in answers.values()]
        for item in frozen:
            if item.accepted is not None:  # a deletion that nobody has finished: ours comes after it
                self._clock.observe(Accepted(*item.accepted).ballot)
        return max(item.put_timestamp for item in frozen)

    async def _decide(
        self, database: Database, replicas: Replicas, token: bytes, life: Timestamp, timestamp: Timestamp
    ) -> None:
        """Have those who are frozen by `token` accept the deletion at `timestamp`, and tell all."""
        named = Named(database.account, database.container)
        acceptance = acceptance_of(database.key, named, life, timestamp, token)
        deletion = deletion_at(database.key, named, life, timestamp)

        async def decide() -> None:
            async with self._thawing(database, replicas, token):
                await self._databases.write(database, Operation.INDEX_MOVE, acceptance, replicas)
                await self._databases.write(database, Operation.INDEX_MOVE, deletion, replicas)

        deciding = asyncio.ensure_future(decide())
        deciding.add_done_callback(heard)
        await asyncio.shield(deciding)

    async def _delete_split(self, database: Database, at: Timestamp | None) -> Timestamp:
        """Delete a split container: its ranges, then its root, under a freeze that outlasts both (storage.ranges)."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + FROZEN_WAIT_S
        while True:
            info = await self._containers.info(database.account, database.container)
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
        async with Decision(self._placement, self._clock, root, os.urandom(TOKEN_SIZE), SPLIT_FREEZE_S) as decision:
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
        token = os.urandom(TOKEN_SIZE)
        ranges = [self._databases.range(database, range_id) for range_id in tree.known]
        held = [(part, self._databases.replicas(part)) for part in ranges]
        try:
            freezing = (self._freeze_range(part, replicas, token) for part, replicas in held)
            lives = await asyncio.gather(*freezing)
            deciding = (
                self._decide(part, replicas, token, life, self._after(part, life))
                for (part, replicas), life in zip(held, lives, strict=True)
            )
            await asyncio.gather(*deciding)
        except (Moved, StaleRings, NoSuchContainer, Unavailable) as error:
            raise Undecidable(f"a range could not be deleted: {error}") from error
        finally:
            for part, replicas in held:
                self._thaw(part, replicas, token)

    async def _freeze_range(self, part: Database, replicas: Replicas, token: bytes) -> Timestamp:
        """Freeze a range's quorum. Raise Undecidable when it is not empty only where deletions were missed."""
        try:
            return await self._freeze(part, replicas, token, SPLIT_FREEZE_S)
        except ContainerNotEmpty as refusal:
            if _agrees(await self._databases.info(part), refusal):
                raise
            raise Undecidable("a replica had missed deletions") from refusal

    @asynccontextmanager
    async def _thawing(self, database: Database, replicas: Replicas, token: bytes) -> AsyncIterator[None]:
        """Thaw when what is done meanwhile fails."""
        try:
            yield
        except BaseException as error:
            if isinstance(error, StaleRings):
                await catch_up(self._placement, error)  # so that it is heard that we thaw
            self._thaw(database, replicas, token)
            raise

    def _thaw(self, database: Database, replicas: Replicas, token: bytes) -> None:
        """End a freeze; nothing is awaited, for it ends by itself."""
        message = IndexThaw(database.kind, database.key, token)
        for _device_id, peer in replicas.members:
            if peer.up:
                version = self._placement.rings.version
                peer.call(Operation.INDEX_THAW, message, b"", THAW_TIMEOUT_S, version)

    async def _fill(self, database: Database, replicas: Replicas) -> None:
        """Let devices that join a partition have the database: they would not know what to delete."""
        if replicas.writers.reached([device_id for device_id, _peer in replicas.readers]):
            return
        source, _peer = self._databases.in_turn(replicas)[0]
        pull = IndexInfo(database.kind, database.key, database.account, database.container, source)
        calls = [
            peer.call(Operation.INDEX_INFO, pull, b"", LIST_TIMEOUT_S, replicas.version)
            for device_id, peer in replicas.members
            if not replicas.read_quorum.share(device_id)
        ]
        await asyncio.gather(*calls, return_exceptions=True)  # who fails is missed when the deletion counts


def _agrees(info: Info | None, refusal: NoSuchContainer | ContainerNotEmpty) -> bool:
    """Tell whether a quorum says what a single replica said, which may have missed a lot."""
    if isinstance(refusal, NoSuchContainer):
        return info is None
    return info is not None and info.object_count > 0
