"""The compute service as a process of a cluster: made ready, kept running, and what it does beside answering.

A start brings the database to its form and takes over the operations that an earlier process had begun. It waits for
nobody: what is asked of hosts, networks, volumes, images meanwhile is done when they answer.
"""

import socket
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from cluster.clock import wall_us
from cluster.config import Config
from cluster.config.services import COMPUTE
from cluster.controlplane import migrations, runner, serving
from cluster.controlplane.chores import Chore
from cluster.controlplane.database import Database, make_private, retried
from cluster.controlplane.errors import Unavailable
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from compute.crew import Crew
from compute.instances import cluster_settings, flavors, hosts, servers
from compute.instances.api.application import compute_application
from compute.instances.api.parts import Parts
from compute.instances.following import Followers
from compute.instances.operations.kinds import KINDS
from compute.instances.operations.work import Work
from compute.instances.policy.defaults import RULES, SHARED
from compute.instances.reconciler import Reconciler
from compute.operations import journal
from compute.operations.table import operations
from compute.operations.worker import POLL_S, RENEW_S, Worker
from compute.policy import Policy
from compute.tokens import FollowedTokens
from identity.keystone.policy.operators_file import operators_file

NAME = COMPUTE.name
MIGRATIONS = Path(__file__).parent / "migrations"
_TOKENS_S = 0.5  # after which what is revoked is refused
_RECONCILE_S = 20.0
_SWEEP_S = 3600.0
_STOP_S = 1.0


class ComputeService:
    """The service of one cluster."""

    def __init__(self, config: Config, layout: Layout) -> None:
        self._config, self._layout = config, layout
        self._settings = settings = cluster_settings.settings_of(config)
        if not config.compute.database:
            make_private(layout.compute_database)
        self.database = Database(cluster_settings.database_url(config, layout))
        self.coordination = EmbeddedCoordination(layout.coordination)
        self._tokens = FollowedTokens(self.coordination)
        self._tools = tools = cluster_settings.tools_of(config, layout, settings)
        host = f"{socket.gethostname()}:{layout.directory}"
        self._worker = Worker(
            self.database,
            lambda operation: Work(operation, self.database, tools, settings, wall_us),
            KINDS,
            host,
        )
        steps = [self._worker.step] * config.compute.operations
        self._crew = Crew("operations", self.database, journal.next_due_us, wall_us, steps)
        self._reconciler = Reconciler(self.database, tools)
        self._watcher = hosts.Watcher(self.database, tools.hosts)
        self._followers = Followers(self.database, tools.hosts)

    def prepare(self) -> None:
        """Make what is missing for a start: tables, flavors; and take over what was under way."""
        migrations.upgrade(self.database, MIGRATIONS)
        self._tokens.poll()
        retried(self.database, self._begin)
        self._worker.take_over()

    def _begin(self, connection: Connection) -> None:
        flavors.ensure_defaults(connection, wall_us())

    def application(self) -> Any:
        """Return the WSGI application."""
        config, tools = self._config, self._tools
        return compute_application(
            Parts(
                self.database,
                self._tokens,
                Policy(RULES, SHARED, operators_file(self._layout, NAME, config.compute.policy_file)),
                self._settings,
                tools.hosts,
                tools.volumes,
                tools.images,
                tools.network,
                self._crew.poke,
                self._worker.hasten,
            )
        )

    def chores(self) -> tuple[Chore, ...]:
        """Return what is to be done beside; operations are carried out, and hosts followed, from now on."""
        self._crew.start()
        self._followers.start()
        return (
            Chore("tokens", _TOKENS_S, self._tokens.poll),
            Chore("operations", POLL_S, self._crew.look),
            Chore("claims", RENEW_S, self._worker.renew),
            Chore("hosts", hosts.SEEN_S, self._watcher.step),
            Chore("reconcile", _RECONCILE_S, self._reconciler.step),
            Chore("sweep", _SWEEP_S, self._sweep),
        )

    def _sweep(self) -> None:
        retried(self.database, lambda connection: servers.sweep(connection, wall_us()))

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether it serves, and what waits to be done."""
        try:
            with self.database.reading() as connection:
                under_way = connection.scalar(select(func.count()).select_from(operations))
                up = sum(each.is_up(wall_us()) for each in hosts.every(connection))
        except (SQLAlchemyError, Unavailable) as error:
            return False, {"database": f"does not answer: {type(error).__name__}"}
        told = {"token_keys": self._tokens.has_keys, "operations": under_way, "hosts": up}
        return self._tokens.has_keys, told

    def close(self) -> None:
        """Begin nothing any more, and let go of the database and of coordination."""
        self._followers.stop()
        self._crew.stop(_STOP_S)
        self.database.close()
        self.coordination.close()


def serve(config: Config, layout: Layout) -> None:
    """Serve until told to stop."""
    limits = runner.Limits(connections=config.compute.max_connections)
    serving.serve(COMPUTE, config, layout, ComputeService, limits)
