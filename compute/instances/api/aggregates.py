"""Operations on aggregates: for administrators."""

from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.actions import Dispatch
from compute.instances import aggregates, hosts, presence
from compute.instances.aggregates import ZONE, Aggregate
from compute.instances.api.forms import HOST_NAME, LOOSE_NAME, METADATA_WITH_NULL, NAME, ZONE_NAME, Form, number
from compute.instances.api.requests import Request, at_least, is_uuid
from compute.instances.errors import Conflict, Invalid, NotFound
from compute.instances.moments import iso_micro

UUID_SINCE, IMAGES_SINCE = 41, 81
_RULE = "os_compute_api:os-aggregates:"
_ZONE_OR_NULL = {**ZONE_NAME, "type": ["string", "null"]}
_CREATION = Form("aggregate", {"name": NAME, ZONE: _ZONE_OR_NULL}, ("name",))
_CHANGE = Form("aggregate", {"name": LOOSE_NAME, ZONE: _ZONE_OR_NULL}, minProperties=1)
_ADD, _REMOVE = (Form(name, {"host": HOST_NAME}, ("host",)) for name in ("add_host", "remove_host"))
_METADATA = Form("set_metadata", {"metadata": METADATA_WITH_NULL}, ("metadata",))
_IMAGE = {
    "type": "object",
    "properties": {"id": {"type": "string"}},
    "required": ["id"],
    "additionalProperties": False,
}
_IMAGES = Form("", {"cache": {"type": "array", "minItems": 1, "items": _IMAGE}}, ("cache",))


def list_all(context: Request) -> Answer:
    """GET /v2.1/os-aggregates."""
    context.enforce(_RULE + "index")
    return ok({"aggregates": [_document(context, each) for each in aggregates.every(context.connection)]})


def show(context: Request, aggregate_id: str) -> Answer:
    """GET /v2.1/os-aggregates/{aggregate_id}."""
    context.enforce(_RULE + "show")
    return _shown(context, _get(context, aggregate_id))


def create(context: Request) -> Answer:
    """POST /v2.1/os-aggregates."""
    context.enforce(_RULE + "create")
    attributes = _CREATION.read(context)
    made = aggregates.create(context.connection, attributes["name"], attributes.get(ZONE), context.now_us)
    document = _document(context, made)
    del document["hosts"], document["metadata"]
    return ok({"aggregate": document})


def change(context: Request, aggregate_id: str) -> Answer:
    """PUT /v2.1/os-aggregates/{aggregate_id}."""
    context.enforce(_RULE + "update")
    found = _get(context, aggregate_id)
    attributes = _CHANGE.read(context)
    if "name" in attributes:
        found = aggregates.rename(context.connection, found, attributes["name"].strip(), context.now_us)
    if ZONE in attributes:
        found = _tell(context, found, {ZONE: attributes[ZONE]})
    return _shown(context, found)


def remove(context: Request, aggregate_id: str) -> Answer:
    """DELETE /v2.1/os-aggregates/{aggregate_id}."""
    context.enforce(_RULE + "delete")
    aggregates.remove(context.connection, _get(context, aggregate_id))
    return Answer(200)


def cache_images(context: Request, aggregate_id: str) -> Answer:
    """POST /v2.1/os-aggregates/{aggregate_id}/images (from 2.81 on): hosts hold no images, so all is done."""
    context.enforce("compute:aggregates:images")
    _get(context, aggregate_id)
    wanted = [each["id"] for each in _IMAGES.read(context)["cache"]]
    if len(set(wanted)) < len(wanted):
        raise Invalid("Duplicate images in request")
    if not all(map(is_uuid, wanted)):
        raise Invalid("Invalid input for field/attribute cache: an id of an image is no UUID.")
    return Answer(202)


def _add_host(context: Request, aggregate_id: str, about: Any) -> Answer:
    context.enforce(_RULE + "add_host")
    host = _ADD.check(about)["host"]
    found = _get(context, aggregate_id)
    hosts.get(context.connection, host)
    _require_zone_stays(context, host, found.zone or _zone_of(context, host), "added to")
    return _shown(context, aggregates.add_host(context.connection, found, host, context.now_us))


def _remove_host(context: Request, aggregate_id: str, about: Any) -> Answer:
    context.enforce(_RULE + "remove_host")
    host = _REMOVE.check(about)["host"]
    found = _get(context, aggregate_id)
    if host not in found.hosts:
        raise _NotIn(host, found)
    left = [each.zone for each in aggregates.of_host(context.connection, host) if each.number != found.number]
    zone = next(filter(None, left), context.parts.settings.availability_zone)
    _require_zone_stays(context, host, zone, "removed from")
    return _shown(context, aggregates.remove_host(context.connection, found, host, context.now_us))


def _set_metadata(context: Request, aggregate_id: str, about: Any) -> Answer:
    context.enforce(_RULE + "set_metadata")
    words = _METADATA.check(about)["metadata"]
    return _shown(context, _tell(context, _get(context, aggregate_id), words))


act = Dispatch({"add_host": _add_host, "remove_host": _remove_host, "set_metadata": _set_metadata})


class _NotIn(NotFound):
    def __init__(self, host: str, found: Aggregate) -> None:
        super().__init__(f"Cannot remove host {host} in aggregate", str(found.number))


def _tell(context: Request, found: Aggregate, words: dict[str, str | None]) -> Aggregate:
    if words.get(ZONE) and words[ZONE] != found.zone:
        for host in found.hosts:
            if presence.on_host(context.connection, host):
                raise Invalid(
                    f"Cannot perform action 'update_meta' on aggregate {found.number}. "
                    "Reason: One or more hosts contain instances in this zone."
                )
    return aggregates.tell(context.connection, found, words, context.now_us)


def _require_zone_stays(context: Request, host: str, zone: str, how: str) -> None:
    """Raise Conflict when servers on a host would be in another zone than they were made in."""
    was = _zone_of(context, host)
    count = len(presence.on_host(context.connection, host))
    if count and zone != was:
        raise Conflict(
            f"The host cannot be {how} the aggregate as the availability zone of the host would change from '{was}' to "
            f"'{zone}' but the host already has {count} instance(s)."
        )


def _zone_of(context: Request, host: str) -> str:
    default = context.parts.settings.availability_zone
    return aggregates.zones(context.connection, [host], default)[host]


def _get(context: Request, aggregate_id: str) -> Aggregate:
    return aggregates.get(context.connection, number(aggregate_id, "id", -(2**31)))


def _shown(context: Request, found: Aggregate) -> Answer:
    return ok({"aggregate": _document(context, found)})


def _document(context: Request, found: Aggregate) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": found.number,
        "name": found.name,
        "hosts": list(found.hosts),
        "metadata": dict(found.metadata),
        ZONE: found.zone,
        "created_at": iso_micro(found.created_at_us),
        "updated_at": iso_micro(found.updated_at_us),
        "deleted": False,
        "deleted_at": None,
    }
    if at_least(context, UUID_SINCE):
        document["uuid"] = found.id
    return document
