"""The volume service as a process of a cluster: made ready, kept running, and what it does beside answering.

A start brings the database to its form and takes over the operations that an earlier process had begun. It does not
wait for the gateway: what is asked of it meanwhile is done when it answers. Beside the requests go the workers, the
reconciler, what follows token keys and revocations, and the sweep of old messages.
"""

import socket
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from cluster.clock import wall_us
from cluster.config import Config
from cluster.config.services import VOLUMES
from cluster.controlplane import migrations, runner, serving
from cluster.controlplane.chores import Chore
from cluster.controlplane.database import Database, make_private, retried
from cluster.controlplane.errors import Unavailable
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from compute.crew import Crew
from compute.gateway import Gateway
from compute.operations import journal
from compute.operations.table import operations
from compute.operations.worker import POLL_S, RENEW_S, Worker
from compute.policy import Policy
from compute.tokens import FollowedTokens
from compute.volumes import cluster_settings, messages, parts_of_service, volume_types
from compute.volumes.api.application import block_storage_application
from compute.volumes.api.parts import Parts
from compute.volumes.moving.parent import Archive, Mover, Runner
from compute.volumes.operations.kinds import KINDS
from compute.volumes.operations.work import Tools, Work
from compute.volumes.policy.defaults import RULES, SHARED
from compute.volumes.reconciler import Reconciler
from compute.volumes.schema import remains
from identity.keystone.policy.operators_file import operators_file

NAME = VOLUMES.name
MIGRATIONS = Path(__file__).parent / "migrations"
_TOKENS_S = 0.5  # after which what is revoked is refused
_RECONCILE_S = 10.0
_SWEEP_S = 3600.0
_STOP_S = 1.0


class VolumeService:
    """The service of one cluster."""

    def __init__(self, config: Config, layout: Layout) -> None:
        self._config, self._layout = config, layout
        self._settings = cluster_settings.settings_of(config)
        if not config.volumes.database:
            make_private(layout.volumes_database)
        self.database = Database(cluster_settings.database_url(config, layout))
        self.coordination = EmbeddedCoordination(layout.coordination)
        self._tokens = FollowedTokens(self.coordination)
        gateway = Gateway(layout, max(1, config.block.gateways))
        runner = Runner(layout, cluster_settings.backup_login(config, layout), cluster_settings.backup_seal(config))
        mover = Mover(runner)
        self._images = cluster_settings.images_of(config, mover)
        self._servers = cluster_settings.servers_of(config)
        tools = Tools(gateway, Archive(runner), mover, self._images, self._servers)
        host = f"{socket.gethostname()}:{layout.directory}"
        self._worker = Worker(
            self.database,
            lambda operation: Work(operation, self.database, tools, self._settings, wall_us),
            KINDS,
            host,
        )
        steps = [self._worker.step] * config.volumes.operations
        self._crew = Crew("operations", self.database, journal.next_due_us, wall_us, steps)
        self._reconciler = Reconciler(self.database, gateway)

    def prepare(self) -> None:
        """Make what is missing for a start: tables, the default type; and take over what was under way."""
        migrations.upgrade(self.database, MIGRATIONS)
        self._tokens.poll()
        retried(self.database, self._begin)
        self._worker.take_over()

    def _begin(self, connection: Connection) -> None:
        volume_types.ensure_default(connection, wall_us())
        parts_of_service.see(connection, self._settings, wall_us())

    def application(self) -> Any:
        """Return the WSGI application."""
        config = self._config
        return block_storage_application(
            Parts(
                self.database,
                self._tokens,
                Policy(RULES, SHARED, operators_file(self._layout, NAME, config.volumes.policy_file)),
                self._settings,
                self._images,
                self._servers,
                lambda project_id, container: cluster_settings.place_of(config, project_id, container),
                self._crew.poke,
                self._worker.hasten,
            )
        )

    def chores(self) -> tuple[Chore, ...]:
        """Return what is to be done beside; operations are carried out from now on."""
        self._crew.start()
        return (
            Chore("tokens", _TOKENS_S, self._tokens.poll),
            Chore("operations", POLL_S, self._crew.look),
            Chore("claims", RENEW_S, self._worker.renew),
            Chore("reconcile", _RECONCILE_S, self._reconciler.step),
            Chore("seen", parts_of_service.SEEN_S, self._see),
            Chore("sweep", _SWEEP_S, self._sweep),
        )

    def _see(self) -> None:
        retried(self.database, lambda connection: parts_of_service.see(connection, self._settings, wall_us()))

    def _sweep(self) -> None:
        retried(self.database, lambda connection: messages.sweep(connection, wall_us()))

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether it serves, and what waits to be done."""
        try:
            with self.database.reading() as connection:
                under_way = connection.scalar(select(func.count()).select_from(operations))
                leftover = connection.scalar(select(func.count()).select_from(remains))
        except (SQLAlchemyError, Unavailable) as error:
            return False, {"database": f"does not answer: {type(error).__name__}"}
        told = {"token_keys": self._tokens.has_keys, "operations": under_way, "remains": leftover}
        return self._tokens.has_keys, told

    def close(self) -> None:
        """Begin nothing any more, and let go of the database and of coordination."""
        self._crew.stop(_STOP_S)
        self.database.close()
        self.coordination.close()


def serve(config: Config, layout: Layout) -> None:
    """Serve until told to stop."""
    limits = runner.Limits(connections=config.volumes.max_connections)
    serving.serve(VOLUMES, config, layout, VolumeService, limits)
