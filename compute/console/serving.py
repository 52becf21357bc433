"""The console as a process of a cluster."""

import asyncio
import signal
from collections.abc import Mapping
from functools import partial
from typing import Any

import uvloop

from cluster.config import Config
from cluster.controlplane.daemon import listening
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from cluster.processes import CONSOLE
from cluster.telemetry.http import AdminServer
from cluster.telemetry.log import get_logger
from cluster.telemetry.metrics import Registry, register_process
from cluster.version import VERSION
from compute.console import pages
from compute.console.access import Access
from compute.console.application import Application, Parts
from compute.console.displays import Displays
from compute.console.doorway import Doorway
from compute.console.relay import Relay
from compute.console.upstreams import upstreams
from compute.console.view import View, look
from compute.instances.links import seal_of
from identity.tiers import Identity

_GRACE_S = 5.0  # for requests under way, when told to stop


def serve(config: Config, layout: Layout) -> None:
    """Serve until told to stop. Raise ConfigError, CoordinationError or OSError when it cannot."""
    uvloop.run(_serve(config, layout))


async def _serve(config: Config, layout: Layout) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listener = listening(config.ports.listen, config.ports.console_port)
    coordination = EmbeddedCoordination(layout.coordination)
    identity = Identity(coordination, config)
    identity.start()
    relay, registry = Relay(), Registry()
    viewer = pages.read_viewer(pages.NOVNC)
    register_process(registry, VERSION)
    application = Application(
        Parts(
            config=config,
            pages=pages.read_pages(pages.STATIC) | viewer,
            upstreams=upstreams(config),
            relay=relay,
            access=Access(identity.users, identity.tokens),
            view=View(partial(look, layout)),
            displays=Displays(seal_of(config.cluster.key_bytes), pages.VIEWER if pages.VIEWER in viewer else None),
            registry=registry,
        )
    )
    doorway = Doorway(application.answer, config.console.max_connections)

    def health() -> tuple[bool, Mapping[str, Any]]:
        return True, {"connections": doorway.connection_count}

    admin = AdminServer(registry, health)
    await admin.start(config.ports.admin_listen, config.ports.console_admin_port)
    doorway.start(listener)
    ready = layout.ready(CONSOLE)
    ready.touch()
    get_logger(CONSOLE).info("ready", port=config.ports.console_port)
    try:
        await stop.wait()
    finally:
        ready.unlink(missing_ok=True)
        await doorway.close(_GRACE_S)
        await relay.close()
        await admin.close()
        identity.close()
        coordination.close()
