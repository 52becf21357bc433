"""Brings a database to the form that the code expects: alembic, over the migrations of a package.

`DIRECTORY/env.py` is all that alembic needs there: it calls `run`. All steps are one transaction, under a lock: of
processes that start at the same time the first one does it, and the others find it done.
"""

from pathlib import Path

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from cluster.controlplane.database import Database


def upgrade(database: Database, directory: Path, to: str = "head") -> None:
    """Apply the migrations in `directory` that are missing."""
    with database.alone() as connection:
        command.upgrade(_config(connection, directory), to)


def current(database: Database) -> str | None:
    """Return the revision that the database has; None: it is empty."""
    with database.reading() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def run() -> None:
    """Apply migrations over the connection that `upgrade` has: for `env.py`."""
    connection: Connection = context.config.attributes["connection"]
    context.configure(connection=connection, render_as_batch=connection.dialect.name == "sqlite")
    context.run_migrations()  # within the transaction of `upgrade`


def _config(connection: Connection, directory: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(directory).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
