"""The migrations make what the code expects."""

import threading
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from cluster.controlplane import migrations
from cluster.controlplane.database import Database
from identity import keystone
from identity.keystone.schema import metadata
from tests.databases import url_in

DIRECTORY = Path(keystone.__file__).parent / "migrations"


def test_an_empty_database_becomes_the_schema(tmp_path: Path) -> None:
    database = Database(url_in(tmp_path))
    assert migrations.current(database) is None
    migrations.upgrade(database, DIRECTORY)
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert migrations.current(database) is not None


def test_a_second_upgrade_changes_nothing(tmp_path: Path) -> None:
    database = Database(url_in(tmp_path))
    migrations.upgrade(database, DIRECTORY)
    before = migrations.current(database)
    migrations.upgrade(database, DIRECTORY)
    assert migrations.current(database) == before


def test_processes_that_start_at_the_same_time_do_it_once(tmp_path: Path) -> None:
    databases = [Database(url_in(tmp_path)) for _ in range(3)]
    errors: list[Exception] = []

    def start(database: Database) -> None:
        try:
            migrations.upgrade(database, DIRECTORY)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=start, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
