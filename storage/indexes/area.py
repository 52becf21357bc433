"""What scrub reads of a device's databases, in the order of their keys; accounts behind containers."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from storage.area import Piece
from storage.indexes.check import Check
from storage.messages import DatabaseKind

_DATABASE_COST = 64 << 10  # bytes that a database counts for: it is opened, and its small file read
_BYTE_COST = 16  # a byte of rows takes as long to check as so many of a large object
_KINDS = tuple(int(kind) for kind in DatabaseKind)


class Databases(Protocol):
    """This device's (storage.indexes.store)."""

    def inventory(
        self, kind: int, start: bytes, end: bytes | None, limit: int
    ) -> Awaitable[Sequence[tuple[bytes, bytes]]]:
        """Return (key, digest) of databases, ordered."""

    def check(self, key: bytes, check: Check) -> Awaitable[tuple[int, bool]]:
        """Read on in a database; return the bytes, and whether all was read."""

    def check_catalog(self) -> Awaitable[None]:
        """Read what names the databases."""

    @property
    def damage_counts(self) -> tuple[int, int]:
        """How many were found damaged, and how many made anew."""


class DatabaseArea:
    """The databases. A position is a kind and a key: in a new process that database is read from its beginning."""

    name = "databases"

    def __init__(self, databases: Databases, stored_bytes: Callable[[], Awaitable[int]]) -> None:
        """`stored_bytes`: about how many bytes all files have."""
        self._databases = databases
        self._stored_bytes = stored_bytes
        self._check: Check | None = None

    @property
    def found_count(self) -> int:
        """Databases found damaged."""
        return self._databases.damage_counts[0]

    @property
    def healed_count(self) -> int:
        """Of them, those that were made anew."""
        return self._databases.damage_counts[1]

    async def size(self) -> int:
        """Return about how many bytes there are."""
        return await self._stored_bytes()

    async def step(self, position: str) -> Piece:
        """Read on in a database, or go to the next one."""
        if not position:
            await self._databases.check_catalog()
        number, _, name = position.partition(":")
        kind, start = int(number or _KINDS[0]), bytes.fromhex(name)
        found = await self._databases.inventory(kind, start, None, 1)
        if not found:
            self._check = None
            following = [other for other in _KINDS if other > kind]
            share = (_KINDS.index(kind) + 1) / len(_KINDS)
            return Piece(0, 0, f"{following[0]}:" if following else None, share)
        key = found[0][0]
        self._check = self._check or Check()
        size, done = await self._databases.check(key, self._check)
        cost = size * _BYTE_COST
        if done:
            self._check = None
            cost += _DATABASE_COST
        share = (_KINDS.index(kind) + int.from_bytes(key[:4], "big") / (1 << 32)) / len(_KINDS)
        return Piece(size, cost, f"{kind}:{(key + bytes(done)).hex()}", share)  # behind it, once it is done

    def close(self) -> None:
        """Forget how far a database was read."""
        self._check = None
