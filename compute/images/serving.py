"""The image service as a process of a cluster: made ready, kept running, and what it does beside answering.

A start brings the database to its form, and undoes what an earlier process had under way. It does not wait for object
storage: until that answers, what needs it is refused, and the reaper tries again. Beside the requests go the importers,
the maker of golden volumes, the reaper, and what follows token keys and revocations.
"""

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from cluster.clock import wall_us
from cluster.config import Config
from cluster.config.services import IMAGES
from cluster.controlplane import migrations, runner, serving
from cluster.controlplane.chores import Chore, WhenChanged
from cluster.controlplane.database import Database, make_private
from cluster.controlplane.errors import Unavailable as DatabaseUnavailable
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from compute.crew import Crew
from compute.errors import Unavailable
from compute.images import cluster_settings, goldens, tasks, workers
from compute.images.api.application import images_application
from compute.images.api.context import Parts
from compute.images.gateway import GatewayVolumes
from compute.images.golden import GoldenMaker
from compute.images.imports import Importer
from compute.images.policy import RULES, SHARED
from compute.images.reaping import Reaper
from compute.images.store.s3 import S3Store
from compute.images.uploads import Dock
from compute.images.web.fetching import Fetcher
from compute.policy import Policy
from compute.tokens import FollowedTokens
from identity.keystone.policy.operators_file import operators_file

NAME = IMAGES.name
MIGRATIONS = Path(__file__).parent / "migrations"
_TOKENS_S = 0.5  # after which what is revoked is refused
_WORK_S = 0.5  # after which an import or a conversion is begun
_REAP_S = 10.0
_UNWANTED_S = 10.0
_REAP_ANYHOW_S = 20.0  # also when nothing has changed: time passes, and processes elsewhere die
_STOP_S = 1.0


class ImageService:
    """The service of one cluster."""

    def __init__(self, config: Config, layout: Layout) -> None:
        self._config = config
        self._layout = layout
        if not config.images.database:
            make_private(layout.images_database)
        place = f"{socket.gethostname()}:{os.fspath(layout.directory)}"[-255:]
        self._store = S3Store(cluster_settings.s3_client(config, NAME), config.images.bucket)
        self._has_bucket = False
        self.dock = Dock(
            database=Database(cluster_settings.database_url(config, layout)),
            store=self._store,
            settings=cluster_settings.settings_of(config),
            worker_id=workers.new_id(place),
            clock_us=wall_us,
            berths=threading.Semaphore(config.images.max_uploads),
        )
        self.coordination = EmbeddedCoordination(layout.coordination)
        self._tokens = FollowedTokens(self.coordination)
        self._reaper = Reaper(self.dock, place)
        self._reap = WhenChanged(self.dock.database, self._reaper.step, _REAP_ANYHOW_S)
        importers = [Importer(self.dock, Fetcher(self.dock.settings.web)) for _ in range(config.images.importers)]
        steps = [each.step for each in importers]
        self._golden: GoldenMaker | None = None
        if config.block.gateways:
            volumes = GatewayVolumes(layout, config.block.gateways)
            self._golden = GoldenMaker(self.dock, volumes, layout.images_scratch)
            steps.append(self._golden.step)
        self._crew = Crew("imports", self.dock.database, _next_due_us, wall_us, steps)

    def prepare(self) -> None:
        """Make what is missing for a start: tables, and order. Raise ConfigError."""
        migrations.upgrade(self.dock.database, MIGRATIONS)
        self._tokens.poll()
        if self._golden is not None:
            self._golden.prepare()
        self._reaper.begin()

    def application(self) -> Any:
        """Return the WSGI application."""
        policy = Policy(RULES, SHARED, operators_file(self._layout, NAME, self._config.images.policy_file))
        return images_application(Parts(self.dock, self._tokens, policy, has_volumes=self._golden is not None))

    def chores(self) -> tuple[Chore, ...]:
        """Return what is to be done beside."""
        self._crew.start()
        own = [
            Chore("tokens", _TOKENS_S, self._tokens.poll),
            Chore("work", _WORK_S, self.work),
            Chore("seen", workers.SEEN_S, self._reaper.see),
            Chore("reap", _REAP_S, self.reap),
        ]
        if self._golden is not None:
            removal = WhenChanged(self.dock.database, self._golden.remove_unwanted, _REAP_ANYHOW_S)
            own.append(Chore("golden-removal", _UNWANTED_S, removal))
        return tuple(own)

    def work(self) -> None:
        """Have done what waits."""
        self._crew.look()
        self.ensure_bucket()

    def ensure_bucket(self) -> None:
        """See that there is a bucket: at the first start of a cluster this is all soon, but not at once."""
        if not self._has_bucket:
            with suppress(Unavailable):  # the store has told the log
                self._store.prepare()
                self._has_bucket = True

    def reap(self) -> None:
        """Remove what nobody wants."""
        if self._has_bucket:
            with suppress(Unavailable):
                if self.dock.leftovers:  # of which the database does not know
                    self._reaper.step()
                self._reap()

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether it serves: it has a database and keys, and the store has answered once."""
        try:
            with self.dock.database.reading() as connection:
                connection.execute(text("SELECT 1"))
        except (SQLAlchemyError, DatabaseUnavailable) as error:
            return False, {"database": f"does not answer: {type(error).__name__}"}
        has_keys = self._tokens.has_keys
        return has_keys and self._has_bucket, {"token_keys": has_keys, "store": self._has_bucket}

    def close(self) -> None:
        """Begin nothing any more, and let go of the database and of coordination."""
        self._crew.stop(_STOP_S)
        self.dock.database.close()
        self.coordination.close()


def _next_due_us(connection: Connection) -> int | None:
    """Return when an import or a conversion waits; None: there is none."""
    found = (tasks.next_due_us(connection), goldens.next_due_us(connection))
    return min((each for each in found if each is not None), default=None)


def serve(config: Config, layout: Layout) -> None:
    """Serve until told to stop."""
    limits = runner.Limits(connections=config.images.max_connections)
    serving.serve(IMAGES, config, layout, ImageService, limits)
