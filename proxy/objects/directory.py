"""Containers and accounts: what the object service and the dialects do with them, put together.

How their databases are written and read: `databases`. What is believed of containers: `containers`. How rows get there:
`rows`. How a container is deleted: `container_deletion`. Here: they are made and changed, described and listed.
"""

from collections.abc import Coroutine, Mapping
from typing import Any

from cluster.clock import HybridClock, Timestamp, wall_us
from proxy.objects.container_deletion import ContainerDeletion
from proxy.objects.containers import Containers, live
from proxy.objects.databases import Database, Databases, listing_in
from proxy.objects.errors import NoSuchContainer, Unavailable
from proxy.objects.model import (
    AccountInfo,
    AccountListing,
    CommonPrefix,
    ContainerInfo,
    ContainerListing,
    ListingQuery,
)
from proxy.objects.rows import SPLIT_TRIES, Rows
from proxy.objects.spans import MapChanged, Moved, SpanListing
from storage.client import Placement
from storage.messages import IndexCreate, IndexList, Info, Listing, Operation, Row
from storage.ranges.pointers import Span


class Directory:
    """Reads and writes containers and accounts."""

    def __init__(self, placement: Placement, clock: HybridClock) -> None:
        self._databases = Databases(placement, clock)
        self._containers = Containers(self._databases)
        self._rows = Rows(placement, clock, self._databases, self._containers)
        self._deletion = ContainerDeletion(placement, clock, self._databases, self._containers)

    def container(self, account: str, container: str) -> Database:
        """Return the database of a container."""
        return self._databases.container(account, container)

    def account(self, account: str) -> Database:
        """Return the database of an account."""
        return self._databases.account(account)

    # rows

    def add_row(self, database: Database, put_timestamp: Timestamp, row: Row) -> Coroutine[Any, Any, None]:
        """Bring `row` to a quorum. Raise NoSuchContainer when it was deleted after `put_timestamp`.

        Rows that are added within one turn of the event loop travel in one message.
        """
        return self._rows.add(database, put_timestamp, row)

    async def send_rows(self, database: Database, put_timestamp: Timestamp, rows: list[Row]) -> None:
        """Bring `rows` to a quorum, of the databases that have them."""
        await self._rows.send(database, put_timestamp, rows)

    # state

    async def create(self, database: Database, metadata: Mapping[str, Any]) -> Timestamp:
        """Create the database, or bring it back, or change metadata (a value None removes a name)."""
        timestamp = self._databases.now(database)
        stamped = {name: (value, timestamp) for name, value in metadata.items()}
        message = IndexCreate(
            database.kind, database.key, database.account, database.container, timestamp, stamped
        )
        await self._databases.write(database, Operation.INDEX_CREATE, message)
        self._containers.forget(database.account, database.container)
        return timestamp

    async def update(self, database: Database, put_timestamp: Timestamp, metadata: Mapping[str, Any]) -> None:
        """Change metadata of a database that exists since `put_timestamp`."""
        timestamp = self._databases.now(database)
        stamped = {name: (value, timestamp) for name, value in metadata.items()}
        message = IndexCreate(
            database.kind, database.key, database.account, database.container, put_timestamp, stamped
        )
        await self._databases.write(database, Operation.INDEX_CREATE, message)
        self._containers.forget(database.account, database.container)

    async def delete(self, database: Database, at: Timestamp | None = None) -> Timestamp:
        """Delete a container that is empty, now or `at` a time past; return the deletion's timestamp.

        One that was made anew after `at` stays. Raise NoSuchContainer, ContainerNotEmpty.
        """
        return await self._deletion.delete(database, at)

    async def info(self, database: Database) -> Info | None:
        """Return the state of a database on a quorum; None when it does not exist."""
        return await self._databases.info(database)

    async def deleted_at(self, database: Database) -> Timestamp | None:
        """Return when a database was deleted; None when it exists or never did."""
        return await self._databases.deleted_at(database)

    def forget(self, account: str, container: str) -> None:
        """Drop what is believed of a container."""
        self._containers.forget(account, container)

    async def known_container(self, account: str, container: str) -> ContainerInfo:
        """Return the container's state, maybe some seconds old. Raise NoSuchContainer."""
        return await self._containers.known(account, container)

    async def container_info(self, account: str, container: str) -> ContainerInfo:
        """Return the container's state as a quorum has it. Raise NoSuchContainer."""
        return await self._containers.info(account, container)

    async def account_info(self, account: str) -> AccountInfo:
        """Return the state of an account; one that was never written to is empty."""
        return _account_info(account, await self.info(self.account(account)))

    # listings

    async def list_container(self, account: str, container: str, query: ListingQuery) -> ContainerListing:
        """Return a page of a container. Raise NoSuchContainer."""
        database = self.container(account, container)
        for _ in range(SPLIT_TRIES):
            try:
                if self._containers.maps.get(database.key) is not None:
                    return await self._list_spans(database, query)
                listing = await self._list(database, query)
            except Moved as moved:
                self._containers.maps.learn(database.key, moved.pointers)
                continue
            except MapChanged:
                continue
            if listing is None:
                self._containers.forget(account, container)
                raise NoSuchContainer(container)
            return ContainerListing(self._containers.remember(listing.info), _items(listing.items), listing.truncated)
        raise Unavailable("the container is split again and again")

    async def _list_spans(self, database: Database, query: ListingQuery) -> ContainerListing:
        """Return a page of a split container. Raise NoSuchContainer, MapChanged."""

        async def page(span: Span, part: ListingQuery) -> Listing:
            try:
                listing = await self._list(self._databases.range(database, span.range_id), part, span)
            except Moved as moved:
                self._containers.maps.follow(database.key, span.range_id, moved.pointers)
                raise
            if listing is None:
                await self._rows.range_is_gone(database, span.range_id)
                raise MapChanged
            return listing

        items, truncated = await SpanListing(lambda: self._containers.maps.get(database.key), page, query).read()
        info = await self._containers.known(database.account, database.container)
        return ContainerListing(info, _items(items), truncated)

    async def list_account(self, account: str, query: ListingQuery) -> AccountListing:
        """Return a page of an account."""
        listing = await self._list(self.account(account), query)
        if listing is None:
            return AccountListing(_account_info(account, None), [], False)
        return AccountListing(_account_info(account, listing.info), _items(listing.items), listing.truncated)

    async def _list(
        self, database: Database, query: ListingQuery, span: Span | None = None
    ) -> Listing | None:
        """Return a page of a database, or of a span of it; None: it does not exist. Raise Moved."""

        def message(sync_from: int | None) -> tuple[Operation, tuple[Any, ...]]:
            return Operation.INDEX_LIST, IndexList(
                database.kind,
                database.key,
                database.account,
                database.container,
                query.limit,
                query.prefix,
                query.marker,
                query.end_marker,
                query.delimiter,
                query.reverse,
                sync_from,
                span.low if span else "",
                span.high if span else "",
            )

        listing = await self._databases.read(database, message, listing_in)
        if listing is None or listing.info.put_timestamp <= listing.info.delete_timestamp:
            return None
        return listing


def _items(items: list[Any]) -> list[Row | CommonPrefix]:
    return [CommonPrefix(item) if isinstance(item, str) else Row._make(item) for item in items]


def _account_info(account: str, info: Info | None) -> AccountInfo:
    if info is None:
        return AccountInfo(account, wall_us(), 0, 0, 0, {})
    return AccountInfo(
        account,
        info.created_us,
        info.container_count,
        info.object_count,
        info.bytes_used,
        live(info.metadata),
    )


def account_row(container: str, timestamp: Timestamp, deleted: bool, created_us: int) -> Row:
    """Return the account's row that says that a container exists, or is deleted, since `timestamp`."""
    return Row(container, timestamp, deleted, 0, modified_us=created_us)
