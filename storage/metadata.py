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


_FIELD_COUNT = len(ObjectMetadata._fields)


def pack(metadata: ObjectMetadata) -> bytes:
    """Encode `metadata`."""
    packed: bytes = msgpack.packb(metadata)
    return packed


def unpack(data: bytes | memoryview) -> ObjectMetadata:
    """Decode what `pack` made. Raise ValueError on anything else."""
    values = msgpack.unpackb(data)
    if not isinstance(values, list) or len(values) < _FIELD_COUNT:
        raise ValueError("not an object's metadata")
    return ObjectMetadata(*values[:_FIELD_COUNT])


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
