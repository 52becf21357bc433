"""The proxy daemon: one worker process that serves S3 and Swift.

    python -m proxy.daemon --config DIR/cluster.toml --worker N

All workers of a host share the two ports (SO_REUSEPORT); each has its own admin port. When it serves,
the file DIR/run/proxy-N.ready appears. SIGTERM: stop listening, finish requests under way, leave.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Any

from cluster.allocator import calm_collector
from cluster.clock import HybridClock
from cluster.config import Config
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from cluster.supervision import daemon
from cluster.telemetry.http import AdminServer
from cluster.telemetry.log import get_logger
from cluster.telemetry.metrics import Registry, register_process
from cluster.version import VERSION
from identity.tiers import Identity
from proxy.http.limits import Limits
from proxy.http.server import HttpServer
from proxy.metrics import Measured
from proxy.objects.service import ObjectService
from proxy.s3.application import S3Application
from proxy.s3.config import S3Config
from proxy.swift.application import SwiftApplication, failed, protocol_error
from proxy.swift.call import SwiftConfig
from storage.client import Placement, connected_placement
from storage.rings.background import BackgroundStore
from storage.rings.errors import RingsError
from storage.rings.follower import RingFollower

_log = get_logger("proxy")


class ProxyDaemon:
    """One worker."""

    def __init__(self, config: Config, layout: Layout, worker: int) -> None:
        self._config = config
        self._layout = layout
        self._worker = worker
        self._name = f"proxy-{worker}"
        self._coordination = EmbeddedCoordination(layout.coordination)
        self._registry = Registry()
        self._placement: Placement
        self._servers: list[HttpServer] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`."""
        config = self._config
        register_process(self._registry, VERSION)
        background = BackgroundStore(lambda: EmbeddedCoordination(self._layout.coordination))
        follower = RingFollower(self._coordination, self._name, background)
        self._placement = connected_placement(config, self._layout, follower.load(), follower.refresh)
        self._placement.start()
        follower.start(self._placement.update, self._placement.oldest_version_in_use)
        identity = Identity(self._coordination, config)
        identity.start()
        clock = HybridClock(int.from_bytes(os.urandom(4), "big"))
        service = ObjectService(self._placement, clock, config.proxy.multipart_grace_s)
        self._make_servers(service, identity)
        admin = AdminServer(self._registry, self._health)
        ports = config.ports
        await admin.start(config.proxy_admin_listen(self._worker), ports.proxy_admin_port(self._worker))
        s3, swift = self._servers
        listen = config.proxy_listen(self._worker)
        await s3.listen(listen, ports.s3_port)
        await swift.listen(listen, ports.swift_port)
        calm_collector()
        self._layout.ready(self._name).touch()
        _log.info("ready", worker=self._worker, s3=ports.s3_port, swift=ports.swift_port)
        await stop.wait()
        self._layout.ready(self._name).unlink(missing_ok=True)
        await asyncio.gather(*(server.close(config.proxy.shutdown_grace_s) for server in self._servers))
        await service.close()
        await follower.close()
        await background.close()
        await self._placement.close()
        await admin.close()
        identity.close()
        self._coordination.close()

    def _make_servers(self, service: ObjectService, identity: Identity) -> None:
        proxy = self._config.proxy
        limits = Limits(
            head_bytes=proxy.max_header_bytes,
            request_line_bytes=min(proxy.max_header_bytes, Limits().request_line_bytes),
            head_s=proxy.header_timeout_s,
            body_s=proxy.body_timeout_s,
            write_s=proxy.body_timeout_s,
            idle_s=proxy.idle_timeout_s,
            connections=proxy.max_connections,
        )
        s3_config = S3Config(proxy.region, proxy.host_domains, int(proxy.clock_skew_s), proxy.max_put_bytes)
        s3 = S3Application(service, identity.users, s3_config)
        swift = SwiftApplication(service, identity.users, identity.tokens, SwiftConfig())
        measured = Measured(self._registry)
        self._servers = [
            HttpServer(application, limits=limits, on_error=on_error, on_failure=on_failure, log=_log)
            for application, on_error, on_failure in (
                (measured.application("s3", s3), s3.protocol_error, s3.failed),
                (measured.application("swift", swift), protocol_error, failed),
            )
        ]

    def _health(self) -> tuple[bool, Mapping[str, Any]]:
        """Tell whether a write would find its quorum, wherever its name is placed."""
        serves, details = self._placement.health()
        return serves, details | {"connections": sum(server.connection_count for server in self._servers)}


async def _serve(config: Config, layout: Layout, worker: int, stop: asyncio.Event) -> int:
    await ProxyDaemon(config, layout, worker).run(stop)
    return 0


def main() -> int:
    """Run a worker until it is told to stop; return the exit status."""
    return daemon.run("proxy", "worker", _serve, RingsError)


if __name__ == "__main__":
    sys.exit(main())
