"""Large objects: whoever reads one by grace of an access list must be allowed its segments' containers too."""

from proxy.objects.model import ObjectInfo, ObjectName, Segment
from proxy.swift.access import reads, require_read
from proxy.swift.call import Call
from proxy.swift.errors import SwiftError
from proxy.swift.headers import DLO, SLO
from proxy.swift.limits import MAX_MANIFEST_DEPTH

NESTED = "slo"  # in `Segment.row`: this segment is a static large object itself


async def require_segments(call: Call, info: ObjectInfo) -> None:
    """Raise SwiftError unless the user may read everything that the object `info` is made of."""
    account = info.metadata.account
    if reads(call.user, account):
        return
    system = info.metadata.system
    if DLO in system:
        container, _slash, _prefix = system[DLO].partition("/")
        await require_read(call, account, container, listing=True)
    elif system.get(SLO):
        await _require_static(call, info, MAX_MANIFEST_DEPTH)


async def _require_static(call: Call, info: ObjectInfo, depth: int) -> None:
    if depth == 0:
        raise SwiftError(409, "Manifests are nested too deeply.")
    metadata = info.metadata
    _info, segments = await call.service.segments(
        ObjectName(metadata.account, metadata.container, metadata.object)
    )
    stored = [segment for segment in segments if segment.data is None]
    for account, container in dict.fromkeys(segment[:2] for segment in stored):
        await require_read(call, account, container)
    for name in dict.fromkeys(ObjectName(*segment[:3]) for segment in stored if is_nested(segment)):
        await _require_static(call, await call.service.head_object(name), depth - 1)


def is_nested(segment: Segment) -> bool:
    """Tell whether a segment is a static large object itself."""
    return bool(segment.row and segment.row.get(NESTED))
