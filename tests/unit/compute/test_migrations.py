"""The migrations of each service make what its code expects, once."""

from pathlib import Path
from types import ModuleType

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData

from cluster.controlplane import migrations
from cluster.controlplane.database import Database
from compute import images, instances, network, volumes
from compute.images.schema import metadata as of_images
from compute.instances.schema import metadata as of_instances
from compute.network.schema import metadata as of_network
from compute.volumes.schema import metadata as of_volumes
from tests.databases import url_in

SERVICES = [(images, of_images), (volumes, of_volumes), (network, of_network), (instances, of_instances)]


@pytest.mark.parametrize(("package", "metadata"), SERVICES, ids=[package.__name__ for package, _ in SERVICES])
def test_an_empty_database_becomes_the_schema(tmp_path: Path, package: ModuleType, metadata: MetaData) -> None:
    database, directory = Database(url_in(tmp_path)), Path(str(package.__file__)).parent / "migrations"
    assert migrations.current(database) is None
    migrations.upgrade(database, directory)
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    before = migrations.current(database)
    migrations.upgrade(database, directory)
    assert migrations.current(database) == before is not None
