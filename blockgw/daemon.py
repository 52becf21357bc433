"""The gateway daemon: serves volumes by NBD.

    python -m blockgw.daemon --config DIR/cluster.toml --gateway N

It listens on the NBD port, and on a unix socket in the cluster's directory of sockets. When it serves, the file
DIR/run/gateway-N.ready appears. SIGTERM: stop listening, finish requests under way, flush and close volumes, leave.

Leases are held in the name of gateway N, not of the process: the next process takes them over at once, under a new
epoch, and clients wait no longer than it takes to start. A lock sees to it that there is one process of that name.
"""

import asyncio
import os
import resource
import sys
from collections.abc import Mapping
from typing import Any

from blockgw.control import Control
from blockgw.front import rules_of, security_of
from blockgw.gateway import Gateway
from blockgw.grants import Grants
from blockgw.nbd.access import Guarded
from blockgw.nbd.server import NbdServer
from cluster.allocator import calm_collector
from cluster.config import Config
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from cluster.supervision import daemon
from cluster.supervision import lock as lock_file
from cluster.telemetry.http import AdminServer
from cluster.telemetry.log import get_logger
from cluster.telemetry.metrics import Registry, register_process
from cluster.version import VERSION
from storage.chunks.near import NearFiles
from storage.client import Placement, connected_placement
from storage.rings.background import BackgroundStore
from storage.rings.errors import RingsError
from storage.rings.follower import RingFollower

CLOSE_S = 10.0
NEAR_FILES = 4096  # of chunks, open: 16 GiB of volumes that are read without asking a device
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
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
        gateway = Gateway(
            placement, background, self._name, self._near_files(), self._config.cluster.key_bytes
        )
        block = self._config.block
        guarded = Guarded(gateway, rules_of(block), True, Grants(self._config.cluster.key_bytes))
        server = NbdServer(guarded, registry=self._registry)
        gateway.send_away = server.close_export
        gateway.cut_off = server.cut_off
        others = {f"gateway-{number}": self._layout.gateway_socket(number) for number in range(block.gateways)}
        others.pop(self._name, None)
        control = Control(gateway, others)
        await gateway.refresh()
        gateway.upkeep.start()
        admin = AdminServer(self._registry, lambda: _health(placement, gateway))
        ports = self._config.ports
        await admin.start(self._config.gateway_admin_listen(self._number), ports.gateway_admin_port(self._number))
        address = self._config.gateway_listen(self._number)
        port = ports.gateway_nbd_port(self._number)
        await server.listen_tcp(address, port, security_of(block, self._layout.directory))
        await server.listen_unix(os.fspath(self._layout.nbd_socket(self._number)))
        await control.start(self._layout.gateway_socket(self._number))
        calm_collector()
        self._layout.ready(self._name).touch()
        _log.info("ready", gateway=self._number, nbd=f"{address}:{port}")
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

    def _near_files(self) -> NearFiles:
        """Return the files of the devices that are on this host for certain."""
        config = self._config
        all_here = config.cluster.transport == "unix"
        directories = {
            device.id: os.fspath(self._layout.device(device))
            for device in config.devices
            if all_here or device.host in _LOOPBACK
        }
        soft_limit, _hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        return NearFiles(directories, min(NEAR_FILES, soft_limit // 2))


def _health(placement: Placement, gateway: Gateway) -> tuple[bool, Mapping[str, Any]]:
    """Tell whether a write would find its quorum, in whatever chunk."""
    serves, details = placement.health()
    return serves, details | {"volumes_open": gateway.open_count}


async def _serve(config: Config, layout: Layout, number: int, stop: asyncio.Event) -> int:
    lock = lock_file.acquire(layout.lock(f"gateway-{number}"))
    try:
        await GatewayDaemon(config, layout, number).run(stop)
    finally:
        os.close(lock)
    return 0


def main() -> int:
    """Run a gateway until it is told to stop; return the exit status."""
    return daemon.run("blockgw", "gateway", _serve, RingsError, lock_file.Held)


if __name__ == "__main__":
    sys.exit(main())
