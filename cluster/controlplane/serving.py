"""A service of the control plane as a process: what stands around it from its start to its end.

The port is taken first, so that a second one does not touch what the first one has; the admin port and the ready file
come when the service could answer.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from cluster.config import Config
from cluster.config.services import ControlService
from cluster.controlplane import daemon, runner
from cluster.controlplane.chores import Chore, Chores
from cluster.controlplane.probes import Admin, Probed
from cluster.layout import Layout
from cluster.telemetry.log import get_logger
from cluster.telemetry.metrics import Registry, register_process
from cluster.version import VERSION

_STOP_S = 2.0  # for the steps of chores that are under way


class Work(Protocol):
    """What a service does."""

    def prepare(self) -> None:
        """Make what is missing for a start. Raise ConfigError. A start may end anywhere, and is made anew."""

    def application(self) -> Any:
        """Return the WSGI application."""

    def chores(self) -> Iterable[Chore]:
        """Return what is to be done beside."""

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether it serves, and what else is to be known."""

    def close(self) -> None:
        """Let go of what it has."""


def serve(
    service: ControlService,
    config: Config,
    layout: Layout,
    make: Callable[[Config, Layout], Work],
    limits: runner.Limits,
) -> None:
    """Serve until told to stop."""
    ports = config.ports
    listener = daemon.listening(ports.listen, service.port(ports))
    work = make(config, layout)
    work.prepare()
    admin_listener = daemon.listening(ports.admin_listen, service.admin_port(ports))  # none answers before this
    registry = Registry()
    register_process(registry, VERSION)
    served = (
        runner.Served(listener, Probed(work.application(), service.name, registry, work.health)),
        runner.Served(admin_listener, Admin(registry, work.health)),
    )
    chores = Chores()
    for chore in work.chores():
        chores.start(chore)
    ready = layout.ready(service.name)
    ready.touch()
    get_logger(service.name).info("ready", port=service.port(ports))
    try:
        runner.serve(served, limits)
    finally:
        ready.unlink(missing_ok=True)
        chores.stop(_STOP_S)
        work.close()
