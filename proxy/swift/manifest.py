"""Manifests of static large objects: the JSON that clients put and get <-> segments. Pure.

Source: "Static Large Objects" in Swift's API documentation. A segment is an object of the same account,
whole or a range of it, or a few bytes of inline data.
"""

import binascii
import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.http.ranges import Range, parse_range, resolve
from proxy.objects.model import ObjectInfo, ObjectName, Segment
from proxy.swift.errors import SwiftError
from proxy.swift.headers import DLO
from proxy.swift.large import NESTED
from proxy.swift.limits import MAX_MANIFEST_SEGMENTS
from proxy.swift.listing import time_text
from proxy.swift.names import is_utf8

_LINK = "link"  # in `Segment.row`: the path of the symbolic link that was put as this segment
_PATH_KEYS = frozenset(("path", "range", "etag", "size_bytes"))


@dataclass(frozen=True, slots=True)
class Entry:
    """One segment as a client describes it; what it leaves open is None."""

    path: str  # "/container/object", empty for inline data
    size: int | None = None
    etag: str | None = None
    range: Range | None = None
    data: bytes | None = None

    def name(self, account: str) -> ObjectName:
        """Return the object that the entry is about."""
        container, _slash, object_ = self.path.lstrip("/").partition("/")
        return ObjectName(account, container, object_)


class Problem(Exception):
    """Why a segment cannot be one; the text is what the client is told."""


def parse(body: bytes, own: ObjectName) -> list[Entry]:
    """Return the entries of a manifest that is put under `own`. Raise SwiftError listing all that is wrong."""
    try:
        described = json.loads(body)
    except (ValueError, RecursionError):
        raise SwiftError(400, "Manifest must be valid JSON.\n") from None
    if not isinstance(described, list):
        raise SwiftError(400, "Manifest must be a list.\n")
    entries, problems = [], []
    for index, item in enumerate(described):
        try:
            entries.append(_entry(item, own, index == len(described) - 1))
        except Problem as problem:
            problems.append(f"Index {index}: {problem}")
    if described and not problems and all(entry.data is not None for entry in entries):
        problems.append("Inline data segments require at least one object-backed segment.")
    if problems:
        raise SwiftError(400, "".join(f"{problem}\n" for problem in problems))
    if sum(entry.data is None for entry in entries) > MAX_MANIFEST_SEGMENTS:
        raise SwiftError(413, f"Number of object-backed segments must be <= {MAX_MANIFEST_SEGMENTS}")
    return entries


def _entry(item: Any, own: ObjectName, last: bool) -> Entry:
    if not isinstance(item, dict):
        raise Problem("not a JSON object")
    if "data" in item:
        _refuse_others(item, frozenset(("data",)))
        return Entry("", data=_inline(item["data"]))
    if "path" not in item:
        raise Problem("expected keys to include one of 'data' or 'path'")
    _refuse_others(item, _PATH_KEYS)
    path, etag = item["path"], item.get("etag")
    if not isinstance(path, str):
        raise Problem('"path" must be a string')
    if etag is not None and not isinstance(etag, str):
        raise Problem('"etag" must be a string or null (if provided)')
    if "/" not in path.strip("/"):
        raise Problem("path does not refer to an object. Path must be of the form /container/object.")
    if "\0" in path or not is_utf8(path):
        raise Problem("path is not valid UTF-8 or contains NULL")
    size = _size(item.get("size_bytes"), last)
    entry = Entry(path, size, etag.strip('"').lower() if etag else None, _range(item.get("range"), size))
    if entry.name(own.account) == own:
        raise Problem("manifest must not include itself as a segment")
    return entry


def _refuse_others(item: dict[str, Any], known: frozenset[str]) -> None:
    others = sorted(key for key in item if key not in known)
    if others:
        raise Problem(f"extraneous keys {', '.join(map(json.dumps, others))}")


def _inline(value: Any) -> bytes:
    try:
        data = b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise Problem("data must be valid base64") from None
    if not data:
        raise Problem("too small; each segment must be at least 1 byte.")
    return data


def _size(value: Any, last: bool) -> int | None:
    if value is None:
        return None
    try:
        size = int(value)
    except (TypeError, ValueError, OverflowError):
        raise Problem("invalid size_bytes") from None
    if size < 1 and not last:
        raise Problem("too small; each segment must be at least 1 byte.")
    return size


def _range(value: Any, size: int | None) -> Range | None:
    if not value:
        return None
    ranges = parse_range(f"bytes={value}")
    if not ranges:
        raise Problem("invalid range")
    if len(ranges) > 1:
        raise Problem("multiple ranges (only one allowed)")
    if size is not None and resolve(ranges[0], size) is None:
        raise Problem("unsatisfiable range")
    return ranges[0]


def segment_of(entry: Entry, name: ObjectName, info: ObjectInfo, last: bool) -> Segment:
    """Return the segment that `entry` makes of the object `info`. Raise Problem when they do not fit.

    `info` is of another name when the entry's is a symbolic link.
    """
    size, etag = info.metadata.size, info.metadata.etag
    if DLO in info.metadata.system:
        raise Problem("A dynamic large object cannot be a segment")
    if entry.size is not None and entry.size != size:
        raise Problem("Size Mismatch")
    if entry.etag is not None and entry.etag != etag:
        raise Problem("Etag Mismatch")
    start, end = 0, size
    if entry.range is not None:
        bounds = resolve(entry.range, size)
        if bounds is None:
            raise Problem("Unsatisfiable Range")
        start, end = bounds
    if start == end and not last:
        raise Problem("Too small; each segment must be at least 1 byte.")
    row: dict[str, Any] = {"type": info.metadata.content_type, "modified_us": info.metadata.modified_us}
    if info.manifest:
        row[NESTED] = True
    if (start, end) != (0, size):
        row["size"] = size
    found = ObjectName(info.metadata.account, info.metadata.container, info.metadata.object)
    if found != name:
        row[_LINK] = f"/{name.container}/{name.object}"
    return Segment(*found, end - start, etag, offset=start, row=row)


def path_of(segment: Segment) -> str:
    """Return the path under which a segment was put: that of a link, when it was one."""
    return str((segment.row or {}).get(_LINK) or f"/{segment.container}/{segment.object}")


def is_linked(segment: Segment) -> bool:
    """Tell whether a segment was put as a symbolic link."""
    return bool(segment.row and _LINK in segment.row)


def inline_segment(data: bytes) -> Segment:
    """Return the segment of inline data."""
    return Segment("", "", "", len(data), hashlib.md5(data).hexdigest(), data=data)


def _range_text(segment: Segment) -> str:
    """Return the range of the segment object that a segment is, empty for all of it."""
    if segment.row and "size" in segment.row:
        return f"{segment.offset}-{segment.offset + segment.size - 1}"
    return ""


def etag_of(segments: Sequence[Segment]) -> str:
    """Return the etag of a static large object: md5 over its segments' etags and ranges."""
    digest = hashlib.md5()
    for segment in segments:
        wanted = _range_text(segment)
        digest.update(f"{segment.etag}:{wanted};".encode() if wanted else segment.etag.encode())
    return digest.hexdigest()


def render(segments: Sequence[Segment]) -> bytes:
    """Return the manifest as multipart-manifest=get shows it."""
    return json.dumps([_shown(segment, _details) for segment in segments]).encode()


def render_raw(segments: Sequence[Segment]) -> bytes:
    """Return the manifest in the form in which it could be put again."""
    return json.dumps([_shown(segment, _puttable) for segment in segments], sort_keys=True).encode()


def _shown(segment: Segment, describe: Callable[[Segment], dict[str, Any]]) -> dict[str, Any]:
    if segment.data is not None:
        return {"data": b64encode(segment.data).decode()}
    shown = describe(segment)
    wanted = _range_text(segment)
    if wanted:
        shown["range"] = wanted
    return shown


def _details(segment: Segment) -> dict[str, Any]:
    row = segment.row or {}
    shown = {
        "name": path_of(segment),
        "bytes": row.get("size", segment.size),
        "hash": segment.etag,
        "content_type": row.get("type", ""),
        "last_modified": time_text(row.get("modified_us", 0)),
    }
    return {**shown, "sub_slo": True} if row.get(NESTED) else shown


def _puttable(segment: Segment) -> dict[str, Any]:
    return {
        "path": path_of(segment),
        "size_bytes": (segment.row or {}).get("size", segment.size),
        "etag": segment.etag,
    }
