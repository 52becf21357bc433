"""Operations on hosts, as versions up to 2.42 have them: hypervisors and services have taken their place."""

from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.instances import aggregates, claims, hosts, servers
from compute.instances.api.forms import Form
from compute.instances.api.requests import Request
from compute.instances.errors import NotOffered

LAST_VERSION = 42
_RULE = "os_compute_api:os-hosts:"
_WORD = {"type": "string", "enum": ["enable", "disable", "Enable", "Disable", "ENABLE", "DISABLE"]}
_CHANGE = Form("", {"status": _WORD, "maintenance_mode": _WORD}, minProperties=1)


def list_all(context: Request) -> Answer:
    """GET /v2.1/os-hosts."""
    context.enforce(_RULE + "list")
    found = [each.name for each in hosts.every(context.connection) if not each.disabled]
    zones = aggregates.zones(context.connection, found, context.parts.settings.availability_zone)
    wanted = context.query.get("zone")
    told = [
        {"host_name": name, "service": "compute", "zone": zones[name]}
        for name in found
        if not wanted or zones[name] == wanted
    ]
    return ok({"hosts": told})


def show(context: Request, host: str) -> Answer:
    """GET /v2.1/os-hosts/{host}: what it has, and what of it each project's servers have."""
    context.enforce(_RULE + "show")
    found = hosts.get(context.connection, host)
    there = servers.of_host(context.connection, host)
    used = claims.used(context.connection).get(host, claims.Used())
    vcpus, memory_mib = (found.state.vcpus, found.state.memory_mib) if found.state else (0, 0)
    told = [
        _resource(host, "(total)", vcpus, memory_mib, 0),
        _resource(host, "(used_now)", used.vcpus, used.memory_mib, 0),
        _sum(host, "(used_max)", there),
    ]
    for project_id in dict.fromkeys(each.project_id for each in there):
        told.append(_sum(host, project_id, [each for each in there if each.project_id == project_id]))
    return ok({"host": told})


def change(context: Request, host: str) -> Answer:
    """PUT /v2.1/os-hosts/{host}: take it out of service, or back."""
    context.enforce(_RULE + "update")
    attributes = _CHANGE.read(context)
    hosts.get(context.connection, host)
    if "maintenance_mode" in attributes:
        raise NotOffered("maintenance of a host")
    disabled = attributes["status"].lower() == "disable"
    hosts.change(context.connection, host, disabled=disabled, disabled_reason=None)
    return ok({"host": host, "status": "disabled" if disabled else "enabled"})


def _power(rule: str) -> Any:
    """Return the operation that refuses to turn hosts on and off, which is not up to this service."""

    def operation(context: Request, host: str) -> Answer:
        context.enforce(_RULE + rule)
        hosts.get(context.connection, host)
        raise NotOffered("power of a host")

    return operation


reboot, shut_down, start_up = _power("reboot"), _power("shutdown"), _power("start")


def _sum(host: str, project: str, there: list[servers.Server]) -> dict[str, Any]:
    vcpus, memory_mib = sum(each.vcpus for each in there), sum(each.memory_mib for each in there)
    return _resource(host, project, vcpus, memory_mib, sum(each.disk_gb for each in there))


def _resource(host: str, project: str, vcpus: int, memory_mib: int, disk_gb: int) -> dict[str, Any]:
    about = {"host": host, "project": project, "cpu": vcpus, "memory_mb": memory_mib, "disk_gb": disk_gb}
    return {"resource": about}
