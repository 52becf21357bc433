"""Metadata of an object as it is stored: a msgpack array, written by the proxy, kept as it is by the nodes.

A storage node reads it for one purpose: to make the object's row (`row_of`) when a proxy died
before it could. Fields are added at the end only; a reader fills in what an older record lacks and
passes over what a newer one has.
"""

from typing import Any, NamedTuple

import msgpack

from cluster.clock import Timestamp
from storage.messages import Row


class ObjectMetadata(NamedTuple):
    """What is known of an object beside its bytes. Header names are lower-case."""

    account: str
    container: str
    object: str
    size: int  # bytes that a GET returns; of a manifest: of all its segments
    etag: str  # as a GET returns it, without quotes
    content_type: str
    modified_us: int  # wall time
    headers: dict[str, str]  # cache-control, content-disposition, content-encoding, content-language, expires
    user: dict[str, str]  # x-amz-meta-* and x-object-meta-*, without the prefix
    system: dict[str, Any]  # ours: checksums, kind of manifest, …; never from outside
    row: dict[str, Any]  # `Row.extra`


DELETE_AT = "delete_at"  # in `system`: the second since 1970 in which the object expires (Swift's X-Delete-At)
EXPIRES = DELETE_AT.encode()  # nothing that expires is packed without these bytes
EXPIRING = "expiring"  # in `row`: a part of an S3 upload that nobody needs any more goes then, by itself

class Lineage(NamedTuple):
    """Where a version comes from: what writes that are decided upon what is there leave for each other."""

    # origins of the versions that were there immediately before it, the newest first, as many as are known: up to
    # LINEAGE_LENGTH, and not beyond one that was written whatever was there. ZERO: there was none
    before: tuple[bytes, ...] = ()
    origin: bytes = b""  # timestamp under which it was written first; b"": its own


LINEAGE_LENGTH = 8
_FIELD_COUNT = len(ObjectMetadata._fields)
_NO_LINEAGE = Lineage()
_PLAIN = 0x90 | _FIELD_COUNT  # the first byte of what has no lineage: an array of so many fields


def pack(metadata: ObjectMetadata, lineage: Lineage = _NO_LINEAGE) -> bytes:
    """Encode `metadata`, and behind it where the version comes from, if that is known."""
    packed: bytes = msgpack.packb(metadata if lineage is _NO_LINEAGE else (*metadata, *lineage))
    return packed


def unpack(data: bytes | memoryview) -> ObjectMetadata:
    """Decode what `pack` made. Raise ValueError on anything else."""
    values = msgpack.unpackb(data)
    if not isinstance(values, list) or len(values) < _FIELD_COUNT:
        raise ValueError("not an object's metadata")
    return ObjectMetadata(*values[:_FIELD_COUNT])


def expiry_of(data: bytes | memoryview) -> int | None:
    """Return the second in which an object with this packed metadata expires, None: never."""
    try:
        due_s = unpack(data).system.get(DELETE_AT)
    except (ValueError, TypeError, AttributeError):
        return None  # whoever wrote that is newer than we are, or a test
    return due_s if isinstance(due_s, int) and 0 <= due_s < 1 << 63 else None


def forebears_of(data: bytes | memoryview) -> tuple[bytes, ...]:
    """Return the timestamps of versions that the one with this packed metadata stands for, or was decided upon."""
    if not data or data[0] <= _PLAIN:
        return ()
    try:
        before, origin = lineage_in(data)
    except (ValueError, TypeError):
        return ()  # whoever wrote that is newer than we are
    return (origin, *before) if origin else before


def lineage_in(data: bytes | memoryview) -> Lineage:
    """Return the lineage in what `pack` made."""
    return Lineage(*msgpack.unpackb(data, use_list=False)[_FIELD_COUNT : _FIELD_COUNT + len(_NO_LINEAGE)])


def row_of(metadata: ObjectMetadata, timestamp: Timestamp, deleted: bool) -> Row:
    """Return the container row of this version of the object."""
    if deleted:
        return Row(metadata.object, timestamp, True, 0)
    return Row(
        metadata.object,
        timestamp,
        False,
        metadata.size,
        metadata.etag,
        metadata.content_type,
        metadata.modified_us,
        extra=metadata.row or None,
    )
