"""What a proxy and a storage daemon say to each other: operations, and their arguments by position.

On the wire an operation's metadata is a msgpack array and its payload is raw bytes. Each array is a
NamedTuple here, so packing costs nothing; `parse` takes an array back and refuses a wrong shape.
`key` is always the 16-byte md5 of a name under the cluster's secret prefix and suffix (ring.hashing);
timestamps are `cluster.clock.Timestamp`. Names are str, everything else is what msgpack has.
"""

from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

from cluster.clock import Timestamp

KEY_SIZE = 16
INLINE_LIMIT = 1 << 20  # bytes; a larger object is streamed to a file of its own
ROWS_LIMIT = 10_000  # rows of one INDEX_LIST or INDEX_CHANGES


class Operation(IntEnum):
    """Numbers on the wire; they are never reused. Behind each: arguments -> reply."""

    BLOB_PUT = 1  # BlobPut + payload -> Version | None, the replaced one (its metadata: a manifest's only)
    BLOB_DELETE = 2  # BlobDelete -> as BLOB_PUT. Commit a tombstone
    BLOB_PREPARE = 3  # BlobPrepare + streamed body -> (size,). Kept nameless until commit
    BLOB_COMMIT = 4  # BlobCommit -> as BLOB_PUT
    BLOB_ABORT = 5  # (upload_id,) -> (). Unknown ids are fine
    BLOB_STAT = 6  # (key,) -> Version without metadata | None
    BLOB_HEAD = 7  # (key,) -> Version | None
    BLOB_GET = 8  # BlobGet -> Version | None, and the bytes: payload up to INLINE_LIMIT, else streamed
    BLOB_UPDATE = 9  # BlobUpdate -> (). New metadata over the data of a known version
    BLOB_RESERVE = 10  # BlobReserve -> Version without metadata | None
    BLOB_RELEASE = 11  # (key, token) -> ()
    BLOB_FETCH = 12  # BlobFetch -> (). Pull one version over from another device (read repair)
    ROWS_CONFIRM = 13  # ((key, timestamp), …) -> (). Their rows are on a quorum of the container
    BLOB_DIGESTS = 14  # (part_power, (partition, …)) -> (digest, …)
    BLOB_SUBDIGESTS = 15  # (part_power, partition) -> 256 digests, by the 8 bits after the partition's
    BLOB_VERSIONS = 16  # (start key, end key | None, limit) -> ((key, timestamp, deleted), …), ordered

    INDEX_CREATE = 32  # IndexCreate -> (). Create, bring back, or change metadata
    INDEX_INFO = 33  # IndexInfo -> Info | None
    INDEX_ROWS = 34  # IndexRows -> ()
    INDEX_LIST = 35  # IndexList -> Listing | None
    INDEX_FREEZE = 36  # IndexFreeze -> (). First half of a deletion: rows are refused for a moment
    INDEX_DELETE = 37  # IndexDelete -> ()
    INDEX_INVENTORY = 38  # (kind, start key, end key | None, limit) -> ((key, digest), …), ordered
    INDEX_CHANGES = 39  # IndexChanges -> Changes | None

    STATUS = 64  # () -> ({name: value},)


class Refusal(IntEnum):
    """Codes of a `cluster.wire.RemoteError`, by what the caller does next."""

    BAD_REQUEST = 1  # a bug of ours: report it
    NOT_FOUND = 2  # no such version, upload or database here
    SUPERSEDED = 3  # something newer is here; detail: its timestamp
    RESERVED = 4  # another conditional write holds the name; try again shortly
    NOT_HELD = 5  # the token's reservation is gone (expired, or we restarted)
    NOT_EMPTY = 6  # a container that has rows is not deleted
    FROZEN = 7  # a deletion is being decided; try again shortly
    CORRUPT = 8  # a checksum did not match: ask another replica
    DEVICE_FAILED = 9  # EIO, read-only, vanished
    DEVICE_FULL = 10
    BUSY = 11  # a bound was reached; try again shortly
    # placed by rings older than the floor, or naming a device that newer rings lack; detail: a version that is not.
    # Read the rings, and begin again
    STALE_RINGS = 12


class BlobFlag:
    """What a storage node must know of an object without reading its metadata. Plain bits: enum's are slow."""

    MANIFEST = 1  # the data is a table of segments: a range never applies to it
    UNLISTED = 2  # has no row in any container


class DatabaseKind(IntEnum):
    """Of index databases."""

    CONTAINER = 1  # rows are objects
    ACCOUNT = 2  # rows are containers


class BlobPut(NamedTuple):
    """SUPERSEDED, RESERVED, NOT_HELD."""

    key: bytes
    timestamp: Timestamp
    flags: int  # BlobFlag
    metadata: bytes  # `storage.metadata.ObjectMetadata`, packed
    token: bytes | None = None  # of a reservation


class BlobDelete(NamedTuple):
    """SUPERSEDED, RESERVED, NOT_HELD."""

    key: bytes
    timestamp: Timestamp
    flags: int
    metadata: bytes  # names the row, as for an object
    token: bytes | None = None


class BlobPrepare(NamedTuple):
    """Dropped when the connection ends before the body does, or when not committed for too long."""

    upload_id: bytes  # 16 random bytes
    size: int | None  # bytes, when known: space is set aside


class BlobCommit(NamedTuple):
    """NOT_FOUND when the upload is gone; SUPERSEDED (the upload stays: commit again), RESERVED, NOT_HELD."""

    upload_id: bytes
    key: bytes
    timestamp: Timestamp
    flags: int
    metadata: bytes
    token: bytes | None = None


class BlobGet(NamedTuple):
    """Bytes [start, end) of the data, cut to its size; a negative start counts from the end.

    A manifest always comes whole. CORRUPT when the first block read does not match its checksum.
    """

    key: bytes
    start: int = 0
    end: int | None = None
    timestamp: Timestamp | None = None  # this version or NOT_FOUND


class BlobUpdate(NamedTuple):
    """NOT_FOUND when `base` is not the newest here; SUPERSEDED when something newer than `timestamp` is."""

    key: bytes
    base: Timestamp
    timestamp: Timestamp
    flags: int
    metadata: bytes
    token: bytes | None = None


class BlobReserve(NamedTuple):
    """Refuse commits of `key` by others for a while. Kept in memory only. RESERVED."""

    key: bytes
    token: bytes
    ttl_s: float


class BlobFetch(NamedTuple):
    """Copy `timestamp` or a newer version from device `source`. NOT_FOUND, CORRUPT."""

    key: bytes
    timestamp: Timestamp
    source: int  # device id in the object ring


class Version(NamedTuple):
    """A version of an object, as a replica holds it."""

    timestamp: Timestamp
    deleted: bool
    flags: int
    size: int  # bytes of data
    metadata: bytes = b""  # empty in answers to BLOB_STAT and BLOB_RESERVE


class Row(NamedTuple):
    """A row of a container (an object) or of an account (a container). The newest timestamp wins."""

    name: str
    timestamp: Timestamp
    deleted: bool
    size: int  # bytes; of an account's row: bytes used
    etag: str = ""
    content_type: str = ""
    modified_us: int = 0  # wall time; of an account's row: of creation
    object_count: int = 0  # of an account's row: objects
    stats_timestamp: Timestamp | None = None  # of an account's row: the version of `size` and `object_count`
    extra: dict[str, Any] | None = None  # what listings show besides (S3 checksum algorithm, SLO etag, …)


class IndexCreate(NamedTuple):
    """Bring the database to `put_timestamp`; merge `metadata`, each value under its own timestamp."""

    kind: int
    key: bytes
    account: str
    container: str  # empty for an account
    put_timestamp: Timestamp
    metadata: dict[str, tuple[Any, Timestamp]]  # value None: removed


class IndexInfo(NamedTuple):
    """With `sync_from`, first pull what device `sync_from` has and we lack, durably."""

    kind: int
    key: bytes
    account: str
    container: str
    sync_from: int | None = None  # device id in this kind's ring


class Info(NamedTuple):
    """State of a database. It exists when `put_timestamp` > `delete_timestamp`."""

    account: str
    container: str
    put_timestamp: Timestamp
    delete_timestamp: Timestamp
    created_us: int  # wall time of the creation
    metadata: dict[str, tuple[Any, Timestamp]]
    object_count: int  # live rows; of an account: sum over containers
    bytes_used: int
    container_count: int  # of an account
    digest: bytes  # of all the above and of every row: equal digests mean equal replicas


class IndexRows(NamedTuple):
    """Merge rows; durable when answered. A database that was missed is created at `put_timestamp`.

    NOT_FOUND when it was deleted after `put_timestamp`; FROZEN.
    """

    kind: int
    key: bytes
    account: str
    container: str
    put_timestamp: Timestamp  # of the container, as the proxy knows it
    rows: list[Row]


class IndexList(NamedTuple):
    """Live rows in byte order of their UTF-8 names, rolled up at `delimiter`."""

    kind: int
    key: bytes
    account: str
    container: str
    limit: int
    prefix: str = ""
    marker: str = ""  # names after it (before it, when reversed)
    end_marker: str = ""  # names before it (after it, when reversed); empty: no bound
    delimiter: str = ""
    reverse: bool = False
    sync_from: int | None = None


class Listing(NamedTuple):
    """At most `limit` items in order: a Row as an array, or a str: a common prefix, delimiter included."""

    info: Info
    items: list[Any]
    truncated: bool


class IndexFreeze(NamedTuple):
    """Refuse rows for `ttl_s` unless INDEX_DELETE decides first. NOT_EMPTY, NOT_FOUND."""

    kind: int
    key: bytes
    token: bytes
    ttl_s: float


class IndexDelete(NamedTuple):
    """NOT_EMPTY, NOT_FOUND, NOT_HELD when the freeze of `token` is gone. `timestamp` None: only thaw."""

    kind: int
    key: bytes
    token: bytes
    timestamp: Timestamp | None


class IndexChanges(NamedTuple):
    """Rows that changed here after `sequence`, in that order, tombstones included."""

    kind: int
    key: bytes
    incarnation: bytes  # of the database that `sequence` counts in; another one: from the start
    sequence: int
    limit: int


class Changes(NamedTuple):
    """A page of changes."""

    info: Info
    incarnation: bytes
    sequence: int  # ask on from here
    more: bool
    rows: list[Row]


MessageT = TypeVar("MessageT", bound=tuple[Any, ...])


def parse(message: type[MessageT], values: Any) -> MessageT:
    """Return the array `values` with names. Raise ValueError when it has another number of items."""
    try:
        return message(*values)
    except TypeError as error:
        raise ValueError(f"not a {message.__name__}: {error}") from None
