"""Databases for tests of the control plane: SQLite, or PostgreSQL where HOLDFAST_TEST_POSTGRES says where one listens.

`make test-postgres` says so. On PostgreSQL each directory of a test has a schema of its own, which goes with the
server. SQLite's are made quickly, as most tests have one: statements are compiled once in a process, and what new ones
have in them is copied (`fill`).
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from cluster.controlplane.database import Database, retried

VARIABLE = "HOLDFAST_TEST_POSTGRES"  # the directory of its socket
ON_POSTGRESQL = bool(os.environ.get(VARIABLE))
_PROGRAM = f"tests of {os.getpid()}"  # by which the server knows connections of this process
_compiled: dict[Any, Any] = {}  # statements of all engines on SQLite
_filled: dict[Callable[[Connection], object], bytes] = {}  # what it makes of a database that is new: SQLite's file


class AlikeDialect(SQLiteDialect_pysqlite):
    """SQLite's, the same for all engines: what one has compiled, the others need not."""

    supports_statement_cache = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AlikeDialect)

    def __hash__(self) -> int:
        return hash(AlikeDialect)

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        """Have it look for compiled statements where all do."""
        engine.update_execution_options(compiled_cache=_compiled)


registry.register("sqlite.alike", __name__, AlikeDialect.__name__)


def url_in(directory: Path, name: str = "test") -> str:
    """Return the URL of the database `name` of `directory`: asked again, the same."""
    if not ON_POSTGRESQL:
        return f"sqlite+alike:///{directory}/{name}.db"
    schema = "t" + hashlib.sha256(f"{directory}/{name}".encode()).hexdigest()[:24]
    _on_server(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    return f"{_server()}&options=-csearch_path%3D{schema}&application_name={_PROGRAM.replace(' ', '+')}"


def fill(database: Database, by: Callable[[Connection], object]) -> None:
    """Have a function put into a new database what it always does, or what it did the first time."""
    if not database.is_sqlite:
        retried(database, by)
    elif by in _filled:
        Path(str(database.engine.url.database)).write_bytes(_filled[by])
    else:
        retried(database, by)
        with database.reading() as connection:
            _filled[by] = connection.connection.driver_connection.serialize()


def forget_connections() -> None:
    """Have the server close what tests of this process left open: it has room for a hundred connections."""
    if ON_POSTGRESQL:
        _on_server(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{_PROGRAM}'")


def _server() -> str:
    return f"postgresql+psycopg://postgres@/postgres?host={os.environ[VARIABLE]}"


def _on_server(statement: str) -> None:
    engine = create_engine(_server(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
