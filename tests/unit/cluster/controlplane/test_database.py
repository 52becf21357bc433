"""Transactions: what is undone, what is repeated, who waits."""

import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from cluster.controlplane import database as databases
from cluster.controlplane.database import ATTEMPTS, Database, refusing_duplicates, retried
from cluster.controlplane.errors import Unavailable
from tests.databases import ON_POSTGRESQL, forget_connections, url_in


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(url_in(tmp_path))
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE numbers (number INTEGER PRIMARY KEY)"))
    return database


def numbers(database: Database) -> list[int]:
    with database.reading() as connection:
        return list(connection.scalars(text("SELECT number FROM numbers ORDER BY number")))


def insert(connection: Connection, number: int) -> None:
    connection.execute(text("INSERT INTO numbers VALUES (:number)"), {"number": number})


def test_an_exception_undoes_a_transaction(database: Database) -> None:
    def fail(connection: Connection) -> None:
        insert(connection, 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        retried(database, fail)
    assert numbers(database) == []
    retried(database, lambda connection: insert(connection, 2))
    assert numbers(database) == [2]


def test_a_reader_sees_one_state(database: Database) -> None:
    retried(database, lambda connection: insert(connection, 1))
    with database.reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM numbers")) == 1
        retried(database, lambda other: insert(other, 2))
        assert connection.scalar(text("SELECT count(*) FROM numbers")) == 1
    assert numbers(database) == [1, 2]


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError), database.reading() as connection:
        insert(connection, 1)
    retried(database, lambda connection: insert(connection, 1))


@pytest.mark.skipif(ON_POSTGRESQL, reason="of SQLite")
def test_sqlite_is_told_to_be_durable(database: Database) -> None:
    with database.writing() as connection:
        settings = [
            connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert settings == ["wal", 2, 1]


@pytest.mark.skipif(ON_POSTGRESQL, reason="of SQLite")
def test_a_new_file_that_another_is_making_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    other = sqlite3.connect(path, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(0.1, other.rollback)
    release.start()
    database = Database(f"sqlite:///{path}?timeout=0")  # SQLite itself waits for nobody
    with database.writing() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
    release.join()
    other.close()


@pytest.mark.skipif(ON_POSTGRESQL, reason="only SQLite tells")
def test_changes_are_told_whoever_made_them(database: Database, tmp_path: Path) -> None:
    before = database.changes()
    assert numbers(database) == []
    with database.writing():
        pass
    assert database.changes() == before
    with database.writing() as connection:
        insert(connection, 1)
        assert database.changes() == before
    after = database.changes()
    assert after != before
    other = Database(url_in(tmp_path))
    with other.writing() as connection:
        insert(connection, 2)
    other.close()
    assert database.changes() not in (before, after)


def test_duplicates_are_refused_in_the_callers_words(database: Database) -> None:
    def twice(connection: Connection) -> None:
        insert(connection, 1)
        with refusing_duplicates(KeyError("taken")):
            insert(connection, 1)

    with pytest.raises(KeyError, match="taken"):
        retried(database, twice)
    assert numbers(database) == []


def test_a_database_that_does_not_answer_is_a_matter_of_trying_again(tmp_path: Path) -> None:
    away = Database(f"postgresql+psycopg://nobody@/nothing?host={tmp_path}")
    with pytest.raises(Unavailable), away.reading():
        pass
    with pytest.raises(Unavailable):
        retried(away, lambda connection: None)


@pytest.mark.skipif(not ON_POSTGRESQL, reason="of PostgreSQL")
def test_a_connection_that_the_server_closed_is_made_anew(database: Database) -> None:
    retried(database, lambda connection: insert(connection, 1))
    forget_connections()
    assert numbers(database) == [1]


def overtaken() -> OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorname = "SQLITE_BUSY_SNAPSHOT"
    return OperationalError("INSERT", {}, error)


def test_who_was_overtaken_begins_anew(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_BACKOFF_S", 0.0)
    attempts: list[int] = []

    def work(connection: Connection) -> None:
        attempts.append(len(attempts))
        insert(connection, len(attempts))
        if len(attempts) < 3:
            raise overtaken()

    retried(database, work)
    assert numbers(database) == [3]

    def hopeless(_connection: Connection) -> None:
        attempts.append(0)
        raise overtaken()

    attempts.clear()
    with pytest.raises(Unavailable):
        retried(database, hopeless)
    assert len(attempts) == ATTEMPTS


def test_writers_of_several_threads_take_turns(database: Database) -> None:
    def count(connection: Connection) -> None:
        insert(connection, 1 + int(connection.scalar(text("SELECT count(*) FROM numbers")) or 0))

    threads = [
        threading.Thread(target=lambda: [retried(database, count) for _ in range(10)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(database) == list(range(1, 41))
