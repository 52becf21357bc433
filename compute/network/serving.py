"""The network service as a process of a cluster: made ready, kept running.

A start brings the database to its form, and makes the network that is there from the beginning. Beside the requests
goes only what follows token keys and revocations: hosts ask by themselves.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from cluster.clock import wall_us
from cluster.config import Config
from cluster.config.services import NETWORK
from cluster.controlplane import migrations, runner, serving
from cluster.controlplane.chores import Chore
from cluster.controlplane.database import Database, make_private, retried
from cluster.controlplane.errors import Unavailable
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from compute.network import beginnings, cluster_settings
from compute.network.api.application import networking_application
from compute.network.api.parts import Parts
from compute.network.policy.defaults import RULES, SHARED
from compute.network.schema import ports
from compute.network.work import Work
from compute.policy import Policy
from compute.tokens import FollowedTokens
from identity.keystone.policy.operators_file import operators_file

NAME = NETWORK.name
MIGRATIONS = Path(__file__).parent / "migrations"
_TOKENS_S = 0.5  # after which what is revoked is refused


class NetworkDaemon:
    """The service of one cluster."""

    def __init__(self, config: Config, layout: Layout) -> None:
        self._config, self._layout = config, layout
        self._settings = cluster_settings.settings_of(config)
        if not config.network.database:
            make_private(layout.network_database)
        self.database = Database(cluster_settings.database_url(config, layout))
        self.coordination = EmbeddedCoordination(layout.coordination)
        self._tokens = FollowedTokens(self.coordination)

    def prepare(self) -> None:
        """Make what is missing for a start."""
        migrations.upgrade(self.database, MIGRATIONS)
        self._tokens.poll()
        retried(self.database, self._begin)

    def _begin(self, connection: Connection) -> None:
        beginnings.ensure(Work(connection, self._settings, wall_us()))

    def application(self) -> Any:
        """Return the WSGI application."""
        file = operators_file(self._layout, NAME, self._config.network.policy_file)
        return networking_application(Parts(self.database, self._tokens, Policy(RULES, SHARED, file), self._settings))

    def chores(self) -> tuple[Chore, ...]:
        """Return what is to be done beside."""
        return (Chore("tokens", _TOKENS_S, self._tokens.poll),)

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether it serves, and how much there is."""
        try:
            with self.database.reading() as connection:
                count = connection.scalar(select(func.count()).select_from(ports))
        except (SQLAlchemyError, Unavailable) as error:
            return False, {"database": f"does not answer: {type(error).__name__}"}
        return self._tokens.has_keys, {"token_keys": self._tokens.has_keys, "ports": count}

    def close(self) -> None:
        """Let go of the database and of coordination."""
        self.database.close()
        self.coordination.close()


def serve(config: Config, layout: Layout) -> None:
    """Serve until told to stop."""
    limits = runner.Limits(connections=config.network.max_connections)
    serving.serve(NETWORK, config, layout, NetworkDaemon, limits)
