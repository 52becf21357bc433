"""The database of a service: SQLAlchemy Core, transactions that read and transactions that write.

    with database.writing() as connection:
        connection.execute(...)

Invariants: a transaction sees one state of the database from beginning to end; what has been committed survives a crash
of the machine; writers are serializable. On SQLite a writer takes the lock when it begins, so that it never fails
half-way; on PostgreSQL it may have to be repeated, which `retried` does. Who is the next writer within a process is
settled by a lock of ours: SQLite's own would keep the whole process waiting, and with it the green thread that has it.
"""

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from cluster.controlplane.errors import Unavailable

T = TypeVar("T")

WAIT_S = 10.0  # for other writers
ATTEMPTS = 16  # at a transaction that others keep overtaking: with fifty at once on PostgreSQL it takes more than six
_PATIENCE_S = 30.0  # with all of these together; SQLite's busy timeout alone may take WAIT_S each time
_BACKOFF_S, _LONGEST_BACKOFF_S = 0.01, 0.5  # before the second attempt; doubles
_LOCK_ID = 0x686F6C64666173  # "holdfas", as PostgreSQL's advisory locks are numbers
_WRITING = "holdfast_writing"  # execution option of a connection
_SERIALIZATION_STATES = frozenset(("40001", "40P01"))  # PostgreSQL: serialization failure, deadlock
_UNIQUE_STATE = "23505"
_BUSY_NAMES = ("SQLITE_BUSY", "SQLITE_LOCKED")  # and their extended codes, which begin so


class Database:
    """One database by its SQLAlchemy URL: sqlite:////path/of.db or postgresql+psycopg://…"""

    def __init__(self, url: str | URL) -> None:
        # errors are logged, and would show secrets; a server may have closed what was open
        self.engine: Engine = create_engine(url, hide_parameters=True, pool_pre_ping=True)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._writer = threading.Lock()
        self._watching: Any = None  # a connection that only looks whether others have committed
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database, and cannot change it."""
        with self._connect() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose changes are committed at the end, or undone by an exception."""
        with self._as_only_writer(), self._connect() as connection:
            if self.is_sqlite:
                connection = connection.execution_options(**{_WRITING: True})
            else:
                connection = connection.execution_options(isolation_level="SERIALIZABLE")
            with connection.begin():
                yield connection

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """Give a connection as `writing` does, while no other process has one from here: to change the tables."""
        if self.is_sqlite:
            with self.writing() as connection:
                yield connection
            return
        with self._connect() as connection:
            # serializable, it would see the state from before it waited for the lock
            connection = connection.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
                yield connection

    def changes(self) -> int | None:
        """Return a number that is another one after anything was committed, by whomever; None: it is not known.

        It costs some microseconds, where a transaction that looks takes a thousand.
        """
        if not self.is_sqlite:
            return None
        if self._watching is None:
            self._watching = self.engine.raw_connection()
        (version,) = self._watching.driver_connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        if self._watching is not None:
            self._watching.close()
            self._watching = None
        self.engine.dispose()

    def _connect(self) -> Connection:
        try:
            return self.engine.connect()
        except OperationalError as error:
            raise Unavailable("The database does not answer; try again.") from error

    @contextmanager
    def _as_only_writer(self) -> Iterator[None]:
        if not self.is_sqlite:
            yield
            return
        if not self._writer.acquire(timeout=WAIT_S):
            raise Unavailable("The database is busy; try again.")
        try:
            yield
        finally:
            self._writer.release()


def retried(database: Database, work: Callable[[Connection], T]) -> T:
    """Return what `work` returns in a writing transaction; begin anew when others were in the way.

    Raise Unavailable when they are after ATTEMPTS. `work` may run several times: all it does must be in the database.
    """
    pause_s, until_s = _BACKOFF_S, time.monotonic() + _PATIENCE_S
    for attempts_left in reversed(range(ATTEMPTS)):
        try:
            with database.writing() as connection:
                return work(connection)
        except DBAPIError as error:
            if not _is_overtaken(error):
                raise
            if not attempts_left or time.monotonic() > until_s:
                raise Unavailable("The database is busy; try again.") from error
        time.sleep(pause_s * random.uniform(0.5, 1.5))
        pause_s = min(2 * pause_s, _LONGEST_BACKOFF_S)
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def refusing_duplicates(refusal: Exception) -> Iterator[None]:
    """Raise `refusal` when what is written inside is there already. The transaction is lost by that."""
    try:
        yield
    except IntegrityError as error:
        if _is_duplicate(error):
            raise refusal from None
        raise


def make_private(path: Path) -> None:
    """Make SQLite's file, so that it is never readable by others; SQLite gives its other files the same mode."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own
    _log_ahead(connection)
    for pragma in (
        "synchronous = FULL",
        "foreign_keys = ON",
        "case_sensitive_like = ON",  # as PostgreSQL's LIKE is
        f"busy_timeout = {int(WAIT_S * 1000)}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _log_ahead(connection: Any) -> None:
    """Have SQLite write ahead. Those that open a new file at once all want it alone for that: it has them fail."""
    until_s = time.monotonic() + WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > until_s:
                raise
        time.sleep(_BACKOFF_S * random.uniform(0.5, 1.5))


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get(_WRITING, False)
    connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if writing else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _is_overtaken(error: DBAPIError) -> bool:
    if getattr(error.orig, "sqlstate", None) in _SERIALIZATION_STATES:
        return True
    return _is_busy(error.orig)


def _is_busy(error: BaseException | None) -> bool:
    return str(getattr(error, "sqlite_errorname", "")).startswith(_BUSY_NAMES)


def _is_duplicate(error: IntegrityError) -> bool:
    if getattr(error.orig, "sqlstate", None) == _UNIQUE_STATE:
        return True
    return getattr(error.orig, "sqlite_errorname", "") in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")
