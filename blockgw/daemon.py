"""The gateway daemon: serves volumes by NBD.

    python -m blockgw.daemon --config DIR/cluster.toml --gateway N

It listens on the NBD port, and on a unix socket in the cluster's directory of sockets. When it serves, the file
DIR/run/gateway-N.ready appears. SIGTERM: stop listening, finish requests under way, flush and close volumes, leave.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

import uvloop

from blockgw.control import Control
from blockgw.gateway import Gateway
from blockgw.nbd import NbdServer
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
from storage.client import connected_placement
from storage.rings.background import BackgroundStore
from storage.rings.errors import RingsError
from storage.rings.follower import RingFollower

CLOSE_S = 10.0
_log = get_logger("blockgw")


class GatewayDaemon:
    """One gateway."""

    def __init__(self, config: Config, layout: Layout, number: int) -> None:
        self._config = config
        self._layout = layout
        self._name = f"gateway-{number}"
        self._number = number
        self._coordination = EmbeddedCoordination(layout.coordination)
        self._registry = Registry()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`."""
        register_process(self._registry, VERSION)
        background = BackgroundStore(lambda: EmbeddedCoordination(self._layout.coordination))
        follower = RingFollower(self._coordination, self._name, background)
        placement = connected_placement(self._config, self._layout, follower.load(), follower.refresh)
        placement.start()
        follower.start(placement.update, placement.oldest_version_in_use)
        gateway = Gateway(placement, background, f"{socket.gethostname()}/{os.getpid()}/{os.urandom(4).hex()}")
        server = NbdServer(gateway, registry=self._registry)
        gateway.send_away = server.close_export
        control = Control(gateway)
        await gateway.refresh()
        admin = AdminServer(self._registry, self._health)
        ports = self._config.ports
        await admin.start(ports.admin_listen, ports.gateway_admin_port(self._number))
        await server.listen_tcp(ports.listen, ports.nbd_port)
        await server.listen_unix(os.fspath(self._layout.nbd_socket(self._number)))
        await control.start(self._layout.gateway_socket(self._number))
        calm_collector()
        self._layout.ready(self._name).touch()
        _log.info("ready", gateway=self._number, nbd=ports.nbd_port)
        await stop.wait()
        self._layout.ready(self._name).unlink(missing_ok=True)
        await control.close()
        await server.close(CLOSE_S)
        await gateway.close()
        await follower.close()
        await background.close()
        await placement.close()
        await admin.close()
        self._coordination.close()

    def _health(self) -> tuple[bool, Mapping[str, Any]]:
        return True, {}


async def _serve(config: Config, layout: Layout, number: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    await GatewayDaemon(config, layout, number).run(stop)


def main() -> int:
    """Run a gateway until it is told to stop; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m blockgw.daemon")
    parser.add_argument("--config", required=True)
    parser.add_argument("--gateway", type=int, default=0)
    arguments = parser.parse_args()
    try:
        config = load(arguments.config)
    except ConfigError as error:
        _log.error("bad_configuration", error=error)
        return 2
    configure(config.log.level, config.log.format)
    keep_buffers()
    layout = Layout.of_config(arguments.config)
    try:
        uvloop.run(_serve(config, layout, arguments.gateway))
    except (ConfigError, RingsError, CoordinationError, OSError) as error:
        _log.error("cannot_start", gateway=arguments.gateway, error=error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
