"""The object service: what both dialects stand on. See the package for what it promises.

Puts the parts together and adds what takes several of them: containers with their rows in accounts,
objects with the parts of the manifests that they replace.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from cluster.clock import HybridClock, Timestamp, wall_us
from proxy.http.message import Body, Buffer
from proxy.objects.background import Background
from proxy.objects.buckets import Buckets
from proxy.objects.confirm import Confirmations
from proxy.objects.directory import Directory, account_row
from proxy.objects.errors import NoSuchContainer, TooOld
from proxy.objects.manifests import Manifests
from proxy.objects.model import (
    AccountInfo,
    AccountListing,
    CompletionCheck,
    Condition,
    ContainerInfo,
    ContainerListing,
    ListingQuery,
    NewObject,
    ObjectInfo,
    ObjectName,
    ObjectReader,
    PartListing,
    Segment,
    UploadListing,
)
from proxy.objects.multipart import GRACE_S, Multipart
from proxy.objects.objects import Objects, Written
from proxy.objects.quotas import Quotas
from proxy.objects.ranges import Range
from proxy.objects.register import Register
from storage.client import Placement
from storage.metadata import ObjectMetadata


class ObjectService:
    """Accounts, containers and objects of the cluster behind `placement`."""

    def __init__(self, placement: Placement, clock: HybridClock, multipart_grace_s: float = GRACE_S) -> None:
        """`multipart_grace_s`: how long parts of objects that were replaced or deleted can be read on."""
        register = Register(placement, clock)
        self._directory = Directory(placement, clock)
        self._confirmations = Confirmations(placement)
        self._background = Background()
        self._objects = Objects(placement.names, register, self._directory, self._confirmations)
        directory = self._directory
        self._quotas = Quotas(directory.known_container, directory.container_info, directory.account_info)
        self._buckets = Buckets(self._objects)
        self._manifests = Manifests(self._objects, self._directory)
        self._multipart = Multipart(
            self._objects, self._manifests, self._directory, self._quotas, self._background, clock, multipart_grace_s
        )

    async def close(self) -> None:
        """Finish what runs behind answers already given."""
        self._confirmations.flush()
        self._quotas.close()
        await self._background.close()

    # containers

    async def create_container(self, account: str, container: str, metadata: Mapping[str, Any]) -> bool:
        """Create a container; of one that exists change the metadata. Tell whether it is new."""
        database = self._directory.container(account, container)
        info = await self._directory.info(database)
        if info is None:
            timestamp = await self._directory.create(database, metadata)
            await self._enter(account, container, timestamp, wall_us())
            return True
        if metadata:
            await self._directory.update(database, info.put_timestamp, metadata)
            self._quotas.forget(account, container)
        await self._enter(account, container, info.put_timestamp, info.created_us)
        return False

    async def _enter(self, account: str, container: str, timestamp: Timestamp, created_us: int) -> None:
        row = account_row(container, timestamp, False, created_us)
        database = self._directory.account(account)
        try:
            await self._directory.add_row(database, timestamp, row)
        except TooOld:  # whoever made it has died before it was entered, long ago
            newer = await self._directory.create(self._directory.container(account, container), {})
            row = account_row(container, newer, False, created_us)
            await self._directory.add_row(database, newer, row)

    async def update_container(self, account: str, container: str, metadata: Mapping[str, Any]) -> None:
        """Change metadata; a value None removes a name. Raise NoSuchContainer."""
        info = await self._directory.container_info(account, container)
        database = self._directory.container(account, container)
        await self._directory.update(database, info.put_timestamp, metadata)
        self._quotas.forget(account, container)

    async def container_info(self, account: str, container: str) -> ContainerInfo:
        """Return the container's state as a quorum has it. Raise NoSuchContainer."""
        return await self._directory.container_info(account, container)

    async def known_container(self, account: str, container: str) -> ContainerInfo:
        """Return the container's state, maybe some seconds old. Raise NoSuchContainer."""
        return await self._directory.known_container(account, container)

    async def delete_container(self, account: str, container: str) -> None:
        """Delete an empty container. Raise NoSuchContainer, ContainerNotEmpty."""
        database = self._directory.container(account, container)
        try:
            await self._directory.container_info(account, container)
        except NoSuchContainer:
            gone = await self._directory.deleted_at(database)
            if gone is not None:  # by a proxy that may have died before it told the account
                await self._leave(account, container, gone)
            raise
        timestamp = await self._directory.delete(database)
        self._quotas.forget(account, container)
        await self._leave(account, container, timestamp)
        self._multipart.forget_container(account, container, timestamp)

    async def _leave(self, account: str, container: str, timestamp: Timestamp) -> None:
        row = account_row(container, timestamp, True, 0)
        await self._directory.add_row(self._directory.account(account), timestamp, row)

    async def list_container(self, account: str, container: str, query: ListingQuery) -> ContainerListing:
        """Return a page of a container. Raise NoSuchContainer."""
        return await self._directory.list_container(account, container, query)

    # accounts

    async def account_info(self, account: str) -> AccountInfo:
        """Return the account's state; every account exists."""
        return await self._directory.account_info(account)

    async def update_account(self, account: str, metadata: Mapping[str, Any]) -> None:
        """Change metadata; a value None removes a name."""
        database = self._directory.account(account)
        info = await self._directory.info(database)
        if info is None:
            await self._directory.create(database, metadata)
        else:
            await self._directory.update(database, info.put_timestamp, metadata)
        self._quotas.forget(account)

    async def list_account(self, account: str, query: ListingQuery) -> AccountListing:
        """Return a page of an account."""
        return await self._directory.list_account(account, query)

    # S3's global names of buckets

    async def claim_bucket(self, bucket: str, account: str) -> None:
        """Take the bucket name for `account`. Raise ContainerTaken when another has it."""
        await self._buckets.claim(bucket, account)

    async def bucket_owner(self, bucket: str) -> str | None:
        """Return the account that has the bucket name."""
        return await self._buckets.owner(bucket)

    async def release_bucket(self, bucket: str, account: str) -> None:
        """Give up the bucket name. Raise ContainerTaken when another account has it."""
        await self._buckets.release(bucket, account)

    # objects

    async def put_object(self, name: ObjectName, body: Body, new: NewObject) -> ObjectInfo:
        """Store an object whole. Raise NoSuchContainer, BodyTooLarge, QuotaExceeded, Unavailable, what `new` raises.

        Nothing is visible before `body` has ended well and `new.finish` has agreed.
        """
        await self._quotas.require_room(name, body.length or 0, new.unbound)
        return self._replacing(await self._objects.put(name, body, new))

    async def head_object(self, name: ObjectName) -> ObjectInfo:
        """Return the current version. Raise NoSuchContainer, NoSuchObject."""
        return await self._manifests.describe(name)

    async def get_object(
        self, name: ObjectName, wanted: Range | None = None, raw_manifest: bool = False
    ) -> ObjectReader:
        """Open an object. Raise NoSuchContainer, NoSuchObject, RangeNotSatisfiable.

        Manifests are followed; with `raw_manifest` a dynamic one gives its own bytes.
        """
        return await self._manifests.read(name, wanted, raw_manifest)

    async def update_object(
        self, name: ObjectName, change: Callable[[ObjectMetadata], ObjectMetadata]
    ) -> ObjectInfo:
        """Change metadata, keeping the data. Raise NoSuchContainer, NoSuchObject."""
        return await self._objects.update(name, change)

    async def copy_object(
        self,
        source: ObjectName,
        target: ObjectName,
        new: Callable[[ObjectInfo], NewObject],
        source_condition: Condition | None = None,
        wanted: Range | None = None,
    ) -> ObjectInfo:
        """Copy the bytes that a reader of `source` gets; `new` makes of its state what the target shall be."""
        reader = await self._manifests.read(source, wanted)
        try:
            if source_condition is not None:
                source_condition(reader.info)
            return await self.put_object(target, _ReaderBody(reader), new(reader.info))
        finally:
            await reader.pieces.aclose()

    async def delete_object(self, name: ObjectName, condition: Condition | None = None) -> bool:
        """Delete an object; tell whether there was one. Raise NoSuchContainer."""
        replaced = await self._objects.delete(name, condition)
        self._multipart.discard(replaced)
        return replaced is not None

    async def put_manifest(
        self, name: ObjectName, segments: Sequence[Segment], new: NewObject, size: int
    ) -> ObjectInfo:
        """Store a manifest that stands for `size` bytes; `new.etag` is the whole's. Raise QuotaExceeded."""
        await self._quotas.require_room(name, size, new.unbound)
        return self._replacing(await self._manifests.put(name, segments, new, size))

    async def segments(self, name: ObjectName) -> tuple[ObjectInfo, list[Segment]]:
        """Return the table of a manifest; one segment, itself, of a plain object."""
        return await self._manifests.segments(name)

    def _replacing(self, written: Written) -> ObjectInfo:
        self._multipart.discard(written.replaced, by=written.info)
        return written.info

    # multipart uploads

    async def create_upload(self, name: ObjectName, new: NewObject) -> str:
        """Begin an upload; return its id. Raise NoSuchContainer."""
        return await self._multipart.create(name, new)

    async def put_part(
        self, name: ObjectName, upload_id: str, number: int, body: Body, new: NewObject
    ) -> ObjectInfo:
        """Store a part; one of the same number is replaced. Raise NoSuchUpload, QuotaExceeded."""
        return await self._multipart.put_part(name, upload_id, number, body, new)

    async def copy_part(
        self,
        source: ObjectName,
        name: ObjectName,
        upload_id: str,
        number: int,
        new: Callable[[ObjectInfo], NewObject],
        source_condition: Condition | None = None,
        wanted: Range | None = None,
    ) -> ObjectInfo:
        """Store as a part the bytes that a reader of `source` gets."""
        reader = await self._manifests.read(source, wanted)
        try:
            if source_condition is not None:
                source_condition(reader.info)
            return await self.put_part(name, upload_id, number, _ReaderBody(reader), new(reader.info))
        finally:
            await reader.pieces.aclose()

    async def complete_upload(
        self,
        name: ObjectName,
        upload_id: str,
        parts: Sequence[tuple[int, str, Mapping[str, str]]],
        condition: Condition | None = None,
        check: CompletionCheck | None = None,
    ) -> ObjectInfo:
        """Make the object of the named parts. Raise NoSuchUpload, InvalidPart, PartTooSmall, QuotaExceeded."""
        return self._replacing(await self._multipart.complete(name, upload_id, parts, condition, check))

    async def abort_upload(self, name: ObjectName, upload_id: str) -> None:
        """Drop an upload and its parts. Raise NoSuchUpload."""
        await self._multipart.abort(name, upload_id)

    async def list_parts(self, name: ObjectName, upload_id: str, marker: int, limit: int) -> PartListing:
        """Return parts with numbers above `marker`. Raise NoSuchUpload."""
        return await self._multipart.list_parts(name, upload_id, marker, limit)

    async def list_uploads(
        self,
        account: str,
        container: str,
        prefix: str,
        delimiter: str,
        key_marker: str,
        upload_id_marker: str,
        limit: int,
    ) -> UploadListing:
        """Return uploads after (key_marker, upload_id_marker), rolled up at `delimiter`."""
        return await self._multipart.list_uploads(
            account, container, prefix, delimiter, key_marker, upload_id_marker, limit
        )


class _ReaderBody:
    """An opened object as the body of a PUT."""

    def __init__(self, reader: ObjectReader) -> None:
        self.length: int | None = reader.end - reader.start
        self._pieces: AsyncGenerator[Buffer, None] = reader.pieces

    async def read(self) -> Buffer:
        """Return the next piece, empty at the end."""
        return await anext(self._pieces, b"")
