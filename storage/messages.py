"""What a proxy and a storage daemon say to each other: operations, and their arguments by position.

On the wire an operation's metadata is a msgpack array and its payload is raw bytes. Each array is a
NamedTuple here, so packing costs nothing; `parse` takes an array back and refuses a wrong shape.
`key` is always the 16-byte md5 of a name under the cluster's secret prefix and suffix (ring.hashing);
timestamps are `cluster.clock.Timestamp`. Names are str, everything else is what msgpack has.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

from cluster.clock import Timestamp

KEY_SIZE = 16
INLINE_LIMIT = 1 << 20  # bytes; a larger object is streamed to a file of its own
RECLAIM_LIMIT = 256  # tombstones of one BLOB_RECLAIM: as many as one record of the log names
ROWS_LIMIT = 10_000  # rows of one INDEX_LIST or INDEX_CHANGES


class Operation(IntEnum):
    """Numbers on the wire; they are never reused (10, 11 were). Behind each: arguments -> reply."""

    BLOB_PUT = 1  # BlobPut + payload -> Version | None, the replaced one (its metadata: a manifest's only)
    BLOB_DELETE = 2  # BlobDelete -> as BLOB_PUT. Commit a tombstone
    BLOB_PREPARE = 3  # BlobPrepare + streamed body -> (size,). Kept nameless until commit
    BLOB_COMMIT = 4  # BlobCommit -> as BLOB_PUT
    BLOB_ABORT = 5  # (upload_id,) -> (). Unknown ids are fine
    BLOB_STAT = 6  # (key,) -> Version without metadata | None
    BLOB_HEAD = 7  # (key,) -> Version | None
    BLOB_GET = 8  # BlobGet -> Version | None, and the bytes: payload up to INLINE_LIMIT, else streamed
    BLOB_UPDATE = 9  # BlobUpdate -> (). New metadata over the data of a known version
    BLOB_FETCH = 12  # BlobFetch -> (). Pull one version over from another device
    ROWS_CONFIRM = 13  # ((key, timestamp), …) -> (). Their rows are on a quorum of the container
    BLOB_DIGESTS = 14  # (part_power, (partition, …)) -> (digest, …)
    BLOB_SUBDIGESTS = 15  # (part_power, partition) -> 256 digests, by the 8 bits after the partition's
    BLOB_VERSIONS = 16  # (start key, end key | None, limit) -> ((key, timestamp, deleted), …), ordered
    BLOB_COPY = 17  # (key,) -> as BLOB_GET of all of it. For replicas that copy: it is no vote in a read
    BLOB_COPY_MANY = 20  # BlobCopyMany -> ((status, Version | None), …) of the first keys, and their bytes joined
    BLOB_RECLAIM = 19  # BlobReclaim -> a Holding each, as bytes; having forgotten: ()
    BLOB_PROMISE = 18  # BlobPromise -> Version | None, the newest, durable. Durable too

    INDEX_CREATE = 32  # IndexCreate -> (). Create, bring back, or change metadata
    INDEX_INFO = 33  # IndexInfo -> Info | None
    INDEX_ROWS = 34  # IndexRows -> ()
    INDEX_LIST = 35  # IndexList -> Listing | None
    INDEX_FREEZE = 36  # IndexFreeze -> Frozen. First half of a deletion, or of a split: rows are refused for a moment
    INDEX_THAW = 37  # IndexThaw -> ()
    INDEX_INVENTORY = 38  # (kind, start key, end key | None, limit) -> ((key, digest), …), ordered
    INDEX_CHANGES = 39  # IndexChanges -> Changes | None
    INDEX_MOVE = 40  # IndexMove -> (). Its rows are elsewhere from now on (storage.ranges)
    INDEX_SAMPLE = 41  # (kind, key, count) -> (name, …), ordered: so many live rows, picked at random
    INDEX_RECLAIM = 42  # IndexReclaim -> of each database Holdings, as bytes; having forgotten: ()

    CHUNK_STAT = 80  # (family, (layer, …), chunk) -> (epoch seen of the first, ((layer, version), …) of what is here)
    CHUNK_FENCE = 81  # (family, layer, epoch) -> (). No older epoch writes that layer here any more. Durable
    CHUNK_WRITE = 82  # ChunkWrite + the bytes of its extents -> (). Survives the process; with FUA: durable
    CHUNK_WRITE_MANY = 83  # (ChunkWrite, …) + all their bytes -> (None | (refusal, detail), …), all at a time
    CHUNK_FLUSH = 84  # (family, layer) -> (). All that was answered before is durable
    CHUNK_READ = 85  # ChunkRead -> (layer, is at rest) + the bytes; of layer 0, and none: nothing is there, so zeros
    CHUNK_COPY = 86  # (family, chunk, layer, version) -> (version, epoch seen, ((offset, length), …)) + their bytes
    CHUNK_PULL = 87  # ChunkPull -> (version,). Copy a chunk from another device
    CHUNK_MAP = 88  # (family, layer, first chunk, limit) -> ((chunk, version, bytes allocated), …), ordered
    CHUNK_DROP = 89  # (family, layer, (chunk, …) | None: all, for ever) -> (). Gone, durably
    CHUNK_EXTENTS = 90  # (family, chunk, layer) -> ((offset, length), …): where there is data
    CHUNK_DIGESTS = 91  # (part_power, (partition, …)) -> (digest, …); zeros: nothing is here
    CHUNK_LIST = 92  # (part_power, partition, after (family, chunk, layer) | None, limit) -> (ChunkListed, …), ordered
    CHUNK_FENCES = 93  # (digest, after (family, layer) | None, limit) -> (ChunkFence, …); None: they have that digest
    CHUNK_SUM = 94  # (family, chunk, layer, version) -> (sum,) of what it has at rest (storage.chunks.sums)
    CHUNK_MEND = 95  # ChunkPull -> (version,). As CHUNK_PULL, in the place of what is as new, too: it is damaged

    STATUS = 64  # () -> ({name: value},)
    SCRUB = 65  # (begin a pass now,) -> ({name: value},), how scrubbing is


class Refusal(IntEnum):
    """Codes of a `cluster.wire.RemoteError`, by what the caller does next. Never reused (4 was)."""

    BAD_REQUEST = 1  # a bug of ours: report it
    NOT_FOUND = 2  # no such version, upload or database here
    SUPERSEDED = 3  # something newer is here, and this never was; detail: its timestamp
    NOT_HELD = 5  # the token's freeze is gone (expired, or we restarted)
    NOT_EMPTY = 6  # a container that has rows is not deleted
    FROZEN = 7  # a deletion or a split is being decided; try again shortly
    CORRUPT = 8  # a checksum did not match: ask another replica
    DEVICE_FAILED = 9  # EIO, read-only, vanished
    DEVICE_FULL = 10
    BUSY = 11  # a bound was reached; try again shortly
    # placed by rings older than the floor, or naming a device that newer rings lack; detail: a version that is not.
    # Read the rings, and begin again
    STALE_RINGS = 12
    SPLIT = 15  # the rows are elsewhere, or will be; detail: storage.ranges.state.Refused
    PROMISED = 14  # nothing below a timestamp, which is the detail, is taken for this name any more
    # the timestamp is more than a day ahead of our clock, and of what is here; detail: our wall clock, microseconds.
    # The writer's clock is wrong, or ours: others decide
    CLOCK_AHEAD = 16
    # something newer is here, and this may have been before: we have just started; detail: its timestamp
    OVERTAKEN = 17
    # the chunk is not at the version that the request goes by; detail: its version, and its durable version
    STALE_CHUNK = 20
    FENCED = 21  # a newer epoch has the volume; detail: that epoch
    REBUILDING = 13  # this device lost data and does not know yet what it should have: ask the others


# something newer is here
NEWER = frozenset((Refusal.SUPERSEDED, Refusal.OVERTAKEN))


class BlobFlag:
    """What a storage node must know of an object without reading its metadata. Plain bits: enum's are slow."""

    MANIFEST = 1  # the data is a table of segments: a range never applies to it
    UNLISTED = 2  # has no row in any container


class DatabaseKind(IntEnum):
    """Of index databases."""

    CONTAINER = 1  # rows are objects
    ACCOUNT = 2  # rows are containers


class BlobPut(NamedTuple):
    """SUPERSEDED, PROMISED."""

    key: bytes
    timestamp: Timestamp
    flags: int  # BlobFlag
    metadata: bytes  # `storage.metadata.ObjectMetadata`, packed


class BlobDelete(NamedTuple):
    """SUPERSEDED, PROMISED."""

    key: bytes
    timestamp: Timestamp
    flags: int
    metadata: bytes  # names the row, as for an object


class BlobPrepare(NamedTuple):
    """Dropped when the connection ends before the body does, or when not committed for too long."""

    upload_id: bytes  # 16 random bytes
    size: int | None  # bytes, when known: space is set aside


class BlobCommit(NamedTuple):
    """NOT_FOUND when the upload is gone; SUPERSEDED, PROMISED (the upload stays: commit again)."""

    upload_id: bytes
    key: bytes
    timestamp: Timestamp
    flags: int
    metadata: bytes


class BlobGet(NamedTuple):
    """Bytes [start, end) of the data, cut to its size; a negative start counts from the end.

    A manifest always comes whole. CORRUPT when the first block read does not match its checksum.
    """

    key: bytes
    start: int = 0
    end: int | None = None
    timestamp: Timestamp | None = None  # this version or NOT_FOUND


class BlobUpdate(NamedTuple):
    """NOT_FOUND when `base` is not the newest here; SUPERSEDED when something newer than `timestamp` is; PROMISED."""

    key: bytes
    base: Timestamp
    timestamp: Timestamp
    flags: int
    metadata: bytes


class BlobPromise(NamedTuple):
    """Take nothing below `timestamp` for `key` any more, copies included. SUPERSEDED, PROMISED: too late for that.

    First phase of a write that is decided upon what is there (proxy.objects.register).
    """

    key: bytes
    timestamp: Timestamp


class BlobReclaim(NamedTuple):
    """Old tombstones that are to be given up. REBUILDING; BUSY: clocks differ.

    First the device refuses writes below `floor` to names that it has nothing of, for ever, and says what it has of
    these; told to `forget` it holds the tombstones no more. At most RECLAIM_LIMIT at a time.
    """

    floor: Timestamp
    tombstones: tuple[tuple[bytes, Timestamp], ...]  # key and timestamp
    forget: bool = False


class BlobFetch(NamedTuple):
    """Copy `timestamp` from device `source`, or what is newer there. NOT_FOUND, CORRUPT.

    SUPERSEDED or OVERTAKEN when something newer is here in the end. That is as good for a copy; but who counts replicas
    of this version may not count this one: what is newer may have been decided without it.
    """

    key: bytes
    timestamp: Timestamp
    source: int  # device id in the object ring


class BlobCopyMany(NamedTuple):
    """The newest versions of keys, whole. Of each that is answered, in order, at least of the first: a status.

    From 0 on that is how many bytes of the payload are its data; `COPY_ALONE`: too large, ask for it by BLOB_COPY;
    below: minus a Refusal, CORRUPT for one.
    """

    keys: tuple[bytes, ...]
    limit: int  # bytes of data, of which the first may be more


COPY_ALONE = -1000


class Version(NamedTuple):
    """A version of an object, as a replica holds it."""

    timestamp: Timestamp
    deleted: bool
    flags: int
    size: int  # bytes of data
    metadata: bytes = b""  # empty in answers to BLOB_STAT


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
    """Bring the database to `put_timestamp`; merge `metadata`, each value under its own timestamp.

    PROMISED, detail the floor: it was made long ago, and no replica that can be asked has it.
    """

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

    NOT_FOUND when it was deleted after `put_timestamp`; FROZEN. PROMISED, detail the floor: a row of long ago would
    begin a name, and may have been deleted since, which nobody remembers (storage.indexes.reclaim).
    """

    kind: int
    key: bytes
    account: str
    container: str
    put_timestamp: Timestamp  # of the container, as the proxy knows it
    rows: list[Row]
    moved: bool = False  # out of another database of the container (storage.ranges): they may be of long ago


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
    low: str = ""  # names from it on: of a range database, which may hold others (storage.ranges)
    high: str = ""  # names below it; empty: no bound


class Listing(NamedTuple):
    """At most `limit` items in order: a Row as an array, or a str: a common prefix, delimiter included."""

    info: Info
    items: list[Any]
    truncated: bool


class IndexFreeze(NamedTuple):
    """Refuse rows for `ttl_s` unless INDEX_MOVE decides first, or INDEX_THAW. NOT_EMPTY, NOT_FOUND, SPLIT."""

    kind: int
    key: bytes
    token: bytes
    ttl_s: float
    empty: bool = True  # only a database without rows, that has not moved them; else whatever it is
    rows_per_s: int = 0  # not 0: freeze nothing, but take no more rows than that for as long, BUSY


class Frozen(NamedTuple):
    """What a replica that is frozen knows of its split (storage.ranges.state)."""

    put_timestamp: Timestamp
    moved: Timestamp  # ZERO: its rows are here
    pointers: list[Any]  # of that
    accepted: Any | None  # storage.ranges.state.Accepted


class IndexThaw(NamedTuple):
    """Take rows again, if it is `token` that keeps them out. With `abandoned`: NOT_HELD when it is not."""

    kind: int
    key: bytes
    token: bytes
    abandoned: Timestamp | None = None  # what was accepted below it, a deletion, is not going to be (storage.ranges)


class IndexMove(NamedTuple):
    """Say where rows are. With a token: accept that, under `timestamp`; NOT_HELD when the freeze is gone; without
    pointers, if rows are here: NOT_EMPTY.

    Without a token: it is decided. Without pointers and token: only `counts`.
    """

    kind: int
    key: bytes
    account: str
    container: str
    put_timestamp: Timestamp  # of the container
    timestamp: Timestamp
    pointers: list[Any]  # (low, range id)
    counts: dict[str, Any]  # range id -> (timestamp, objects, bytes)
    base: Timestamp  # of the decision before; ZERO: none
    token: bytes | None = None
    deleted: bool = False  # decided: that it is deleted at `timestamp`; accepted so without pointers


class IndexChanges(NamedTuple):
    """Rows that changed here after `sequence`, in that order, tombstones included; or all, in the order of names."""

    kind: int
    key: bytes
    incarnation: bytes  # of the database that `sequence` counts in; another one: from the start
    sequence: int
    limit: int
    seconds: Sequence[int] = ()  # since 1970: if there is more than a page, say what was there of before each of these
    after: tuple[bool, str] | None = None  # in the order of names, live rows first: behind this one (deleted, name)


class Changes(NamedTuple):
    """A page of changes."""

    info: Info
    incarnation: bytes
    sequence: int  # ask on from here; in the order of names: what changes from now on comes behind it
    more: bool
    rows: list[Row]
    settled: Sequence[Any] = ()  # by seconds asked for: storage.indexes.database.Settled, or None: not known


class Holding(IntEnum):
    """What a device has of a name, beside a tombstone that is to go. Numbers are sent."""

    NOTHING = 0
    TOMBSTONE = 1  # exactly that one, and its row is known to be listed; or a row that is only that
    OTHER = 2  # something else, or something is on its way


class ReclaimStep(IntEnum):
    """What is asked for in an INDEX_RECLAIM."""

    LOOK = 0  # what is here
    CLOSE = 1  # the same; and no rows of long ago are moved into these range databases any more
    FORGET = 2  # hold the tombstones no more


class ReclaimedDatabase(NamedTuple):
    """One of which rows, or which itself, was deleted long ago."""

    kind: int
    key: bytes
    account: str
    container: str
    root: bytes  # key of the root, of a range database; else its own
    names: tuple[str, ...]  # of rows; none: the database itself is to go


class IndexReclaim(NamedTuple):
    """Old tombstones of databases, RECLAIM_LIMIT names and databases at a time. REBUILDING; BUSY: clocks differ.

    The device raises its floor first, durably: storage.indexes.reclaim.
    """

    floor: Timestamp
    databases: tuple[ReclaimedDatabase, ...]
    step: int  # ReclaimStep


ChunkVersion = tuple[int, int]  # epoch of a writer's lease, and its sequence number; (0, 0): there is nothing


class ChunkFlag:
    """Of a write to a chunk. Plain bits."""

    FUA = 1  # answer when it is durable
    ZERO = 2  # no payload: the extents become zeros, and stay allocated
    TRIM = 4  # no payload: the extents become zeros, and are given back


class ChunkWrite(NamedTuple):
    """A write on top of version `previous`. STALE_CHUNK, FENCED; BUSY.

    When nothing of the layer is here, the chunk begins as that of layer `base` at its version; base None: as zeros.
    A write that is here already is answered as done. Without extents it only brings the chunk to another version.
    """

    family: bytes
    chunk: int
    layer: int
    base: tuple[int, ChunkVersion] | None
    epoch: int
    sequence: int
    previous: ChunkVersion
    extents: tuple[tuple[int, int], ...]  # offset within the chunk, length; payload: their bytes, joined
    flags: int = 0  # ChunkFlag


class ChunkRead(NamedTuple):
    """Bytes of the first of the layers, newest first, that has the chunk. STALE_CHUNK, CORRUPT.

    Each layer up to that one must be at the version given, (0, 0) for nothing; None: at any. A writer gives its
    `epoch`: what it has written since may be here already.
    """

    family: bytes
    chunk: int
    layers: tuple[tuple[int, ChunkVersion | None], ...]
    offset: int
    length: int
    epoch: int = 0


class ChunkListed(NamedTuple):
    """A chunk that a device has."""

    family: bytes
    chunk: int
    layer: int
    version: ChunkVersion


class ChunkFence(NamedTuple):
    """A layer, and the oldest epoch that may write it. 2^64 - 1: it was dropped, for ever."""

    family: bytes
    layer: int
    epoch: int


class ChunkPull(NamedTuple):
    """Copy a chunk at `version`, or at a newer one, from device `source`, in the place of what is older here.

    STALE_CHUNK: something newer is here, or something older there; BUSY.
    """

    family: bytes
    chunk: int
    layer: int
    version: ChunkVersion
    source: int  # device id in the object ring


MessageT = TypeVar("MessageT", bound=tuple[Any, ...])


def parse(message: type[MessageT], values: Any) -> MessageT:
    """Return the array `values` with names. Raise ValueError when it has another number of items."""
    try:
        return message(*values)
    except TypeError as error:
        raise ValueError(f"not a {message.__name__}: {error}") from None
