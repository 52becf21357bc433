"""Operations on quotas."""

from collections.abc import Mapping
from typing import Any

from cluster.controlplane.answer import NO_CONTENT, Answer, ok
from compute.network import quotas
from compute.network.api.requests import Request, require
from compute.network.checks import integer
from compute.network.errors import HTTPBadRequest, InvalidQuotaValue, TenantQuotaNotFound

_MOST = 2_147_483_647
_BESIDE = ("project_id", "tenant_id", "force", "check_limit")


def list_all(context: Request) -> Answer:
    """GET /v2.0/quotas: of projects that have some of their own."""
    require(context, "get_quota", {})
    defaults = quotas.defaults_of(context.parts.settings.quotas)
    found = [
        {"project_id": project_id, "tenant_id": project_id, **defaults, **limits}
        for project_id, limits in quotas.own_limits(context.connection).items()
    ]
    return ok({"quotas": found})


def show(context: Request, project_id: str) -> Answer:
    """GET /v2.0/quotas/{project}."""
    _require_owner(context, project_id)
    return ok({"quota": quotas.limits(context.connection, context.parts.settings.quotas, project_id)})


def show_defaults(context: Request, project_id: str) -> Answer:
    """GET /v2.0/quotas/{project}/default."""
    _require_owner(context, project_id)
    return ok({"quota": quotas.defaults_of(context.parts.settings.quotas)})


def show_details(context: Request, project_id: str) -> Answer:
    """GET /v2.0/quotas/{project}/details: with what is used."""
    _require_owner(context, project_id)
    limits = quotas.limits(context.connection, context.parts.settings.quotas, project_id)
    found = {
        name: {"limit": limit, "used": quotas.used(context.connection, project_id, name), "reserved": 0}
        for name, limit in limits.items()
    }
    return ok({"quota": found})


def show_project(context: Request) -> Answer:
    """GET /v2.0/quotas/tenant, or /project: whose quotas the caller is held to."""
    return ok({"tenant": {"project_id": context.caller.project_id, "tenant_id": context.caller.project_id}})


def change(context: Request, project_id: str) -> Answer:
    """PUT /v2.0/quotas/{project}."""
    require(context, "update_quota", {})
    wanted = _wanted(context.document)
    if str(context.document["quota"].get("check_limit")).lower() == "true":
        _require_room(context, project_id, wanted)
    quotas.set_limits(context.connection, project_id, wanted)
    return ok({"quota": quotas.limits(context.connection, context.parts.settings.quotas, project_id)})


def remove(context: Request, project_id: str) -> Answer:
    """DELETE /v2.0/quotas/{project}: it has the limits that all have."""
    require(context, "delete_quota", {})
    if not quotas.reset(context.connection, project_id):
        raise TenantQuotaNotFound(tenant_id=project_id)
    return NO_CONTENT


def _require_owner(context: Request, project_id: str) -> None:
    if context.caller.project_id != project_id:
        require(context, "get_quota", {})


def _require_room(context: Request, project_id: str, wanted: Mapping[str, int]) -> None:
    """Raise InvalidQuotaValue where a project has more than it would be allowed."""
    used = {name: quotas.used(context.connection, project_id, name) for name in wanted}
    if unders := sorted(name for name, limit in wanted.items() if 0 <= limit < used[name]):
        raise InvalidQuotaValue(unders=unders)


def _wanted(document: Any) -> dict[str, int]:
    sent = document.get("quota")
    if not isinstance(sent, dict):
        raise HTTPBadRequest(why="Unable to find 'quota' in request body")
    sent = {name: value for name, value in sent.items() if name not in _BESIDE}
    unknown = sorted(set(sent) - set(quotas.RESOURCES))
    if unknown:
        raise HTTPBadRequest(why=f"Unrecognized attribute(s) '{', '.join(unknown)}'")
    try:
        return {name: integer(-1, _MOST)(value) for name, value in sent.items()}
    except ValueError as error:
        raise HTTPBadRequest(why=f"Invalid input for quota. Reason: {error}.") from None
