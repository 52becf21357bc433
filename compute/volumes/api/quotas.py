"""Operations on quotas, quota classes and limits."""

from collections.abc import Mapping
from typing import Any

from cluster.controlplane.answer import Answer, ok
from cluster.controlplane.errors import Malformed
from compute.volumes import quotas, volume_types
from compute.volumes.api.forms import COUNT, Form, truth
from compute.volumes.api.requests import Request, at_least, own_target, project_of, sees_all
from compute.volumes.errors import Invalid
from compute.volumes.quotas import Usage

_FORM = Form("quota_set", {"tenant_id": {}, "force": {}, "skip_validation": {}}, more=COUNT)
_CLASS_FORM = Form("quota_class_set", {"class_name": {}}, more=COUNT)
_NO_LIMITS = frozenset(("tenant_id", "force", "skip_validation", "class_name", "id"))
_MOST = 2_147_483_647

_ABSOLUTE = {  # resource: name of the limit, name of what is used
    "volumes": ("maxTotalVolumes", "totalVolumesUsed"),
    "gigabytes": ("maxTotalVolumeGigabytes", "totalGigabytesUsed"),
    "snapshots": ("maxTotalSnapshots", "totalSnapshotsUsed"),
    "backups": ("maxTotalBackups", "totalBackupsUsed"),
    "backup_gigabytes": ("maxTotalBackupGigabytes", "totalBackupGigabytesUsed"),
}


def show(context: Request, target_id: str) -> Answer:
    """GET /v3/os-quota-sets/{project}, perhaps with ?usage=true."""
    context.enforce("volume_extension:quotas:show", {"project_id": target_id})
    allowed = _seen(context, quotas.limits(context.connection, context.parts.settings.quotas, target_id))
    if not truth(context.query.get("usage", "false"), "usage"):
        return ok({"quota_set": {"id": target_id, **allowed}})
    used = quotas.usages(context.connection, target_id)
    told: dict[str, Any] = {"id": target_id}
    for name, limit in allowed.items():
        usage = used.get(name, Usage())
        told[name] = {"limit": limit, "in_use": usage.in_use, "reserved": usage.reserved}
    return ok({"quota_set": told})


def show_defaults(context: Request, target_id: str) -> Answer:
    """GET /v3/os-quota-sets/{project}/defaults."""
    context.enforce("volume_extension:quotas:show", {"project_id": target_id})
    defaults = _seen(context, quotas.class_limits(context.connection, context.parts.settings.quotas))
    return ok({"quota_set": {"id": target_id, **defaults}})


def change(context: Request, target_id: str) -> Answer:
    """PUT /v3/os-quota-sets/{project}."""
    context.enforce("volume_extension:quotas:update", {"project_id": target_id})
    quotas.set_limits(context.connection, target_id, _wanted(context, _FORM))
    return ok({"quota_set": quotas.limits(context.connection, context.parts.settings.quotas, target_id)})


def remove(context: Request, target_id: str) -> Answer:
    """DELETE /v3/os-quota-sets/{project}: it has the limits that all have."""
    context.enforce("volume_extension:quotas:delete", {"project_id": target_id})
    quotas.reset(context.connection, target_id)
    return Answer(200)


def show_class(context: Request, name: str) -> Answer:
    """GET /v3/os-quota-class-sets/{name}."""
    context.enforce("volume_extension:quota_classes:get")
    found = quotas.class_limits(context.connection, context.parts.settings.quotas, name)
    return ok({"quota_class_set": {"id": name, **found}})


def change_class(context: Request, name: str) -> Answer:
    """PUT /v3/os-quota-class-sets/{name}; `default` is that of all projects."""
    context.enforce("volume_extension:quota_classes:update")
    quotas.set_class_limits(context.connection, name, _wanted(context, _CLASS_FORM))
    return ok({"quota_class_set": quotas.class_limits(context.connection, context.parts.settings.quotas, name)})


def show_limits(context: Request) -> Answer:
    """GET /v3/limits."""
    context.enforce("limits_extension:used_limits", own_target(context))
    project_id = project_of(context)
    if at_least(context, 39) and sees_all(context):
        project_id = context.query.get("project_id") or context.query.get("tenant_id") or project_id
    allowed = quotas.limits(context.connection, context.parts.settings.quotas, project_id)
    used = quotas.usages(context.connection, project_id)
    absolute = {}
    for resource, (limit_name, used_name) in _ABSOLUTE.items():
        absolute[limit_name] = allowed[resource]
        absolute[used_name] = used.get(resource, Usage()).total
    return ok({"limits": {"rate": [], "absolute": absolute}})


def _seen(context: Request, limits: Mapping[str, int]) -> dict[str, int]:
    """Return limits without those of volume types that the caller does not see."""
    if sees_all(context):
        return dict(limits)
    hidden = volume_types.hidden_from(context.connection, context.project_id)
    unseen = {quotas.of_type(resource, type_name) for type_name in hidden for resource in quotas.OF_TYPES}
    return {name: limit for name, limit in limits.items() if name not in unseen}


def _wanted(context: Request, form: Form) -> dict[str, int]:
    attributes = form.read(context)
    wanted = {name: _limit(name, value) for name, value in attributes.items() if name not in _NO_LIMITS}
    if not wanted:
        raise Invalid("At least one quota has to be named.")
    known = set(quotas.resources(context.connection))
    unknown = sorted(set(wanted) - known)
    if unknown:
        raise Invalid(f"Bad key(s) in quota set: {', '.join(unknown)}.")
    return wanted


def _limit(name: str, value: Any) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not text.removeprefix("-").isdecimal() or not -1 <= int(text[:12]) <= _MOST:
        raise Malformed(f"Invalid input for field/attribute {name}: '{value}' is no integer from -1 to {_MOST}.")
    return int(text)
