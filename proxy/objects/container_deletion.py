"""Containers are deleted when they are empty, and no acknowledged row is lost by that.

It is decided in two steps: frozen on a quorum (which then refuses rows), found empty on all of that quorum, deleted. An
acknowledged row is on a quorum too, and the two meet. Both steps go by the same version of the rings, or are begun
again. A split container's ranges go like that, all of them, and its root then (storage.ranges).
"""

import asyncio
import os
import random
from collections.abc import Callable, Sequence
from typing import Any

from cluster.clock import HybridClock, Timestamp
from proxy.objects.containers import Containers
from proxy.objects.databases import FROZEN_WAIT_S, LIST_TIMEOUT_S, Database, Databases
from proxy.objects.errors import NoSuchContainer, Unavailable
from proxy.objects.rounds import STALE_TRIES, StaleRings, catch_up
from proxy.objects.spans import Moved
from storage.client import Placement, Replicas
from storage.messages import IndexDelete, IndexFreeze, IndexInfo, Operation
from storage.ranges.decision import Decision, Gone, Named, Tree, Undecidable, follow
from storage.ranges.pointers import Pointer

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
        try:
            for tries in range(STALE_TRIES):
                replicas = self._databases.replicas(database)
                try:
                    await self._fill(database, replicas)
                    return await self._delete(database, replicas, at)
                except Moved:
                    return await self._delete_split(database, at)
                except StaleRings:
                    continue
                except NoSuchContainer:
                    gone = await self._databases.deleted_at(database) if tries else None
                    if gone is None:
                        raise
                    return gone  # by our own try before, which a quorum has taken
        finally:
            self._containers.forget(database.account, database.container)
        raise Unavailable("the rings changed again and again")

    async def _delete(self, database: Database, replicas: Replicas, at: Timestamp | None) -> Timestamp:
        """Freeze and delete on the same replicas, for those who have not frozen it do not delete it."""
        kind, key, token = database.kind, database.key, os.urandom(16)
        try:
            freeze = IndexFreeze(kind, key, token, FREEZE_S)
            await self._databases.write(database, Operation.INDEX_FREEZE, freeze, replicas)
            timestamp = self._databases.now(database) if at is None else at
            deletion = IndexDelete(kind, key, token, timestamp)
            await self._databases.write(database, Operation.INDEX_DELETE, deletion, replicas)
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
        ranges = [self._databases.range(database, range_id) for range_id in tree.known]
        held = [(part, self._databases.replicas(part)) for part in ranges]
        steps: Sequence[Callable[[Database], tuple[Operation, tuple[Any, ...]]]] = (
            lambda part: (Operation.INDEX_FREEZE, IndexFreeze(part.kind, part.key, token, SPLIT_FREEZE_S)),
            lambda part: (
                Operation.INDEX_DELETE,
                IndexDelete(part.kind, part.key, token, self._databases.now(part)),
            ),
        )
        try:
            for step in steps:
                await asyncio.gather(*(self._databases.write(part, *step(part), replicas) for part, replicas in held))
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
        source, _peer = self._databases.in_turn(replicas)[0]
        pull = IndexInfo(database.kind, database.key, database.account, database.container, source)
        calls = [
            peer.call(Operation.INDEX_INFO, pull, b"", LIST_TIMEOUT_S, replicas.version)
            for device_id, peer in replicas.members
            if not replicas.read_quorum.share(device_id)
        ]
        await asyncio.gather(*calls, return_exceptions=True)  # who fails is missed when the deletion counts
