"""The storage daemon: one process that serves one device to its peers.

    python -m storage.daemon --config DIR/cluster.toml --device N

Start: read which rings are in force; recover log, indexes and blobs; listen; connect to the other devices; then the
file DIR/run/storage-N.ready appears. New rings are taken over while it runs. SIGTERM:
finish what is under way, sync, close cleanly.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

import uvloop

from cluster.allocator import calm_collector, keep_buffers
from cluster.config import Config, load
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.coordination.errors import CoordinationError
from cluster.errors import ConfigError
from cluster.layout import Layout
from cluster.telemetry.http import AdminServer
from cluster.telemetry.log import configure, get_logger
from cluster.telemetry.metrics import Registry, register_process
from cluster.version import VERSION
from cluster.wire import Server
from storage.blobs.store import BlobStore
from storage.client import Rings, connected_placement
from storage.housekeeping.compact import INTERVAL_S, Compact
from storage.housekeeping.join import Join
from storage.housekeeping.replicate import Replicate
from storage.housekeeping.retire import Retire
from storage.housekeeping.rows import AddRows, Report, RowSender
from storage.housekeeping.schedule import Schedule
from storage.housekeeping.synchronize import Synchronize
from storage.housekeeping.throttle import Throttle
from storage.indexes.store import IndexStore, Tuning
from storage.log.device import DeviceLog
from storage.messages import DatabaseKind
from storage.metrics import register_device, register_housekeeping, register_moves
from storage.rings.background import BackgroundStore
from storage.rings.conductor import Conductor
from storage.rings.document import OBJECT
from storage.rings.errors import RingsError
from storage.rings.follower import RingFollower
from storage.rings.reports import device_process
from storage.service import DeviceService, pull_through

CATCH_UP_DELAY_S = 1.0  # from start to the first comparison with peers: they connect meanwhile
SWITCH_INTERVAL_S = 0.0005  # a thread that returns from the disk must not wait 5 ms for the interpreter
_log = get_logger("storage")


class StorageDaemon:
    """One device."""

    def __init__(self, config: Config, layout: Layout, device_id: int) -> None:
        self._config = config
        self._device_id = device_id
        self._name = device_process(device_id)
        self._layout = layout
        self._directory = layout.device(config.device(device_id))
        self._registry = Registry()
        self._coordination = EmbeddedCoordination(layout.coordination)
        self._background = BackgroundStore(lambda: EmbeddedCoordination(layout.coordination))
        self._follower = RingFollower(self._coordination, self._name, self._background)
        self._placement = connected_placement(
            config, layout, self._follower.load(), self._follower.refresh, self._on_peer_state
        )
        self._schedule = Schedule()
        self._replicate: Replicate
        self._synchronize: list[Synchronize] = []
        self._join: Join
        self._retire: Retire
        self._conductor: Conductor

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`."""
        register_process(self._registry, VERSION)
        directory = self._directory
        directory.mkdir(parents=True, exist_ok=True)
        self._log = DeviceLog(str(directory / "log"), segment_bytes=self._config.storage.segment_bytes)
        tuning = Tuning(handles=self._config.storage.max_open_indexes)
        self._indexes = IndexStore(directory / "indexes", self._log, pull_through(self._placement), tuning)
        self._indexes.recover()
        part_power = self._placement.rings.current[OBJECT].part_power
        self._blobs = BlobStore(
            self._log,
            str(directory / "blobs"),
            part_power,
            full_ratio=self._config.storage.refuse_full_ratio,
            upload_ttl_s=self._config.storage.upload_ttl_s,
        )
        service = DeviceService(self._blobs, self._indexes, self._placement, self._device_id, self._status)
        self._log.start()
        self._indexes.start()
        self._blobs.start()
        server = Server(
            self._config.cluster.key_bytes, service.handle, on_client_lost=service.forget_client
        )
        self._placement.start()
        self._start_housekeeping(service)
        self._follower.start(self._take_over, self._placement.oldest_version_in_use, service.settle)
        await server.start(self._layout.device_address(self._config, self._device_id))
        admin = AdminServer(self._registry, self._health)
        ports = self._config.ports
        await admin.start(ports.admin_listen, ports.storage_admin_port(self._device_id))
        calm_collector()
        self._layout.ready(self._name).touch()
        _log.info("ready", device=self._device_id, directory=str(directory))
        await stop.wait()
        self._layout.ready(self._name).unlink(missing_ok=True)
        await self._schedule.close()
        await self._close_rings()
        await server.close()
        await self._placement.close()
        await self._indexes.close()
        await self._blobs.stop()
        await self._log.close()
        self._blobs.close()
        await admin.close()
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

    def _start_housekeeping(self, service: DeviceService) -> None:
        placement, device_id = self._placement, self._device_id
        interval_s = self._config.storage.replication_interval_s
        sender = RowSender(placement)
        add_rows = AddRows(self._blobs, sender, placement, device_id)
        self._replicate = Replicate(self._blobs, service.fetch, self._rings, device_id, placement.peers, interval_s)
        self._schedule.add(self._replicate, CATCH_UP_DELAY_S)
        for kind in DatabaseKind:
            synchronize = Synchronize(kind, self._indexes, self._rings, device_id, placement.peers, interval_s)
            self._synchronize.append(synchronize)
            self._schedule.add(synchronize, CATCH_UP_DELAY_S)
        self._schedule.add(add_rows, CATCH_UP_DELAY_S)
        self._schedule.add(Report(self._indexes, sender))
        compact = Compact(self._blobs.compaction)
        self._schedule.add(compact, INTERVAL_S)
        self._start_moving(service, lambda: self._schedule.wake(compact.name))
        register_device(self._registry, self._status)
        register_housekeeping(self._registry, self._replicate, self._synchronize, add_rows)
        register_moves(self._registry, self._join, self._retire)

    def _start_moving(self, service: DeviceService, on_dropped: Callable[[], None]) -> None:
        """Begin to do what changes of the rings ask of this device."""
        placement, device_id = self._placement, self._device_id
        blobs, indexes = self._blobs, self._indexes
        throttle = Throttle(self._config.storage.rebalance_bytes_per_s)
        self._join = Join(
            device_id, self._rings, placement.peers, blobs, service.fetch, indexes, self._background, throttle
        )
        self._retire = Retire(device_id, self._rings, placement.peers, blobs, indexes, throttle, on_dropped)
        self._conductor = Conductor(self._background, self._name)
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

    def _status(self) -> Mapping[str, Any]:
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

    def _health(self) -> tuple[bool, Mapping[str, Any]]:
        status = self._status()
        return not status["failed"], status


def main() -> int:
    """Run a device's daemon until it is told to stop; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m storage.daemon")
    parser.add_argument("--config", required=True)
    parser.add_argument("--device", type=int, required=True)
    arguments = parser.parse_args()
    try:
        config = load(arguments.config)
        config.device(arguments.device)
    except ConfigError as error:
        _log.error("bad_configuration", error=error)
        return 2
    configure(config.log.level, config.log.format)
    keep_buffers()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        uvloop.run(_serve(config, Layout.of_config(arguments.config), arguments.device))
    except (ConfigError, RingsError, CoordinationError, OSError) as error:
        _log.error("cannot_start", device=arguments.device, error=error)
        return 1
    return 0


async def _serve(config: Config, layout: Layout, device_id: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await StorageDaemon(config, layout, device_id).run(stop)


if __name__ == "__main__":
    sys.exit(main())
