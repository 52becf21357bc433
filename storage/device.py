"""One device, put together: its log, databases and objects, what serves them, and what keeps house behind that.

The daemon runs one on the operating system's disk, network and clock, the simulator several on its own. Order of a
start: log, indexes and blobs recover; then everything begins at once; last the server listens. At a stop what asks
others ends first, then what is asked, then what is on disk, the log before the objects that were made from it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from cluster.config import Config
from cluster.coordination.errors import CoordinationError
from cluster.coordination.interface import Coordination
from cluster.environment import REAL, Environment
from cluster.layout import Layout
from cluster.telemetry.log import get_logger
from cluster.telemetry.metrics import Registry
from cluster.threads import UNBOUNDED
from cluster.wire import Server
from storage.blobs.record import DATA_ID_SIZE
from storage.blobs.store import BlobStore
from storage.client import Rings, connected_placement
from storage.disk import Disk, RealDisk
from storage.housekeeping.compact import INTERVAL_S, Compact
from storage.housekeeping.join import Join
from storage.housekeeping.replicate import Replicate
from storage.housekeeping.retire import Retire
from storage.housekeeping.rows import AddRows, Report, RowSender
from storage.housekeeping.schedule import Schedule
from storage.housekeeping.synchronize import Synchronize
from storage.housekeeping.throttle import Throttle
from storage.indexes.store import IndexStore, Tuning
from storage.log.committer import Committer, Committing
from storage.log.device import DeviceLog
from storage.messages import DatabaseKind
from storage.metrics import register_device, register_housekeeping, register_moves
from storage.rings.background import BackgroundStore
from storage.rings.conductor import Conductor
from storage.rings.document import OBJECT
from storage.rings.follower import RingFollower
from storage.rings.reports import device_process
from storage.service import DeviceService, pull_through

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
        self._synchronize: list[Synchronize] = []
        self._log: DeviceLog
        self._indexes: IndexStore
        self._blobs: BlobStore
        self._server: Server
        self._replicate: Replicate
        self._join: Join
        self._retire: Retire
        self._conductor: Conductor

    def __repr__(self) -> str:
        return f"StorageDevice({self._device_id}, {self._placement!r})"

    async def start(self) -> None:
        """Recover, and serve. Blocks the loop while the log is read."""
        self._open()
        service = DeviceService(
            self._blobs, self._indexes, self._placement, self._device_id, self.status, self._environment.wall_us
        )
        self._log.start()
        self._indexes.start()
        self._blobs.start()
        self._server = Server(
            self._config.cluster.key_bytes,
            service.handle,
            network=self._environment.network,
            entropy=self._environment.entropy,
            on_client_lost=service.forget_client,
        )
        self._placement.start()
        self._start_housekeeping(service)
        self._follower.start(self._take_over, self._placement.oldest_version_in_use, service.settle)
        await self._server.start(self._layout.device_address(self._config, self._device_id))
        _log.info("ready", device=self._device_id, directory=str(self._directory))

    def _open(self) -> None:
        """Recover what is on disk."""
        storage, environment, directory = self._config.storage, self._environment, self._directory
        self._disk.make_directories(str(directory))
        self._log = DeviceLog(
            str(directory / "log"),
            disk=self._disk,
            waiters=environment.threads(4, "log reads"),
            segment_bytes=storage.segment_bytes,
            entropy=environment.entropy,
            committer=self._committer,
        )
        tuning = Tuning(handles=storage.max_open_indexes)
        self._indexes = IndexStore(
            directory / "indexes", self._log, pull_through(self._placement), tuning, environment
        )
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
        )

    async def stop(self) -> None:
        """Finish what is under way, and leave everything on disk as the next start likes it best."""
        await self._schedule.close()
        await self._close_rings()
        await self._server.close()
        await self._placement.close()
        await self._indexes.close()
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
        sender = RowSender(placement)
        add_rows = AddRows(self._blobs, sender, placement, device_id, wall)
        self._replicate = Replicate(
            self._blobs, service.fetch, self._rings, device_id, placement.peers, interval_s, wall
        )
        self._schedule.add(self._replicate, CATCH_UP_DELAY_S)
        for kind in DatabaseKind:
            synchronize = Synchronize(
                kind, self._indexes, self._rings, device_id, placement.peers, interval_s, wall
            )
            self._synchronize.append(synchronize)
            self._schedule.add(synchronize, CATCH_UP_DELAY_S)
        self._schedule.add(add_rows, CATCH_UP_DELAY_S)
        self._schedule.add(Report(self._indexes, sender))
        compact = Compact(self._blobs.compaction)
        self._schedule.add(compact, INTERVAL_S)
        self._start_moving(service, lambda: self._schedule.wake(compact.name))
        register_device(self._registry, self.status)
        register_housekeeping(self._registry, self._replicate, self._synchronize, add_rows)
        register_moves(self._registry, self._join, self._retire)

    def _start_moving(self, service: DeviceService, on_dropped: Callable[[], None]) -> None:
        """Begin to do what changes of the rings ask of this device."""
        placement, device_id, wall = self._placement, self._device_id, self._environment.wall_us
        blobs, indexes, peers = self._blobs, self._indexes, self._placement.peers
        throttle = Throttle(self._config.storage.rebalance_bytes_per_s)
        self._join = Join(
            device_id, self._rings, peers, blobs, service.fetch, indexes, self._background, throttle, wall
        )
        self._retire = Retire(
            device_id, self._rings, placement.peers, blobs, indexes, throttle, on_dropped, wall
        )
        self._conductor = Conductor(self._background, self._name, wall)
        for task in (self._join, self._retire, self._conductor):
            self._schedule.add(task, CATCH_UP_DELAY_S)

    def _rings(self) -> Rings:
        return self._placement.rings

    def _take_over(self, rings: Rings) -> None:
        """Go by new rings."""
        self._placement.update(rings)
        for name in (self._join.name, self._retire.name, self._conductor.name):
            self._schedule.wake(name)
        self._compare_now()

    def _on_peer_state(self, up: bool) -> None:
        """Compare with a peer as soon as it is back: each may have what the other has missed."""
        if up:
            self._compare_now()

    def _compare_now(self) -> None:
        for name in (self._replicate.name, *(task.name for task in self._synchronize)):
            self._schedule.wake(name)

    # state

    def status(self) -> Mapping[str, Any]:
        """Return the state of the device in figures and words."""
        databases = [task.lacking_count for task in self._synchronize]
        copying = self._join.progress
        return {
            "device": self._device_id,
            "replicas_lacking": self._replicate.lacking_count,
            "databases_lacking": None if None in databases else sum(filter(None, databases)),
            "rings_version": self._placement.rings.version,
            "partitions_to_copy": 0 if copying is None else copying.partitions_total - copying.partitions_done,
            "partitions_misplaced": self._retire.misplaced_count,
            "moving_waits": (copying.waiting if copying is not None else "") or self._retire.waiting,
            **self._blobs.status(),
        }

    def health(self) -> tuple[bool, Mapping[str, Any]]:
        """Tell whether the device serves, and its state."""
        status = self.status()
        return not status["failed"], status
