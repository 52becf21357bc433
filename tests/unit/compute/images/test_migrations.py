"""The migrations make what the code expects."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from cluster.controlplane import migrations
from cluster.controlplane.database import Database
from compute import images
from compute.images.schema import metadata
from tests.databases import url_in

DIRECTORY = Path(images.__file__).parent / "migrations"


def test_an_empty_database_becomes_the_schema(tmp_path: Path) -> None:
    database = Database(url_in(tmp_path))
    migrations.upgrade(database, DIRECTORY)
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    before = migrations.current(database)
    migrations.upgrade(database, DIRECTORY)
    assert migrations.current(database) == before is not None
