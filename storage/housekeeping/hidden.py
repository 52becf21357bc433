"""A walk through the hidden containers in which S3's uploads and their parts are, as replicas have them.

For a container there may be two of our own, whose names hold a zero character (proxy.objects.multipart). An account's
are walked by the first primary of its database that is up: its containers in order, then those that it remembers as
deleted. There may be rows that were deleted since, and what a replica lacks comes in the next walk.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

import msgpack

from storage.client import Placement
from storage.indexes.header import Header
from storage.messages import Changes, DatabaseKind, IndexChanges, IndexList, Listing, Row
from storage.ranges.decision import Named
from storage.ranges.listing import page_from

UPLOADS, PARTS = "\0uploads\0", "\0parts\0"  # the hidden containers of a container: these, and its name
PAGE = 500
GLANCE_S = 0.02  # after a container that has no uploads
_HIDDEN = "\0"  # in no name of a client


class Databases(Protocol):
    """This device's databases (storage.indexes.store)."""

    async def inventory(
        self, kind: int, start: bytes, end: bytes | None, limit: int
    ) -> Sequence[tuple[bytes, bytes]]:
        """Return (key, digest) of the databases of `kind` with `start` <= key < `end`, ordered."""

    async def header(self, key: bytes) -> Header | None:
        """Return what a database knows of itself."""

    async def list(self, message: IndexList) -> Listing | None:
        """Return a page of live rows; None when this device has no such database."""

    async def changes(self, message: IndexChanges) -> Changes | None:
        """Return a page of rows in the order of their changes; None when there is no such database."""


class Position(NamedTuple):
    """How far the walk is."""

    account_key: bytes = b""
    container: str = ""  # the clients'
    hidden: str = ""  # one of UPLOADS, PARTS
    name: str = ""  # from this row on

    def encode(self) -> bytes:
        """Return it as it is kept over restarts."""
        packed: bytes = msgpack.packb(self)
        return packed


def decode(saved: bytes | None) -> Position:
    """Return the position that was kept; of what cannot be read, the beginning."""
    try:
        return Position() if saved is None else Position(*msgpack.unpackb(saved))
    except (ValueError, TypeError):
        return Position()


class Walk:
    """One walk. It can be begun at a position, and knows its own."""

    def __init__(self, databases: Databases, placement: Placement, device_id: int, position: Position) -> None:
        self._databases = databases
        self._placement = placement
        self._device_id = device_id
        self.position = position

    async def pages(self) -> AsyncIterator[tuple[Named, Sequence[Row]]]:
        """Yield the rows of hidden containers, page by page, from the position on, which moves along."""
        start = self.position
        async for key in self._accounts(start.account_key):
            header = await self._databases.header(key)
            if header is None or not self._leads(key):
                continue
            async for container in self._containers(key, header.account, start):
                for hidden in (PARTS, UPLOADS):
                    begun = start[:3] == (key, container, hidden)
                    self.position = Position(key, container, hidden, start.name if begun else "")
                    async for page in self._rows(Named(header.account, hidden + container)):
                        yield page

    async def _rows(self, hidden: Named) -> AsyncIterator[tuple[Named, Sequence[Row]]]:
        """Yield pages of a hidden container, from the position on."""
        while True:
            page = await page_from(self._placement, hidden, self.position.name, PAGE)
            self.position = self.position._replace(name=page.following)
            if page.rows:
                yield hidden, page.rows
            else:
                await asyncio.sleep(GLANCE_S)
            if not page.following:
                return

    async def _accounts(self, start: bytes) -> AsyncIterator[bytes]:
        """Yield the keys of accounts whose databases are here."""
        while True:
            found = await self._databases.inventory(DatabaseKind.ACCOUNT, start, None, PAGE)
            for key, _digest in found:
                yield key
            if len(found) < PAGE:
                return
            start = found[-1][0] + b"\0"

    async def _containers(self, key: bytes, account: str, start: Position) -> AsyncIterator[str]:
        """Yield an account's containers in order, from the position on; then those that were deleted."""
        first = start.container if start.account_key == key else ""
        marker, truncated = "", True
        while truncated:
            message = IndexList(DatabaseKind.ACCOUNT, key, account, "", PAGE, marker=marker, low=first)
            listing = await self._databases.list(message)
            rows = [] if listing is None else [Row(*item) for item in listing.items]
            for row in rows:
                if _HIDDEN not in row.name:
                    yield row.name
            truncated = listing is not None and listing.truncated
            marker = rows[-1].name if rows else ""
        async for name in self._deleted(key):
            yield name

    async def _deleted(self, key: bytes) -> AsyncIterator[str]:
        """Yield the containers that an account remembers as deleted."""
        sequence, incarnation, more = 0, b"", True
        while more:
            message = IndexChanges(DatabaseKind.ACCOUNT, key, incarnation, sequence, PAGE)
            changes = await self._databases.changes(message)
            if changes is None:
                return
            for row in [Row(*values) for values in changes.rows]:
                if row.deleted and _HIDDEN not in row.name:
                    yield row.name
            sequence, incarnation, more = changes.sequence, changes.incarnation, changes.more

    def _leads(self, account_key: bytes) -> bool:
        members = self._placement.replicas(DatabaseKind.ACCOUNT, account_key).members
        first = next((device_id for device_id, peer in members if device_id == self._device_id or peer.up), None)
        return first == self._device_id
