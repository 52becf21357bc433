"""What a project may have, and has: limits."""

from collections.abc import Mapping
from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.instances import quotas
from compute.instances.api.lists import check_query
from compute.instances.api.requests import Request, at_least, project_of

NO_PROXIES_SINCE, NO_IMAGE_METADATA_SINCE, NO_FILES_SINCE = 36, 39, 57
_LIMITS: Mapping[str, tuple[str, ...]] = {  # names of limits, by resource
    "ram": ("maxTotalRAMSize",),
    "instances": ("maxTotalInstances",),
    "cores": ("maxTotalCores",),
    "key_pairs": ("maxTotalKeypairs",),
    "metadata_items": ("maxServerMeta", "maxImageMeta"),
    "server_groups": ("maxServerGroups",),
    "server_group_members": ("maxServerGroupMembers",),
}
_USED = {
    "totalRAMUsed": "ram",
    "totalCoresUsed": "cores",
    "totalInstancesUsed": "instances",
    "totalServerGroupsUsed": "server_groups",
}
FILES = {"maxPersonality": 5, "maxPersonalitySize": 10_240}  # that servers are made with, in old versions
PROXIED = {"maxTotalFloatingIps": -1, "maxSecurityGroups": -1, "maxSecurityGroupRules": -1}  # the network service's
_PROXIED_USED = {"totalFloatingIpsUsed": 0, "totalSecurityGroupsUsed": 0}


def show(context: Request) -> Answer:
    """GET /v2.1/limits."""
    context.enforce("os_compute_api:limits")
    check_query(context, ("tenant_id", "reserved"))
    project_id = context.query.get("tenant_id")
    if project_id:
        context.enforce("os_compute_api:limits:other_project", {"project_id": project_id})
    else:
        project_id = project_of(context)
    allowed = quotas.limits(context.connection, context.parts.settings.quotas, project_id)
    used = quotas.usages(context.connection, project_id)
    absolute: dict[str, Any] = {name: allowed[resource] for resource, names in _LIMITS.items() for name in names}
    absolute |= {name: used[resource] for name, resource in _USED.items()}
    if at_least(context, NO_IMAGE_METADATA_SINCE):
        del absolute["maxImageMeta"]
    if not at_least(context, NO_FILES_SINCE):
        absolute |= FILES
    if not at_least(context, NO_PROXIES_SINCE):
        absolute |= PROXIED | _PROXIED_USED
    return ok({"limits": {"rate": [], "absolute": absolute}})
