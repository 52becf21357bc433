"""One device, put together: its log, databases and objects, what serves them, and what keeps house behind that.

The daemon runs one on the operating system's disk, network and clock, the simulator several on its own. Order of a
start: log, indexes and blobs recover; then everything begins at once; last the server listens. At a stop what asks
others ends first, then what is asked, then what is on disk, the log before the objects that were made from it.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from cluster.clock import HybridClock, deviation_s
from cluster.config import Config
from cluster.coordination.errors import CoordinationError
from cluster.coordination.interface import Coordination
from cluster.environment import REAL, Environment
from cluster.layout import Layout
from cluster.telemetry.log import get_logger
from cluster.telemetry.metrics import Registry
from cluster.threads import UNBOUNDED
from cluster.wire import Server
from storage.blobs.quarantine import Quarantined
from storage.blobs.record import DATA_ID_SIZE
from storage.blobs.store import BlobStore
from storage.chunks.store import ChunkStore
from storage.client import Rings, connected_placement
from storage.disk import Disk, RealDisk, drop_unfinished
from storage.health.condition import Health, Service
from storage.health.disk import ObservedDisk
from storage.health.door import Door
from storage.health.gate import Gate
from storage.health.monitor import Signs
from storage.housekeeping.bookmark import FileBookmark
from storage.housekeeping.budget import Both, Budget, Gauge
from storage.housekeeping.compact import INTERVAL_S, Compact
from storage.housekeeping.deletion import Deletion
from storage.housekeeping.expire import Expire
from storage.housekeeping.heal import Heal
from storage.housekeeping.heal_databases import HealDatabases
from storage.housekeeping.join import Join
from storage.housekeeping.orphans import Orphans
from storage.housekeeping.promise import Promises
from storage.housekeeping.rebuild import Rebuild
from storage.housekeeping.reclaim import Reclaim
from storage.housekeeping.reclaim_databases import ReclaimDatabases, elsewhere
from storage.housekeeping.replicate import Replicate
from storage.housekeeping.replicate_chunks import ReplicateChunks
from storage.housekeeping.retire import Retire
from storage.housekeeping.rows import AddRows, Report, RowSender
from storage.housekeeping.schedule import Schedule
from storage.housekeeping.scrub import Scrub
from storage.housekeeping.scrub_chunks import ChunkArea
from storage.housekeeping.settle import Settle
from storage.housekeeping.split import SplitContainers
from storage.housekeeping.stand_in import StandIn
from storage.housekeeping.synchronize import Synchronize
from storage.housekeeping.throttle import Throttle
from storage.indexes.area import DatabaseArea
from storage.indexes.store import IndexStore
from storage.indexes.tuning import Tuning
from storage.log.committer import Committer, Committing
from storage.log.device import DeviceLog
from storage.membership.local import LocalFile
from storage.membership.membership import Membership
from storage.membership.position import TellPosition
from storage.messages import DatabaseKind
from storage.metrics import (
    register_chunks,
    register_clearing,
    register_copies,
    register_device,
    register_housekeeping,
    register_moves,
    register_repair,
    register_scrub,
    register_splits,
)
from storage.rings.background import BackgroundStore
from storage.rings.conductor import Conductor
from storage.rings.document import OBJECT
from storage.rings.follower import RingFollower
from storage.rings.reports import device_process
from storage.service import DeviceService, pull_through

CLEARING_DELAY_S = 10.0  # from start to the first look for garbage: what is more urgent comes first
DAMAGE_SHOWN = 20  # damaged chunks that status names
CATCH_UP_DELAY_S = 1.0  # from start to the first comparison with peers: they connect meanwhile
_log = get_logger("storage")


class StorageDevice:
    """device = StorageDevice(config, layout, 3, connect); await device.start(); ...; await device.stop()"""

    def __init__(
        self,
        config: Config,
        layout: Layout,
        device_id: int,
        connect: Callable[[], Coordination],
        *,
        registry: Registry | None = None,
        environment: Environment = REAL,
        disk: Disk | None = None,
        boot_id: str | None = None,
        committer: Callable[..., Committing] = Committer,
    ) -> None:
        """`connect` gives connections to coordination, each for one thread; `boot_id` changes with a power cut."""
        self._config = config
        self._layout = layout
        self._device_id = device_id
        self._name = device_process(device_id)
        self._registry = registry or Registry()
        self._environment = environment
        self._disk = disk or RealDisk()
        self._boot_id = boot_id
        self._committer = committer
        self._directory = layout.device(config.device(device_id))
        self._coordination = connect()
        self._background = BackgroundStore(connect, environment.threads(1, "rings", UNBOUNDED))
        self._follower = RingFollower(self._coordination, self._name, self._background, environment.wall_us)
        self._placement = connected_placement(
            config, layout, self._follower.load(), self._follower.refresh, self._on_peer_state, environment
        )
        self._schedule = Schedule()
        self.start_again: Callable[[], None] = lambda: None  # called when only a new start, with recovery, helps
        self._budget = Budget(config.storage.min_repair_bytes_per_s, config.storage.repair_bytes_per_s)
        self._membership: Membership
        self._synchronize: list[Synchronize] = []
        self._log: DeviceLog
        self._indexes: IndexStore
        self._blobs: BlobStore
        self._chunks: ChunkStore
        self._door: Door
        self._hardware = Health(since_us=environment.wall_us())
        self._replicate: Replicate
        self._replicate_chunks: ReplicateChunks
        self._chunk_area: ChunkArea
        self._scrub: Scrub
        self._heal: Heal
        self._heal_databases: HealDatabases
        self._join: Join
        self._retire: Retire
        self._reclaim: Reclaim
        self._reclaim_databases: ReclaimDatabases
        self._rebuild: Rebuild
        self._stand_in: StandIn
        self._conductor: Conductor

    def __repr__(self) -> str:
        return f"StorageDevice({self._device_id}, {self._placement!r})"

    async def start(self) -> None:
        """Recover, and serve. Blocks the loop while the log is read."""
        self._open()
        service = DeviceService(
            self._blobs,
            self._indexes,
            self._placement,
            self._device_id,
            self.status,
            self._environment.wall_us,
            self._membership.votes,
            self._budget,
            self._chunks,
        )
        self._log.start()
        self._indexes.start()
        self._blobs.start()
        self._chunks.start()
        gate = Gate(service.handle)
        server = Server(
            self._config.cluster.key_bytes,
            gate.handle,
            network=self._environment.network,
            entropy=self._environment.entropy,
            wall=self._environment.wall_us,
        )
        self._door = Door(server, gate, self._layout.device_address(self._config, self._device_id))
        self._placement.start()
        self._start_housekeeping(service)
        self._membership.start()
        self._follower.start(self._take_over, self._placement.oldest_version_in_use, service.settle)
        await self._door.open()
        _log.info("ready", device=self._device_id, directory=str(self._directory))

    def _open(self) -> None:
        """Recover what is on disk."""
        storage, environment, directory = self._config.storage, self._environment, self._directory
        self._disk.make_directories(str(directory))
        drop_unfinished(self._disk, str(directory))
        self._log = DeviceLog(
            str(directory / "log"),
            disk=self._disk,
            waiters=environment.threads(4, "log reads"),
            segment_bytes=storage.segment_bytes,
            entropy=environment.entropy,
            committer=self._committer,
        )
        tuning = Tuning(handles=storage.max_open_indexes, split_rows=storage.container_split_rows)
        self._indexes = IndexStore(
            directory / "indexes", self._log, pull_through(self._placement), tuning, environment
        )
        self._indexes.is_elsewhere = elsewhere(self._placement, self._device_id)
        self._indexes.recover()
        self._blobs = BlobStore(
            self._log,
            str(directory / "blobs"),
            self._placement.rings.current[OBJECT].part_power,
            disk=self._disk,
            waiters=environment.threads(4, "files"),
            full_ratio=storage.refuse_full_ratio,
            upload_ttl_s=storage.upload_ttl_s,
            wall=environment.wall_us,
            boot_id=self._boot_id,
            new_id=lambda: environment.entropy(DATA_ID_SIZE),
            on_corrupt=self._on_corrupt,
            on_index_damaged=lambda: self.start_again(),
        )
        self._chunks = ChunkStore(
            str(directory),
            disk=self._disk,
            environment=environment,
            is_full=lambda: self._blobs.is_full,
        )
        self._enter()

    def _enter(self) -> None:
        """Find out whether this is the device that it was, with all its data, before anything is served."""
        environment = self._environment
        self._membership = Membership(
            self._device_id,
            self._coordination,
            self._background,
            LocalFile(self._disk, str(self._directory)),
            environment.wall_us,
            environment.entropy,
            self._on_membership,
        )
        lost = self._blobs.lost_data or self._chunks.lost_data
        self._membership.enter(self._log.log_id, self._log.end, lost)
        self._blobs.loss_is_known()
        self._chunks.loss_is_known()
        self._membership.on_floor = self._blobs.raise_floor
        self._blobs.raise_floor(self._membership.floor)

    async def stop(self) -> None:
        """Finish what is under way, and leave everything on disk as the next start likes it best."""
        await self._schedule.close()
        await self._scrub.close()
        await self._membership.close(self._log.end)
        await self._close_rings()
        await self._door.close()
        await self._placement.close()
        await self._indexes.close()
        await self._chunks.close()
        await self._blobs.stop()
        await self._log.close()
        self._blobs.close()
        self._coordination.close()
        _log.info("stopped", device=self._device_id)

    async def _close_rings(self) -> None:
        """Let another device conduct a change, and follow no more."""
        try:
            await self._conductor.close()
        except CoordinationError as error:
            _log.info("lease_kept", reason=str(error))
        await self._follower.close(forget=False)  # its floor counts while it is away: it starts no lower
        await self._background.close()

    # behind the requests

    def _start_housekeeping(self, service: DeviceService) -> None:
        placement, device_id, wall = self._placement, self._device_id, self._environment.wall_us
        interval_s = self._config.storage.replication_interval_s
        sender = RowSender(placement, lambda: self._indexes.floor)
        clock = HybridClock(int.from_bytes(self._environment.entropy(4), "big"), wall)
        settle = Settle(Promises(placement, clock))
        add_rows = AddRows(self._blobs, sender, placement, device_id, wall, settle.renew)
        votes = self._membership.roster.votes
        self._replicate = Replicate(
            self._blobs,
            service.copies,
            self._rings,
            device_id,
            placement.peers,
            interval_s,
            wall,
            self._budget,
            votes,
        )
        self._schedule.add(self._replicate, CATCH_UP_DELAY_S)
        assert service.chunks is not None
        self._replicate_chunks = ReplicateChunks(
            service.chunks.upkeep,
            placement.names,
            self._rings,
            device_id,
            placement.peers,
            interval_s,
            self._budget,
            votes,
        )
        self._schedule.add(self._replicate_chunks, CATCH_UP_DELAY_S)
        self._chunks.table.on_damage = lambda: self._schedule.wake(ReplicateChunks.name)
        for kind in DatabaseKind:
            synchronize = Synchronize(
                kind, self._indexes, self._rings, device_id, placement.peers, interval_s, wall, votes
            )
            self._synchronize.append(synchronize)
            self._schedule.add(synchronize, CATCH_UP_DELAY_S)
        self._schedule.add(add_rows, CATCH_UP_DELAY_S)
        self._schedule.add(Report(self._indexes, sender))
        self._start_splitting()
        compact = Compact(self._blobs.compaction)
        self._schedule.add(compact, INTERVAL_S)
        self._start_scrubbing(service)
        self._start_clearing(sender, clock, settle)
        self._start_moving(service, lambda: self._schedule.wake(compact.name))
        register_device(self._registry, self.status)
        register_housekeeping(self._registry, self._replicate, self._synchronize, add_rows)
        register_moves(self._registry, self._join, self._retire)
        register_copies(self._registry, service)

    def _start_clearing(self, sender: RowSender, clock: HybridClock, settle: Settle) -> None:
        """Begin to give up what is garbage: old tombstones, expired objects, parts that nothing names."""
        storage, blobs, environment = self._config.storage, self._blobs, self._environment
        placement, device_id, wall = self._placement, self._device_id, environment.wall_us
        promises = Promises(placement, clock)
        deletion = Deletion(promises, sender, device_id, blobs.confirm_rows, wall)
        blobs.tell_promised(settle.note)
        self._schedule.add(settle, CLEARING_DELAY_S)
        trusted = self.clock_is_trusted
        self._reclaim = Reclaim(
            blobs.reclaims, placement, device_id, storage.reclaim_age_s, self._budget, wall, trusted
        )
        self._reclaim_databases = ReclaimDatabases(
            self._indexes, placement, device_id, storage.reclaim_age_s, sender, self._budget, wall, trusted
        )
        expire = Expire(blobs, deletion, placement, device_id, trusted)
        bookmark = FileBookmark(self._disk, str(self._directory), "orphans", environment.threads(1, "bookmarks"))
        orphans = Orphans(
            self._indexes,
            deletion,
            sender,
            placement,
            device_id,
            bookmark,
            storage.orphan_grace_s,
            wall,
            trusted,
        )
        self._schedule.add(expire, CATCH_UP_DELAY_S)
        self._schedule.add(self._reclaim, CLEARING_DELAY_S)
        self._schedule.add(self._reclaim_databases, CLEARING_DELAY_S)
        self._schedule.add(orphans, CLEARING_DELAY_S)
        register_clearing(self._registry, self._reclaim, self._reclaim_databases, expire, orphans)

    def _start_scrubbing(self, service: DeviceService) -> None:
        """Begin to look for damage, and to make it good."""
        storage, blobs, wall = self._config.storage, self._blobs, self._environment.wall_us
        assert service.chunks is not None
        votes = self._membership.roster.votes
        peers = self._placement.peers
        self._chunk_area = ChunkArea(service.chunks.upkeep, self._rings, self._device_id, peers, votes)
        self._scrub = Scrub(
            (*blobs.areas, DatabaseArea(self._indexes, self._indexes.stored_bytes), self._chunk_area),
            blobs.quarantine,
            self._disk,
            str(self._directory / "scrub"),
            self._environment.threads(1, "scrub"),
            storage.scrub_bytes_per_s,
            storage.scrub_cycle_s,
            self._budget,
            wall,
        )
        replicas = self._placement.replicas
        self._heal = Heal(
            self._device_id, blobs, service.copies.fetch_again, lambda key: replicas(OBJECT, key), self._budget
        )
        self._heal_databases = HealDatabases(self._device_id, self._indexes, replicas)
        service.scrub = self._answer_scrub
        self._indexes.on_catalog_damaged = lambda: self.start_again()
        self._indexes.on_damage = lambda: self._schedule.wake(HealDatabases.name)
        for task in (self._scrub, self._heal, self._heal_databases):
            self._schedule.add(task, CATCH_UP_DELAY_S)
        register_scrub(self._registry, self._scrub, self._heal)

    def _answer_scrub(self, now: bool) -> Mapping[str, Any]:
        """Tell how scrubbing is; with `now` begin a pass."""
        if now and self._scrub.request():
            self._schedule.wake(self._scrub.name)
        return self._scrubbing()

    def _scrubbing(self) -> Mapping[str, Any]:
        return {
            **self._scrub.progress(),
            "quarantined": len(self._blobs.quarantine),
            "databases_damaged": len(self._indexes.incomplete),
            "databases_wait": self._heal_databases.waiting,
            "lost": self._heal.lost_count,
            "lost_objects": self._heal.lost(),
            "chunks_differ": len(self._chunk_area.amiss()),
            "differing_chunks": self._chunk_area.amiss()[:DAMAGE_SHOWN],
        }

    def _on_corrupt(self, _found: Quarantined) -> None:
        self._schedule.wake(Heal.name)

    def _start_splitting(self) -> None:
        """Begin to split containers that have grown."""
        self._split = SplitContainers(
            self._indexes,
            self._placement,
            self._background,
            self._name,
            self._config.storage.container_split_rows,
            self._budget,
            self._environment,
        )
        self._indexes.is_moving = self._split.is_attending
        self._schedule.add(self._split, CATCH_UP_DELAY_S)
        register_splits(self._registry, self._split)

    def _start_moving(self, service: DeviceService, on_dropped: Callable[[], None]) -> None:
        """Begin to do what changes of the rings ask of this device."""
        device_id, wall = self._device_id, self._environment.wall_us
        blobs, indexes, peers = self._blobs, self._indexes, self._placement.peers
        members, votes = self._membership.members, self._membership.roster.votes
        assert service.chunks is not None
        chunks = service.chunks.upkeep
        moving = Both(self._budget, Throttle(self._config.storage.rebalance_bytes_per_s))
        self._join = Join(
            device_id,
            self._rings,
            peers,
            blobs,
            service.copies,
            indexes,
            self._background,
            moving,
            wall,
            members,
            self.takes_copies,
            chunks,
        )
        self._retire = Retire(
            device_id, self._rings, peers, blobs, indexes, moving, on_dropped, wall, chunks, votes
        )
        self._rebuild = Rebuild(
            self._membership, self._rings, peers, blobs, service.copies, indexes, self._budget, wall, chunks=chunks
        )
        self._stand_in = StandIn(
            device_id,
            self._rings,
            peers,
            blobs,
            service.copies,
            indexes,
            self._budget,
            self._config.storage.handoff_after_s,
            self._config.storage.replication_interval_s,
            votes,
            self._look_for_misplaced,
            wall,
            self.takes_copies,
            chunks,
        )
        self._join.on_overtaken = self._look_for_misplaced
        self._replicate.on_overtaken = self._replicate_chunks.on_overtaken = self._look_for_misplaced
        for synchronize in self._synchronize:
            synchronize.on_overtaken = self._look_for_misplaced
        self._retire.kept = lambda: self._stand_in.kept
        self._retire.paused = lambda: self._membership.rebuilding
        self._retire.settled = service.settle
        self._conductor = Conductor(self._background, self._name, wall)
        position = TellPosition(self._membership, lambda: self._log.end)
        gauge = Gauge(
            self._budget, self._log.settled, lambda: self._log.queued_bytes, lambda: service.request_count
        )
        for task in (self._join, self._retire, self._rebuild, self._stand_in, self._conductor, position, gauge):
            self._schedule.add(task, CATCH_UP_DELAY_S)
        register_repair(self._registry, self._rebuild, self._stand_in, self._budget)
        register_chunks(
            self._registry,
            service.chunks.pulls,
            self._replicate_chunks,
            self._rebuild,
            self._join,
            self._retire,
        )

    def _look_for_misplaced(self) -> None:
        """Look again at what is here and should not be: what this device stands in for, or just copied, has changed."""
        self._retire.look_again()
        self._schedule.wake(self._retire.name)

    def _on_membership(self) -> None:
        """Go on, now that this device or another one has lost data or is whole again."""
        if not self._membership.rebuilding:
            self._blobs.made_whole()
        for name in (self._rebuild.name, self._join.name, self._retire.name, self._stand_in.name):
            self._schedule.wake(name)
        self._compare_now()

    def _rings(self) -> Rings:
        return self._placement.rings

    def _take_over(self, rings: Rings) -> None:
        """Go by new rings."""
        self._placement.update(rings)
        for name in (self._join.name, self._retire.name, self._rebuild.name, self._stand_in.name, self._conductor.name):
            self._schedule.wake(name)
        self._compare_now()

    def _on_peer_state(self, up: bool) -> None:
        """Compare with a peer as soon as it is back: each may have what the other has missed."""
        if up:
            self._compare_now()
            self._schedule.wake(self._rebuild.name)
            self._schedule.wake(self._retire.name)
            self._heal.retry()
            for name in (self._heal.name, self._heal_databases.name):
                self._schedule.wake(name)

    def _compare_now(self) -> None:
        for name in (self._replicate.name, self._replicate_chunks.name, *(task.name for task in self._synchronize)):
            self._schedule.wake(name)

    # hardware

    def signs(self) -> Signs:
        """Return what the device has met of its disk, for a monitor."""
        failed = self._log.failed
        observed = self._disk if isinstance(self._disk, ObservedDisk) else None
        failed = failed or self._chunks.journal.failed
        return Signs(
            batch_since_s=self._log.batch_since_s,
            log_failure="" if failed is None else str(failed.detail),
            log_is_full=self._log.is_full,
            write_failure="" if observed is None else observed.write_failure,
            read_errors=0 if observed is None else observed.read_errors(),
        )

    def follow(self, hardware: Health) -> None:
        """Serve as far as the hardware allows, from now on. What is final ends housekeeping, too."""
        before, self._hardware = self._hardware, hardware
        self._door.follow(hardware)
        if hardware.condition.is_final and not before.condition.is_final:
            self._blobs.suspend()
            self._suspending = asyncio.get_running_loop().create_task(self._schedule.close())

    def takes_copies(self) -> bool:
        """Tell whether there is room for what could be elsewhere."""
        return self._hardware.service is Service.ALL

    def clock_off_s(self) -> float | None:
        """Return how far our clock is ahead of the median of the peers'; None while that is not known."""
        return deviation_s(peer.clock_offset_s for peer in self._placement.peers.values())

    def clock_is_trusted(self) -> bool:
        """Tell whether things may be thrown away because of their age."""
        return abs(self.clock_off_s() or 0.0) <= self._config.cluster.clock_warn_s

    # state

    def status(self) -> Mapping[str, Any]:
        """Return the state of the device in figures and words."""
        databases = [task.lacking_count for task in self._synchronize]
        copying = self._join.progress
        return {
            "device": self._device_id,
            "replicas_lacking": self._replicate.lacking_count,
            "chunks_lacking": self._replicate_chunks.lacking_count,
            "chunks_damaged": len(self._chunks.table.damaged),
            "damaged_chunks": self._chunks.damaged_files(DAMAGE_SHOWN),
            "databases_lacking": None if None in databases else sum(filter(None, databases)),
            "rings_version": self._placement.rings.version,
            "partitions_to_copy": 0 if copying is None else copying.partitions_total - copying.partitions_done,
            "partitions_misplaced": self._retire.misplaced_count,
            "moving_waits": (copying.waiting if copying is not None else "") or self._retire.waiting,
            "split_containers": self._indexes.split_counts[0],
            "container_ranges": self._indexes.split_counts[1],
            "splitting_waits": self._split.waiting,
            "reclaim_waits": self._reclaim.waiting or self._reclaim_databases.waiting,
            **self._blobs.status(),
            **self._chunks.status(),
            "membership": self._rebuild.status(),
            "rebuilding": self._membership.rebuilding,
            "partitions_to_rebuild": self._rebuild.left_count,
            "standing_in": self._stand_in.status(),
            "partitions_stood_in": len(self._stand_in.kept),
            "repair_bytes_per_s": round(self._budget.rate),
            "scrub": self._scrubbing(),
            "unrecoverable": self._heal.lost_count,
            "chunks_differ": len(self._chunk_area.amiss()),
            "databases_damaged": len(self._indexes.incomplete),
            "health": self._hardware.facts(),
            "failure": self._hardware.sentence() if self._hardware.condition.is_out else "",
            "clock_off_s": self.clock_off_s(),
        }

    def health(self) -> tuple[bool, Mapping[str, Any]]:
        """Tell whether the device serves, and its state."""
        status = self.status()
        return not status["failed"] and not self._hardware.condition.is_out, status
