"""Devices of a loopback cluster: what `storage.daemon` puts together, without sockets."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast

from cluster.clock import HybridClock
from cluster.environment import Environment
from cluster.threads import WaiterThreads
from ring.lookup import Ring
from storage.blobs.store import BlobStore
from storage.chunks.store import ChunkStore
from storage.client import Placement, Rings
from storage.copying import UNLIMITED
from storage.disk import RealDisk
from storage.housekeeping.bookmark import FileBookmark
from storage.housekeeping.deletion import Deletion
from storage.housekeeping.expire import Expire
from storage.housekeeping.orphans import Orphans
from storage.housekeeping.promise import Promises
from storage.housekeeping.reclaim import Reclaim
from storage.housekeeping.reclaim_databases import ReclaimDatabases, elsewhere
from storage.housekeeping.replicate import Replicate
from storage.housekeeping.retire import Retire
from storage.housekeeping.rows import AddRows, Report, RowSender
from storage.housekeeping.settle import Settle
from storage.housekeeping.synchronize import Synchronize
from storage.housekeeping.throttle import Throttle
from storage.indexes.store import IndexStore
from storage.indexes.tuning import Tuning
from storage.log.device import DeviceLog
from storage.membership.votes import Votes
from storage.messages import DatabaseKind
from storage.service import DeviceService, pull_through
from tests.loopback.connection import LoopbackPeer

FIRST_PROXY = 1000  # node number of a proxy's clock
_INTERVAL_S = 3600.0  # tests take the steps of housekeeping themselves
_TUNING = Tuning(merge_delay_s=0.05)


class Surroundings(Protocol):
    """The cluster, as a device sees it."""

    @property
    def ring(self) -> Ring: ...
    @property
    def split_rows(self) -> int: ...
    def votes(self, device: "LoopbackDevice") -> Votes: ...
    def time_us(self) -> int: ...
    def placement(self, client: str) -> Placement: ...
    def peers_of(self, device_id: int) -> Iterator[LoopbackPeer]: ...


class _NoSync(RealDisk):
    """A disk that does not wait: a process that crashes leaves the page cache behind."""

    def fdatasync(self, fd: int) -> None: ...

    def fsync(self, fd: int) -> None: ...

    def fsync_directory(self, path: str) -> None: ...


class LoopbackDevice:
    """One device: what `storage.daemon` puts together, without sockets."""

    def __init__(self, cluster: Surroundings, device_id: int, directory: Path) -> None:
        self.cluster = cluster
        self.id = device_id
        self.directory = directory
        self.running = False
        self.starts = 0
        self.placement = cluster.placement(f"device {device_id}")
        self.log: DeviceLog
        self.blobs: BlobStore
        self.chunks: ChunkStore
        self.indexes: IndexStore
        self.service: DeviceService

    def __repr__(self) -> str:
        return f"LoopbackDevice({self.id}, {'running' if self.running else 'stopped'})"

    @property
    def peers(self) -> Mapping[int, LoopbackPeer]:
        """Connections to all devices."""
        return peers_in(self.placement)

    def start(self) -> None:
        """Open the directory, with recovery, and serve."""
        disk = _NoSync()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log = DeviceLog(str(self.directory / "log"), disk=disk)
        tuning = replace(_TUNING, split_rows=self.cluster.split_rows)
        wall = self.cluster.time_us
        environment = Environment(wall_us=wall)
        pull = pull_through(self.placement)
        self.indexes = IndexStore(self.directory / "indexes", self.log, pull, tuning, environment)
        self.indexes.is_elsewhere = elsewhere(self.placement, self.id)
        self.indexes.recover()
        self.blobs = BlobStore(
            self.log, str(self.directory / "blobs"), self.cluster.ring.part_power, disk=disk, wall=wall
        )
        self.chunks = ChunkStore(str(self.directory), disk=disk)
        votes = self.cluster.votes(self)
        self.service = DeviceService(
            self.blobs, self.indexes, self.placement, self.id, dict, wall, votes, chunks=self.chunks
        )
        self.log.start()
        self.indexes.start()
        self.blobs.start()
        self.chunks.start()
        self.running = True
        self.starts += 1

    async def stop(self) -> None:
        """Stop as the daemon does at SIGTERM."""
        self._disconnect()
        await self.indexes.close()
        await self.chunks.close()
        await self.blobs.stop()
        await self.log.close()
        self.blobs.close()

    async def crash(self) -> None:
        """Lose all that is in memory: uploads, freezes, pending rows; nothing is checkpointed.

        What was handed to the log before is on disk.
        """
        self._disconnect()
        await self.chunks.crash()
        await self.blobs.stop()
        await self.log.close()
        self.blobs.index.close()
        await _drop(self.indexes)

    def _disconnect(self) -> None:
        self.running = False
        for peer in self.cluster.peers_of(self.id):
            peer.cut("the device is down")
        for peer in self.peers.values():
            peer.cut("we are going down")

    # housekeeping, step by step

    def replicate(self) -> Replicate:
        """Return the task that pulls objects from the other devices."""
        peers = self.placement.peers
        return Replicate(self.blobs, self.service.copies, self._rings, self.id, peers, _INTERVAL_S)

    def synchronize(self, kind: DatabaseKind) -> Synchronize:
        """Return the task that pulls databases."""
        return Synchronize(kind, self.indexes, self._rings, self.id, self.placement.peers, _INTERVAL_S)

    def _rings(self) -> Rings:
        return self.placement.rings

    def add_rows(self) -> AddRows:
        """Return the task that adds missing rows."""
        placement = self.cluster.placement(f"device {self.id}")
        renew = Settle(Promises(placement, HybridClock(FIRST_PROXY // 2 + self.id, self.cluster.time_us))).renew
        sender = RowSender(placement, lambda: self.indexes.floor)
        return AddRows(self.blobs, sender, placement, self.id, renew=renew)

    def reclaim(self, age_s: float) -> Reclaim:
        """Return the task that gives up tombstones older than `age_s`."""
        wall = self.cluster.time_us
        return Reclaim(self.blobs.reclaims, self.placement, self.id, age_s, Throttle(0), wall)

    def reclaim_databases(self, age_s: float) -> ReclaimDatabases:
        """Return the task that gives up rows and databases that were deleted longer ago than `age_s`."""
        placement, wall = self.placement, self.cluster.time_us
        return ReclaimDatabases(self.indexes, placement, self.id, age_s, RowSender(placement), Throttle(0), wall)

    def expire(self) -> Expire:
        """Return the task that deletes expired objects."""
        return Expire(self.blobs, self._deletion(), self.placement, self.id)

    def orphans(self, grace_s: float) -> Orphans:
        """Return the task that deletes parts that nothing names."""
        bookmark = FileBookmark(_NoSync(), str(self.directory), "orphans", WaiterThreads(1))
        sender, wall = RowSender(self.placement), self.cluster.time_us
        return Orphans(self.indexes, self._deletion(), sender, self.placement, self.id, bookmark, grace_s, wall)

    def retire(self, votes: Callable[[int], bool] = lambda _device_id: True) -> Retire:
        """Return the task that drops what should not be here; `votes` tells whether a device has its data."""
        chunks = self.service.chunks
        assert chunks is not None
        peers = self.placement.peers
        return Retire(
            self.id, self._rings, peers, self.blobs, self.indexes, UNLIMITED, chunks=chunks.upkeep, votes=votes
        )

    def _deletion(self) -> Deletion:
        clock = HybridClock(FIRST_PROXY // 2 + self.id)
        promises = Promises(self.placement, clock)
        return Deletion(promises, RowSender(self.placement), self.id, self.blobs.confirm_rows)

    def report(self) -> Report:
        """Return the task that tells accounts what their containers hold."""
        return Report(self.indexes, RowSender(self.placement))


async def _drop(indexes: IndexStore) -> None:
    """Close the files of an index store without writing what is pending into them."""
    for timer in (indexes._merge_timer, indexes._checkpoint_timer):
        if timer is not None:
            timer.cancel()
    await indexes._thread.run(indexes._shelf.close)
    indexes._thread.close()
    indexes._syncing.close()


def peers_in(placement: Placement) -> Mapping[int, LoopbackPeer]:
    """Return the connections of a placement."""
    return cast(Mapping[int, LoopbackPeer], placement.peers)
