"""What SQLite says, in the words of the protocol: by what the caller does next."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.wire import RemoteError
from storage.messages import Refusal

_REFUSALS = {
    sqlite3.SQLITE_FULL: Refusal.DEVICE_FULL,
    sqlite3.SQLITE_CORRUPT: Refusal.CORRUPT,
    sqlite3.SQLITE_NOTADB: Refusal.CORRUPT,
}
_PRIMARY_CODE = 0xFF  # extended result codes keep the primary one in their low byte


class Damaged(sqlite3.DatabaseError):
    """What a database holds is not what was written. SQLite has no checksums, so we have our own."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def bad_request(detail: str) -> RemoteError:
    """Return the refusal of a message that should never have been sent."""
    return RemoteError(Refusal.BAD_REQUEST, detail)


@contextmanager
def translated() -> Iterator[None]:
    """Turn errors of SQLite and of the file system into refusals."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
        raise RemoteError(_REFUSALS.get(code, Refusal.DEVICE_FAILED), str(error)) from error
    except OSError as error:
        raise RemoteError(Refusal.DEVICE_FAILED, str(error)) from error


def expect(condition: bool, refusal: Refusal) -> None:
    """Raise `refusal` unless `condition` holds."""
    if not condition:
        raise RemoteError(refusal, refusal.name)
