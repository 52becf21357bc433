"""The identity service as a process of a cluster: made ready, kept running, and what it does beside answering.

A start brings the database to its form, makes the first keys and what a cluster begins with; each of these is one
transaction, or done again without harm, so that a start may end anywhere. Beside the requests go the carrier, which
brings to the proxies what was committed (it is called after each commit; the chore is for when coordination was away),
the rotation of keys, and the sweep of statements about tokens that have long expired.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from cluster.clock import wall_us
from cluster.config import Config
from cluster.config.identity_service import LONGEST_TOKEN_S
from cluster.config.services import IDENTITY
from cluster.controlplane import migrations, runner, serving
from cluster.controlplane.chores import Chore
from cluster.controlplane.database import Database, make_private, retried
from cluster.controlplane.errors import Unavailable
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.errors import ConfigError
from cluster.layout import Layout
from cluster.telemetry.log import get_logger
from identity.keystone import bootstrap, cluster_services, revocations, stale_keys
from identity.keystone.api.application import keystone_application
from identity.keystone.api.context import Parts
from identity.keystone.api.token_routes import TOKEN_ROUTES
from identity.keystone.carrier import Carrier
from identity.keystone.errors import BadRequest
from identity.keystone.policy.enforcer import PolicyEnforcer
from identity.keystone.policy.operators_file import operators_file
from identity.keystone.published_key import PREFIX
from identity.keystone.schema import outbox
from identity.keystone.sealing import Seal
from identity.keystone.tokens.following import KeyFollower
from identity.keystone.tokens.keys import KEY_PREFIX, KeyRepository
from identity.keystone.tokens.provider import TokenProvider
from identity.keystone.tokens.rotation import Rotation

NAME = IDENTITY.name
MIGRATIONS = Path(__file__).parent / "migrations"
_CARRY_S = 1.0
_KEYS_S = 1.0
_SWEEP_S = 600.0
# Statements are kept for the longest life that a token can be configured to have, whatever it is now: one that was made
# before the setting changed must not come back to life.
_KEEP_US = (LONGEST_TOKEN_S + 3600) * 1_000_000  # an hour for clocks that differ

_log = get_logger(NAME)


class IdentityService:
    """The service of one cluster."""

    def __init__(self, config: Config, layout: Layout) -> None:
        self._config = config
        self._layout = layout
        if not config.identity.database:
            make_private(layout.identity_database)
        self.database = Database(cluster_services.database_url(config.identity, layout))
        self.coordination = EmbeddedCoordination(layout.coordination)
        self._carrier = Carrier(self.database, self.coordination, NAME)
        self._repository = KeyRepository(self.coordination)
        period_s = config.identity.key_rotation_s
        self._rotation = Rotation(self.coordination, self._repository, period_s, wall_us)
        self._keys = KeyFollower()
        self._settings = cluster_services.settings_of(config)
        self._seal = Seal(config.cluster.key_bytes)

    def prepare(self) -> None:
        """Make what is missing for a start: tables, keys, an administrator, a catalog. Raise ConfigError."""
        migrations.upgrade(self.database, MIGRATIONS)
        self._repository.ensure()
        self.follow_keys()
        retried(self.database, self._begin)
        published = [entry.key for entry in self.coordination.range(PREFIX)]
        retried(self.database, lambda connection: stale_keys.mark_differing(connection, published))
        self.carry()

    def _begin(self, connection: Connection) -> None:
        config, layout = self._config, self._layout
        if bootstrap.has_begun(connection):
            services = cluster_services.services_of(config)
            bootstrap.ensure_catalog(connection, services, config.identity.region)
        else:
            try:
                bootstrap.ensure(connection, cluster_services.beginning(config, layout), self._settings, wall_us())
            except BadRequest as error:
                raise ConfigError(f"{layout.admin_password}: {error}") from None
        for user in cluster_services.users_of(config):
            bootstrap.ensure_service_user(connection, self._seal, user, self._settings, wall_us())

    def application(self) -> Any:
        """Return the WSGI application."""
        identity = self._config.identity
        parts = Parts(
            database=self.database,
            settings=self._settings,
            seal=self._seal,
            provider=TokenProvider(self._keys, wall_us),
            enforcer=PolicyEnforcer(operators_file(self._layout, "identity", identity.policy_file)),
        )
        return keystone_application(parts, TOKEN_ROUTES, committed=self._carry_at_once)

    def chores(self) -> tuple[Chore, ...]:
        """Return what is to be done beside."""
        return (
            Chore("carry", _CARRY_S, self.carry),
            Chore("keys", _KEYS_S, self.follow_keys),
            Chore("sweep", _SWEEP_S, self.sweep),
        )

    def carry(self) -> None:
        """Bring to the proxies whatever waits for it."""
        while self._carrier.step():
            pass

    def follow_keys(self) -> None:
        """Rotate the keys if it is time, and take over what they are now."""
        self._rotation.step()
        self._keys.read(self.coordination.range(KEY_PREFIX))

    def sweep(self) -> None:
        """Forget statements about tokens that have all expired."""
        while retried(self.database, lambda connection: revocations.sweep(connection, wall_us(), _KEEP_US)):
            pass

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether it serves, and how many messages wait to be carried."""
        keys = self._keys.current()
        try:
            with self.database.reading() as connection:
                waiting = len(connection.execute(select(outbox.c.sequence).limit(1000)).all())
        except (SQLAlchemyError, Unavailable) as error:
            return False, {"database": f"does not answer: {type(error).__name__}"}
        return keys is not None, {"outbox": waiting, "token_key": keys.primary_number if keys else 0}

    def close(self) -> None:
        """Let go of the database and of coordination."""
        self.database.close()
        self.coordination.close()

    def _carry_at_once(self) -> None:
        """Carry what was just committed, so that an answer comes when the proxies can know; the chore does the rest."""
        try:
            self._carrier.step()
        except Exception as error:  # the change is made; its publication waits in the outbox
            _log.warning("publication_delayed", error=error)


def serve(config: Config, layout: Layout) -> None:
    """Serve until told to stop."""
    limits = runner.Limits(connections=config.identity.max_connections)
    serving.serve(IDENTITY, config, layout, IdentityService, limits)
