"""The storage daemon: one process that serves one device to its peers.

    python -m storage.daemon --config DIR/cluster.toml --device N

When the device serves (storage.device), the file DIR/run/storage-N.ready appears. New rings are taken over while it
runs. SIGTERM: finish what is under way, sync, close cleanly.

A device whose disk cannot be used does not end its process: that explains itself, and exits with START_AGAIN as soon as
the disk is well, so that the supervisor starts one that recovers (storage.health).

A lock sees to it that a device has one process. Recovery cuts off what another one is writing just now; and one that
was killed is there until its last call of the disk has come back.
"""

import asyncio
import os
import sys

from cluster.allocator import calm_collector
from cluster.config import Config
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from cluster.supervision import daemon
from cluster.supervision import lock as lock_file
from cluster.supervision.child import START_AGAIN
from cluster.telemetry.http import AdminServer
from cluster.telemetry.http import Health as AdminHealth
from cluster.telemetry.metrics import Registry, register_process
from cluster.version import VERSION
from storage.device import StorageDevice
from storage.health.disk import ObservedDisk
from storage.health.guard import DISK_ERRORS, Guard
from storage.health.heartbeat import Place
from storage.health.judgement import Verdict
from storage.health.outage import Outage
from storage.metrics import register_hardware
from storage.rings.errors import RingsError
from storage.rings.reports import device_process

SWITCH_INTERVAL_S = 0.0005  # a thread that returns from the disk must not wait 5 ms for the interpreter


async def run(config: Config, layout: Layout, device_id: int, stop: asyncio.Event) -> int:
    """Serve a device until `stop`, or until its disk makes another start necessary. Return the exit status."""
    guard = Guard(config, layout, device_id, lambda: EmbeddedCoordination(layout.coordination))
    registry = Registry()
    register_process(registry, VERSION)
    examined = await guard.examine()
    if not examined.verdict.condition.is_out:
        disk = ObservedDisk()
        device = StorageDevice(
            config,
            layout,
            device_id,
            lambda: EmbeddedCoordination(layout.coordination),
            registry=registry,
            disk=disk,
        )
        try:
            guard.distrust_what_failed()
            await device.start()
        except DISK_ERRORS as error:
            examined = guard.cannot_open(error)
        else:
            return await _serve_device(config, layout, device_id, registry, device, guard, examined.place, stop)
    return await _serve_outage(config, layout, device_id, registry, guard, examined.verdict, stop)


async def _serve_device(
    config: Config,
    layout: Layout,
    device_id: int,
    registry: Registry,
    device: StorageDevice,
    guard: Guard,
    place: Place,
    stop: asyncio.Event,
) -> int:
    monitor = guard.monitor(place, device.signs, device.follow)
    register_hardware(registry, monitor, device.clock_off_s)
    monitor.start()
    admin = await _admin(config, device_id, registry, device.health)
    calm_collector()
    guard.recovered()
    ready = layout.ready(device_process(device_id))
    ready.touch()
    unsound: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    device.start_again = lambda: None if unsound.done() else unsound.set_result(None)
    ended = await _first(stop, asyncio.ensure_future(_either(monitor.ended, unsound)))
    ready.unlink(missing_ok=True)
    sick = monitor.ended.done() or monitor.health.condition.is_out
    if sick:  # nothing more is to be got onto this disk in good order
        return START_AGAIN if ended else 0
    await monitor.close()
    await device.stop()
    await admin.close()
    return START_AGAIN if ended else 0


async def _serve_outage(
    config: Config,
    layout: Layout,
    device_id: int,
    registry: Registry,
    guard: Guard,
    verdict: Verdict,
    stop: asyncio.Event,
) -> int:
    """Explain why the device is not there, until its disk is well."""
    outage = Outage(device_id, verdict, guard.look)
    admin = await _admin(config, device_id, registry, outage.health)
    ready = layout.ready(device_process(device_id))  # as ready as it gets: the cluster starts without it
    ready.touch()
    over = asyncio.ensure_future(outage.over(guard.suspicion.pause_s))
    ended = await _first(stop, over)
    ready.unlink(missing_ok=True)
    await admin.close()
    return START_AGAIN if ended else 0


async def _admin(config: Config, device_id: int, registry: Registry, health: AdminHealth) -> AdminServer:
    admin = AdminServer(registry, health)
    await admin.start(config.storage_admin_listen(device_id), config.ports.storage_admin_port(device_id))
    return admin


async def _either(*ends: "asyncio.Future[None]") -> None:
    """Wait for one of several."""
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)


async def _first(stop: asyncio.Event, other: "asyncio.Future[None]") -> bool:
    """Wait for either; tell whether it was `other`."""
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((stopping, other), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    return other.done()


async def _serve(config: Config, layout: Layout, device_id: int, stop: asyncio.Event) -> int:
    config.device(device_id)
    lock_file.acquire(layout.lock(device_process(device_id)))  # given back by the kernel, once this process is gone
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    status = await run(config, layout, device_id, stop)
    sys.stderr.flush()
    os._exit(status)  # all that ends in good order has; threads that hang at a disk would be waited for, for ever


def main() -> int:
    """Run a device's daemon until it is told to stop; return the exit status."""
    return daemon.run("storage", "device", _serve, RingsError, lock_file.Held)


if __name__ == "__main__":
    sys.exit(main())
