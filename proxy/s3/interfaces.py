"""What the S3 dialect needs from outside."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from proxy.http.message import Body
from proxy.objects.model import (
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
from proxy.objects.ranges import Range
from storage.metadata import ObjectMetadata


class CheckedBody(Body, Protocol):
    """A request's payload: unframed, and verified against its signature and checksums at its end."""

    @property
    def checksums(self) -> Mapping[str, str]:
        """Return, after the end, what the client sent and was found right: {"CRC32C": base64, …}."""


class ObjectService(Protocol):
    """The part of `proxy.objects.service.ObjectService` that S3 uses; see there."""

    async def create_container(self, account: str, container: str, metadata: Mapping[str, Any]) -> bool: ...
    async def update_container(
        self, account: str, container: str, metadata: Mapping[str, Any | None]
    ) -> None: ...
    async def container_info(self, account: str, container: str) -> ContainerInfo: ...
    async def delete_container(self, account: str, container: str) -> None: ...
    async def list_container(
        self, account: str, container: str, query: ListingQuery
    ) -> ContainerListing: ...
    async def list_account(self, account: str, query: ListingQuery) -> AccountListing: ...
    async def claim_bucket(self, bucket: str, account: str) -> None: ...
    async def bucket_owner(self, bucket: str) -> str | None: ...
    async def release_bucket(self, bucket: str, account: str) -> None: ...
    async def put_object(self, name: ObjectName, body: Body, new: NewObject) -> ObjectInfo: ...
    async def head_object(self, name: ObjectName) -> ObjectInfo: ...
    async def get_object(self, name: ObjectName, wanted: Range | None = None) -> ObjectReader: ...
    async def update_object(
        self, name: ObjectName, change: Callable[[ObjectMetadata], ObjectMetadata]
    ) -> ObjectInfo: ...
    async def copy_object(
        self,
        source: ObjectName,
        target: ObjectName,
        new: Callable[[ObjectInfo], NewObject],
        source_condition: Condition | None = None,
    ) -> ObjectInfo: ...
    async def delete_object(self, name: ObjectName, condition: Condition | None = None) -> bool: ...
    async def segments(self, name: ObjectName) -> tuple[ObjectInfo, list[Segment]]: ...
    async def create_upload(self, name: ObjectName, new: NewObject) -> str: ...
    async def put_part(
        self, name: ObjectName, upload_id: str, number: int, body: Body, new: NewObject
    ) -> ObjectInfo: ...
    async def complete_upload(
        self,
        name: ObjectName,
        upload_id: str,
        parts: Sequence[tuple[int, str, Mapping[str, str]]],
        condition: Condition | None = None,
        check: CompletionCheck | None = None,
    ) -> ObjectInfo: ...
    async def abort_upload(self, name: ObjectName, upload_id: str) -> None: ...
    async def list_parts(
        self, name: ObjectName, upload_id: str, marker: int, limit: int
    ) -> PartListing: ...
    async def list_uploads(
        self,
        account: str,
        container: str,
        prefix: str,
        delimiter: str,
        key_marker: str,
        upload_id_marker: str,
        limit: int,
    ) -> UploadListing: ...
