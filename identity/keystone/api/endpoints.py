"""Operations on endpoints. `region` is an older name of `region_id`; what it names is made unless it is there."""

from collections.abc import Mapping
from typing import Any

from cluster.controlplane.answer import NO_CONTENT, Answer, created, ok
from identity.keystone import endpoints, regions
from identity.keystone.api.context import Context
from identity.keystone.api.forms import BOOLEAN, ID, NAME, Form
from identity.keystone.api.listing import Document, collection, shown
from identity.keystone.endpoints import INTERFACES, Endpoint
from identity.keystone.records import changed, made

_REGION = {**NAME, "type": ["string", "null"]}
_FORM = Form(
    "endpoint",
    {
        "service_id": ID,
        "interface": {"enum": list(INTERFACES)},
        "url": {"type": "string", "minLength": 1, "maxLength": 2048},
        "region": _REGION,
        "region_id": _REGION,
        "enabled": BOOLEAN,
    },
    required=("service_id", "interface", "url"),
)


def document_of(context: Context, endpoint: Endpoint) -> Document:
    """Return what clients see of an endpoint."""
    return {**shown(context, "endpoints", endpoint), "region": endpoint.region_id}


def list_all(context: Context) -> Answer:
    """GET /v3/endpoints."""
    context.enforce("identity:list_endpoints")
    query = context.query
    found = endpoints.list_all(
        context.connection, query.get("service_id"), query.get("interface"), query.get("region_id")
    )
    return collection(context, "endpoints", [document_of(context, endpoint) for endpoint in found])


def create(context: Context) -> Answer:
    """POST /v3/endpoints."""
    context.enforce("identity:create_endpoint")
    endpoint = made(Endpoint, _with_region(context, _FORM.for_creation(context)))
    return created({"endpoint": document_of(context, endpoints.create(context.connection, endpoint))})


def show(context: Context, endpoint_id: str) -> Answer:
    """GET /v3/endpoints/{endpoint_id}."""
    context.enforce("identity:get_endpoint")
    return ok({"endpoint": document_of(context, endpoints.get(context.connection, endpoint_id))})


def change(context: Context, endpoint_id: str) -> Answer:
    """PATCH /v3/endpoints/{endpoint_id}."""
    context.enforce("identity:update_endpoint")
    endpoint = endpoints.get(context.connection, endpoint_id)
    endpoint = changed(endpoint, _with_region(context, _FORM.for_change(context)))
    return ok({"endpoint": document_of(context, endpoints.replace(context.connection, endpoint))})


def remove(context: Context, endpoint_id: str) -> Answer:
    """DELETE /v3/endpoints/{endpoint_id}."""
    context.enforce("identity:delete_endpoint")
    endpoints.remove(context.connection, endpoint_id)
    return NO_CONTENT


def _with_region(context: Context, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `attributes` with the region under its newer name, and have it be there."""
    kept = {name: value for name, value in attributes.items() if name != "region"}
    region_id = attributes.get("region")
    if region_id is not None and "region_id" not in kept:
        regions.ensure(context.connection, region_id)
        kept["region_id"] = region_id
    return kept
