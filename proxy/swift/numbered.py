"""One segment of a static large object by its number, which counts from 1: GET, HEAD and COPY with part-number=N.

Source: Swift's API reference, "part-number". Of other objects the number is of no account.
"""

from dataclasses import dataclass

from proxy.objects.model import ObjectInfo
from proxy.swift.call import Call
from proxy.swift.errors import Fields, SwiftError
from proxy.swift.headers import object_headers
from proxy.swift.judgement import judge

_KEPT = frozenset(("etag", "x-manifest-etag", "x-static-large-object"))


@dataclass(frozen=True, slots=True)
class Numbered:
    """Bytes [start, end) of the large object `info`, which are one of its `count` segments."""

    info: ObjectInfo
    start: int
    end: int
    count: int

    def fields(self) -> Fields:
        """Return what an answer says beside the object's header fields."""
        told = f"bytes {self.start}-{self.end - 1}/{self.info.metadata.size}"
        return ("Content-Range", told), ("X-Parts-Count", str(self.count))


async def find(call: Call) -> Numbered | None:
    """Return the segment that the request asks for; None when it asks for none, or the object has none.

    Raise SwiftError when there is no such segment, and what `judge` raises.
    """
    if "part-number" not in call.parameters:
        return None
    info, segments = await call.service.segments(call.name)
    if not info.manifest:
        return None
    judge(call, info, copied=call.request.method in ("COPY", "PUT"))
    number = _number(call.parameters["part-number"])
    if "range" in call.request.headers:
        raise SwiftError(400, "Range requests are not supported with part number queries")
    count, size = len(segments), info.metadata.size
    if number > count or not segments[number - 1].size:
        kept = tuple(field for field in object_headers(info) if field[0].lower() in _KEPT)
        told = (("Content-Range", f"bytes */{size}"), ("X-Parts-Count", str(count)))
        raise SwiftError(416, "The requested part number is not satisfiable", (*kept, *told))
    start = sum(segment.size for segment in segments[: number - 1])
    return Numbered(info, start, start + segments[number - 1].size, count)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise SwiftError(400, "Part number must be an integer greater than 0")
    return int(text)
