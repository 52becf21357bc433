"""Operations on services: the part of each host, which administrators take out of service, and back."""

from collections.abc import Callable
from typing import Any

from cluster.controlplane.answer import NO_CONTENT, Answer, ok
from compute.errors import BadRequest
from compute.instances import aggregates, hosts, presence
from compute.instances.api.forms import BOOLEAN, HOST_NAME, WORD, Form, number, truth
from compute.instances.api.lists import check_query
from compute.instances.api.requests import Request, at_least, is_uuid
from compute.instances.errors import Conflict, Invalid, NotFound
from compute.instances.hosts import SERVICE, KnownHost
from compute.instances.moments import iso_micro

FORCED_SINCE, UUID_SINCE = 11, 53
_RULE = "os_compute_api:os-services:"
_NAMED = {"host": HOST_NAME, "binary": WORD, "disabled_reason": WORD}
_BY_NAME = Form("", _NAMED, ("host", "binary"))
_BY_NAME_FORCED = Form("", {**_NAMED, "forced_down": BOOLEAN}, ("host", "binary"))
_BY_ID = Form("", {"status": {"enum": ["enabled", "disabled"]}, "disabled_reason": WORD, "forced_down": BOOLEAN})


def list_all(context: Request) -> Answer:
    """GET /v2.1/os-services."""
    context.enforce(_RULE + "list")
    check_query(context, ("host", "binary"))
    host, binary = context.query.get("host"), context.query.get("binary")
    found = [
        each
        for each in hosts.every(context.connection)
        if (not host or each.name == host) and (not binary or binary == SERVICE)
    ]
    default = context.parts.settings.availability_zone
    zones = aggregates.zones(context.connection, [each.name for each in found], default)
    return ok({"services": [_document(context, each, zones[each.name]) for each in found]})


def change(context: Request, service_id: str) -> Answer:
    """PUT /v2.1/os-services/{service_id}; before 2.53 what stands there is what to do."""
    context.enforce(_RULE + "update")
    if not at_least(context, UUID_SINCE):
        return _act(context, service_id)
    found = _get(context, service_id)
    attributes = _BY_ID.read(context)
    columns: dict[str, Any] = {}
    if attributes.get("status") == "enabled":
        if attributes.get("disabled_reason"):
            raise Invalid("Specifying 'disabled_reason' with status 'enabled' is invalid.")
        columns = {"disabled": False, "disabled_reason": None}
    elif attributes.get("status") == "disabled":
        columns = {"disabled": True, "disabled_reason": attributes.get("disabled_reason")}
    if "forced_down" in attributes:
        columns["forced_down"] = truth(attributes["forced_down"], "forced_down")
    if not columns:
        raise Invalid("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
    changed = hosts.change(context.connection, found.name, **columns)
    zone = aggregates.zones(context.connection, [found.name], context.parts.settings.availability_zone)[found.name]
    return ok({"service": _document(context, changed, zone)})


def remove(context: Request, service_id: str) -> Answer:
    """DELETE /v2.1/os-services/{service_id}: forget a host."""
    context.enforce(_RULE + "delete")
    found = _get(context, service_id)
    if presence.on_host(context.connection, found.name):
        raise Conflict(
            "Unable to delete compute service that is hosting instances. Migrate or delete the instances first."
        )
    aggregates.forget_host(context.connection, found.name)
    hosts.remove(context.connection, found.name)
    return NO_CONTENT


def _act(context: Request, action: str) -> Answer:
    forced = at_least(context, FORCED_SINCE)
    attributes = (_BY_NAME_FORCED if forced else _BY_NAME).read(context)
    actions = {**_ACTIONS, "force-down": _force} if forced else _ACTIONS
    if action not in actions:
        raise NotFound("Action", action)
    told = actions[action](attributes)
    if attributes["binary"] != SERVICE:
        raise Invalid(
            f"Updating a {attributes['binary']} service is not supported. Only nova-compute services can be updated."
        )
    changed = hosts.change(context.connection, attributes["host"], **told)
    document: dict[str, Any] = {"host": changed.name, "binary": SERVICE}
    if "forced_down" in told:
        document["forced_down"] = changed.forced_down
    else:
        document["status"] = "disabled" if changed.disabled else "enabled"
        if changed.disabled_reason:
            document["disabled_reason"] = changed.disabled_reason
    return ok({"service": document})


def _enable(_attributes: dict[str, Any]) -> dict[str, Any]:
    return {"disabled": False, "disabled_reason": None}


def _disable(_attributes: dict[str, Any]) -> dict[str, Any]:
    return {"disabled": True, "disabled_reason": None}


def _disable_with_reason(attributes: dict[str, Any]) -> dict[str, Any]:
    if "disabled_reason" not in attributes:
        raise Invalid("Missing disabled reason field")
    return {"disabled": True, "disabled_reason": attributes["disabled_reason"]}


def _force(attributes: dict[str, Any]) -> dict[str, Any]:
    if "forced_down" not in attributes:
        raise Invalid("Missing forced_down field")
    return {"forced_down": truth(attributes["forced_down"], "forced_down")}


_ACTIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "enable": _enable,
    "disable": _disable,
    "disable-log-reason": _disable_with_reason,
}


def _get(context: Request, service_id: str) -> KnownHost:
    """Return the host of a service. Raise NotFound, BadRequest."""
    by_uuid = at_least(context, UUID_SINCE)
    if by_uuid and not is_uuid(service_id):
        raise BadRequest(f"Invalid uuid {service_id}")
    wanted = service_id if by_uuid else number(service_id, "id", 0)
    for each in hosts.every(context.connection):
        if wanted == (each.service_id if by_uuid else each.number):
            return each
    raise NotFound("Service", service_id)


def _document(context: Request, host: KnownHost, zone: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": host.service_id if at_least(context, UUID_SINCE) else host.number,
        "binary": SERVICE,
        "host": host.name,
        "zone": zone,
        "status": "disabled" if host.disabled else "enabled",
        "state": "up" if host.is_up(context.now_us) else "down",
        "updated_at": iso_micro(host.seen_at_us) if host.state is not None else None,
        "disabled_reason": host.disabled_reason,
    }
    if at_least(context, FORCED_SINCE):
        document["forced_down"] = host.forced_down
    return document
