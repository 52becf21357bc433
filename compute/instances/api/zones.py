"""Availability zones: which there are, and, for administrators, which hosts they have."""

from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.instances import aggregates, hosts
from compute.instances.api.requests import Request
from compute.instances.hosts import SERVICE, KnownHost
from compute.instances.moments import iso_micro


def list_brief(context: Request) -> Answer:
    """GET /v2.1/os-availability-zone."""
    context.enforce("os_compute_api:os-availability-zone:list")
    found = _zones(context)
    return ok({"availabilityZoneInfo": [_document(name, there, None) for name, there in found.items()]})


def list_detailed(context: Request) -> Answer:
    """GET /v2.1/os-availability-zone/detail."""
    context.enforce("os_compute_api:os-availability-zone:detail")
    told = []
    for name, there in _zones(context).items():
        told.append(_document(name, there, {each.name: _services(context, each) for each in there} if there else None))
    return ok({"availabilityZoneInfo": told})


def _zones(context: Request) -> dict[str, list[KnownHost]]:
    """Return the hosts in service by zone; first the zones that have some."""
    found = hosts.every(context.connection)
    default = context.parts.settings.availability_zone
    zone_of = aggregates.zones(context.connection, [each.name for each in found], default)
    zones: dict[str, list[KnownHost]] = {zone: [] for zone in sorted({*zone_of.values()} or {default})}
    for each in found:
        if not each.disabled:
            zones[zone_of[each.name]].append(each)
    return dict(sorted(zones.items(), key=lambda item: not item[1]))


def _document(name: str, there: list[KnownHost], told: dict[str, Any] | None) -> dict[str, Any]:
    return {"zoneName": name, "zoneState": {"available": bool(there)}, "hosts": told}


def _services(context: Request, host: KnownHost) -> dict[str, Any]:
    seen = iso_micro(host.seen_at_us) if host.state is not None else None
    return {SERVICE: {"available": host.is_up(context.now_us), "active": True, "updated_at": seen}}
