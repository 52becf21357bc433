"""What a client can learn of the service itself: zones, extensions, filters, parts, pools, capabilities."""

from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.volumes import parts_of_service
from compute.volumes import snapshots as snapshot_nouns
from compute.volumes import volumes as nouns
from compute.volumes.api import attachments, backups, messages, snapshots, transfers, volumes
from compute.volumes.api.forms import REQUIRED_NAME, TEXT, Form
from compute.volumes.api.requests import Request, at_least
from compute.volumes.errors import Invalid, NotFound
from compute.volumes.moments import iso
from compute.volumes.parts_of_service import Part
from compute.volumes.qos_specs import LIMITS
from compute.volumes.volume_types import CAPABILITIES

EXTENSIONS = {
    "os-volume-actions": "VolumeActions",
    "os-admin-actions": "AdminActions",
    "os-availability-zone": "AvailabilityZones",
    "os-hosts": "Hosts",
    "os-extended-snapshot-attributes": "ExtendedSnapshotAttributes",
    "os-quota-sets": "Quotas",
    "os-quota-class-sets": "QuotaClasses",
    "os-services": "Services",
    "os-snapshot-actions": "SnapshotActions",
    "os-types-extra-specs": "TypesExtraSpecs",
    "os-types-manage": "TypesManage",
    "os-used-limits": "UsedLimits",
    "os-vol-host-attr": "VolumeHostAttribute",
    "os-vol-image-meta": "VolumeImageMetadata",
    "os-vol-tenant-attr": "VolumeTenantAttribute",
    "os-volume-encryption-metadata": "VolumeEncryptionMetadata",
    "os-volume-transfer": "VolumeTransfer",
    "os-volume-type-access": "VolumeTypeAccess",
    "backups": "Backups",
    "capabilities": "Capabilities",
    "encryption": "VolumeTypeEncryption",
    "qos-specs": "Qos_specs_manage",
    "scheduler-stats": "Scheduler_stats",
}
_UPDATED = "2025-04-02T00:00:00+00:00"
_LISTED = {
    "volume": volumes.LISTED,
    "snapshot": snapshots.LISTED,
    "backup": backups.LISTED,
    "attachment": attachments.LISTED,
    "message": messages.LISTED,
    "transfer": transfers.LISTED,
}
_SERVICE = Form("service", {"host": REQUIRED_NAME, "binary": TEXT, "service": TEXT, "disabled_reason": TEXT})


def list_zones(context: Request) -> Answer:
    """GET /v3/os-availability-zone."""
    context.enforce("volume:availability_zone_list")
    name = context.parts.settings.availability_zone
    return ok({"availabilityZoneInfo": [{"zoneName": name, "zoneState": {"available": True}}]})


def list_extensions(context: Request) -> Answer:
    """GET /v3/extensions."""
    context.enforce("volume_extension:list_extensions")
    return ok({"extensions": [_extension(alias) for alias in EXTENSIONS]})


def show_extension(context: Request, alias: str) -> Answer:
    """GET /v3/extensions/{alias}."""
    context.enforce("volume_extension:list_extensions")
    if alias not in EXTENSIONS:
        raise NotFound("Extension", alias)
    return ok({"extension": _extension(alias)})


def list_filters(context: Request) -> Answer:
    """GET /v3/resource_filters (from 3.33 on)."""
    context.enforce("volume:get_all_resource_filters")
    wanted = context.query.get("resource")
    told = [
        {"resource": name, "filters": sorted({*listed.filters, *(f"{each}~" for each in listed.like)})}
        for name, listed in _LISTED.items()
        if wanted in (None, name)
    ]
    return ok({"resource_filters": told})


def list_services(context: Request) -> Answer:
    """GET /v3/os-services."""
    context.enforce("volume_extension:services:index")
    binary = context.query.get("binary") or context.query.get("service")
    found = parts_of_service.every(context.connection)
    host = context.query.get("host")
    told = [
        _part(context, each)
        for each in found
        if binary in (None, each.binary) and (host is None or each.host.startswith(host))
    ]
    return ok({"services": told})


def change_service(context: Request, verb: str) -> Answer:
    """PUT /v3/os-services/{verb}: enable, disable, disable-log-reason."""
    context.enforce("volume_extension:services:update")
    if verb in ("freeze", "thaw", "failover_host"):
        raise Invalid("Volumes are not replicated to other clusters: there is nothing to fail over to.")
    if verb not in ("enable", "disable", "disable-log-reason"):
        raise NotFound("Action", verb)
    attributes = _SERVICE.check(context.document)
    if verb == "disable-log-reason" and not attributes.get("disabled_reason"):
        raise Invalid("Invalid input for field/attribute disabled_reason: a reason is needed.")
    binary = attributes.get("binary") or attributes.get("service") or parts_of_service.VOLUME
    reason = attributes.get("disabled_reason") if verb == "disable-log-reason" else None
    parts_of_service.set_disabled(
        context.connection, str(binary), str(attributes.get("host", "")), verb != "enable", reason
    )
    told = {
        "host": attributes.get("host"),
        "service": binary,
        "binary": binary,
        "disabled": verb != "enable",
        "status": "enabled" if verb == "enable" else "disabled",
    }
    if verb != "disable":
        told["disabled_reason"] = reason
    return ok(told)


def list_pools(context: Request) -> Answer:
    """GET /v3/scheduler-stats/get_pools."""
    context.enforce("scheduler_extension:scheduler_stats:get_pools")
    settings = context.parts.settings
    pool: dict[str, Any] = {"name": settings.host}
    detail = context.query.get("detail", "").lower() in ("true", "1", "yes")
    if detail:
        pool["capabilities"] = {
            **CAPABILITIES,
            "driver_version": "1.0",
            "total_capacity_gb": "unknown",  # it is the devices', which objects share
            "free_capacity_gb": "unknown",
            "allocated_capacity_gb": _allocated(context),
            "reserved_percentage": 0,
            "QoS_support": True,
            "multiattach": True,
            "thin_provisioning_support": True,
            "timestamp": iso(context.now_us),
        }
    return ok({"pools": [pool]})


def show_capabilities(context: Request, host: str) -> Answer:
    """GET /v3/capabilities/{host}."""
    context.enforce("volume_extension:capabilities")
    settings = context.parts.settings
    if host not in (settings.service_host, settings.host):
        raise NotFound("Backend", host)
    limits = {
        name: {"title": name, "description": "What the gateway limits a volume to.", "type": "integer"}
        for name in LIMITS
    }
    return ok(
        {
            "namespace": "OS::Storage::Capabilities::holdfast",
            **CAPABILITIES,
            "pool_name": None,
            "driver_version": "1.0",
            "display_name": "Holdfast block gateway",
            "description": "Replicated volumes, served by NBD.",
            "visibility": None,
            "replication_targets": [],
            "properties": limits,
        }
    )


def list_hosts(context: Request) -> Answer:
    """GET /v3/os-hosts."""
    context.enforce("volume_extension:hosts")
    told = [
        {
            "service": each.binary,
            "host_name": each.host,
            "service-status": "available" if each.is_up(context.now_us) else "unavailable",
            "service-state": "disabled" if each.disabled else "enabled",
            "zone": context.parts.settings.availability_zone,
            "last-update": iso(each.updated_at_us),
        }
        for each in parts_of_service.every(context.connection)
    ]
    return ok({"hosts": told})


def show_host(context: Request, host: str) -> Answer:
    """GET /v3/os-hosts/{host}: what the volume service at a host has."""
    context.enforce("volume_extension:hosts")
    if host not in (context.parts.settings.service_host, context.parts.settings.host):
        raise NotFound("Host", host)
    volumes_there = nouns.summary(context.connection, None)
    snapshots_there = snapshot_nouns.summary(context.connection)
    told = {
        "host": host,
        "project": "(total)",
        "volume_count": str(volumes_there["total_count"]),
        "total_volume_gb": str(volumes_there["total_size"]),
        "snapshot_count": str(snapshots_there["total_count"]),
        "total_snapshot_gb": str(snapshots_there["total_size"]),
    }
    return ok({"host": [{"resource": told}]})


def list_clusters(context: Request) -> Answer:
    """GET /v3/clusters (from 3.7 on): Cinder's clusters of services, of which there are none."""
    context.enforce("clusters:get_all")
    return ok({"clusters": []})


def list_none(name: str) -> Any:
    """Return the operation that lists what is left out: there are none."""

    def operation(context: Request) -> Answer:
        context.caller  # noqa: B018 not for nobody
        return ok({name: []})

    return operation


def _allocated(context: Request) -> int:
    return nouns.summary(context.connection, None)["total_size"]


def _extension(alias: str) -> dict[str, Any]:
    name = EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": f"{name}.", "updated": _UPDATED, "links": []}


def _part(context: Request, each: Part) -> dict[str, Any]:
    told: dict[str, Any] = {
        "binary": each.binary,
        "host": each.host,
        "zone": context.parts.settings.availability_zone,
        "status": "disabled" if each.disabled else "enabled",
        "state": "up" if each.is_up(context.now_us) else "down",
        "updated_at": iso(each.updated_at_us),
        "disabled_reason": each.disabled_reason,
    }
    if each.binary == parts_of_service.VOLUME:
        told |= {"replication_status": "disabled", "active_backend_id": None, "frozen": False}
        if at_least(context, 49):
            told["backend_state"] = "up"
    if at_least(context, 7):
        told["cluster"] = None
    return told
