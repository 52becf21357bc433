"""Databases for tests of the control plane: SQLite, or PostgreSQL where HOLDFAST_TEST_POSTGRES says where one listens.

`make test-postgres` says so. On PostgreSQL each directory of a test has a schema of its own, which goes with the
server.
"""

import hashlib
import os
from pathlib import Path

from sqlalchemy import create_engine, text

VARIABLE = "HOLDFAST_TEST_POSTGRES"  # the directory of its socket
ON_POSTGRESQL = bool(os.environ.get(VARIABLE))
_PROGRAM = f"tests of {os.getpid()}"  # by which the server knows connections of this process


def url_in(directory: Path, name: str = "test") -> str:
    """Return the URL of the database `name` of `directory`: asked again, the same."""
    if not ON_POSTGRESQL:
        return f"sqlite:///{directory}/{name}.db"
    schema = "t" + hashlib.sha256(f"{directory}/{name}".encode()).hexdigest()[:24]
    _on_server(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    return f"{_server()}&options=-csearch_path%3D{schema}&application_name={_PROGRAM.replace(' ', '+')}"


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
