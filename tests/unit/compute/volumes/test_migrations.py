"""The migrations make what the code expects, and the code expects what rules there are."""

import re
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from cluster.controlplane import migrations
from cluster.controlplane.database import Database
from compute import volumes
from compute.volumes.policy.defaults import RULES
from compute.volumes.schema import metadata
from tests.databases import url_in

PACKAGE = Path(volumes.__file__).parent


def test_an_empty_database_becomes_the_schema(tmp_path: Path) -> None:
    database = Database(url_in(tmp_path))
    migrations.upgrade(database, PACKAGE / "migrations")
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_every_rule_that_is_asked_for_is_there() -> None:
    """One that is not would be refused by oslo.policy as a defect."""
    asked: set[str] = set()
    for path in (PACKAGE / "api").glob("*.py"):
        text = path.read_text()
        asked |= set(re.findall(r'"((?:volume(?:_extension)?|backup|message|scheduler_extension)(?::[\w-]+)+)"', text))
        prefix = re.search(r'^_RULE = "([\w:]+)"', text, re.MULTILINE)
        if prefix:
            asked |= {prefix[1] + end for end in re.findall(r'_RULE \+ "(\w+)"', text)}
    assert len(asked) > 60
    assert asked - RULES.keys() == set()
