"""The storage daemon: one process that serves one device to its peers.

    python -m storage.daemon --config DIR/cluster.toml --device N

When the device serves (storage.device), the file DIR/run/storage-N.ready appears. New rings are taken over while it
runs. SIGTERM: finish what is under way, sync, close cleanly.
"""

import argparse
import asyncio
import signal
import sys

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
from storage.device import StorageDevice
from storage.rings.errors import RingsError
from storage.rings.reports import device_process

SWITCH_INTERVAL_S = 0.0005  # a thread that returns from the disk must not wait 5 ms for the interpreter
_log = get_logger("storage")


async def run(config: Config, layout: Layout, device_id: int, stop: asyncio.Event) -> None:
    """Serve a device until `stop`."""
    registry = Registry()
    register_process(registry, VERSION)
    device = StorageDevice(
        config, layout, device_id, lambda: EmbeddedCoordination(layout.coordination), registry=registry
    )
    await device.start()
    admin = AdminServer(registry, device.health)
    await admin.start(config.storage_admin_listen(device_id), config.ports.storage_admin_port(device_id))
    calm_collector()
    ready = layout.ready(device_process(device_id))
    ready.touch()
    await stop.wait()
    ready.unlink(missing_ok=True)
    await device.stop()
    await admin.close()


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
    await run(config, layout, device_id, stop)


if __name__ == "__main__":
    sys.exit(main())
