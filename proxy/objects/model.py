"""Values of the object service: names, versions, conditions, listings. No I/O."""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cluster.clock import Timestamp
from proxy.http.message import Buffer
from storage.messages import Row
from storage.metadata import ObjectMetadata


class ObjectName(NamedTuple):
    """Where an object lives. Names that the service keeps for itself contain a NUL; none comes from outside."""

    account: str
    container: str
    object: str


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """The current version of an object."""

    timestamp: Timestamp
    metadata: ObjectMetadata
    manifest: bool = False  # the stored data is a table of segments


class Segment(NamedTuple):
    """A part of a large object, as the stored table has it."""

    account: str
    container: str
    object: str
    size: int  # bytes that this segment gives
    etag: str  # the segment object's, hex
    offset: int = 0  # of these bytes within the segment object (SLO's "range")
    data: bytes | None = None  # inline bytes (SLO's "data") instead of an object
    number: int = 0  # S3 part number
    row: dict[str, Any] | None = None  # a part's checksums


# A condition looks at what is there now and raises what the client shall be told.
Condition = Callable[[ObjectInfo | None], None]


@dataclass(frozen=True, slots=True)
class NewObject:
    """What a PUT says beside the bytes."""

    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    user: Mapping[str, str] = field(default_factory=dict)
    system: Mapping[str, Any] = field(default_factory=dict)
    row: Mapping[str, Any] = field(default_factory=dict)
    etag: str | None = None  # instead of the data's md5
    modified_us: int | None = None  # instead of now
    condition: Condition | None = None  # decided atomically with the write
    unbound: bool = False  # whoever asks is not bound by the account's quota
    # called with the data's md5 (hex) when all of it has been read, before anything is committed;
    # may raise to refuse, or return more of `system` and `row` (checksums known only at the end)
    finish: Callable[[str], tuple[Mapping[str, Any], Mapping[str, Any]]] | None = None


@dataclass(frozen=True, slots=True)
class ObjectReader:
    """An opened object: bytes [start, end) of it, as `data` when they are all in hand, else as `pieces`.

    `pieces` works in either case; it is to be closed (`aclose`) when it is not read to the end.
    """

    info: ObjectInfo
    start: int
    end: int
    pieces: AsyncGenerator[Buffer, None]
    data: Buffer | None = None


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """State of a container. `metadata` is what the dialects keep in it, by name."""

    account: str
    container: str
    put_timestamp: Timestamp
    created_us: int
    object_count: int
    bytes_used: int
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """State of an account."""

    account: str
    created_us: int
    container_count: int
    object_count: int
    bytes_used: int
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ListingQuery:
    """Which part of a listing. Names are compared as UTF-8 bytes; see `storage.messages.IndexList`."""

    limit: int = 10_000
    prefix: str = ""
    marker: str = ""
    end_marker: str = ""
    delimiter: str = ""
    reverse: bool = False


class CommonPrefix(str):
    """An item of a listing that stands for all names that begin with it (delimiter included)."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ContainerListing:
    """A page of a container: what is live, in order."""

    info: ContainerInfo
    items: list[Row | CommonPrefix]
    truncated: bool


@dataclass(frozen=True, slots=True)
class AccountListing:
    """A page of an account. Rows are containers: size is bytes used, modified_us of creation."""

    info: AccountInfo
    items: list[Row | CommonPrefix]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload under way. `system` is its NewObject's."""

    object: str
    upload_id: str
    created_us: int
    system: Mapping[str, Any]


class Part(NamedTuple):
    """A part of a multipart upload. `row` is its NewObject's, with what `finish` added: its checksums."""

    number: int
    size: int
    etag: str  # hex
    modified_us: int
    row: Mapping[str, Any]


# Looks at a multipart upload and the parts that shall complete it, in order; raises to refuse, or
# returns more of the object's `system` and `row` (the checksums of the whole).
CompletionCheck = Callable[[Upload, list[Part]], tuple[Mapping[str, Any], Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class PartListing:
    """A page of an upload's parts, by number."""

    upload: Upload
    parts: list[Part]
    truncated: bool


@dataclass(frozen=True, slots=True)
class UploadListing:
    """A page of the uploads under way in a container, by object name, then by age."""

    items: list[Upload | CommonPrefix]
    truncated: bool
