"""Operations on regions."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cluster.controlplane.answer import NO_CONTENT, Answer, created, ok
from identity.keystone import regions
from identity.keystone.api.context import Context
from identity.keystone.api.forms import NAME, TEXT_OR_NULL, Form, without_nulls
from identity.keystone.api.listing import collection, shown
from identity.keystone.errors import BadRequest
from identity.keystone.records import changed, made
from identity.keystone.regions import Region

_FORM = Form(
    "region",
    {
        "id": {**NAME, "minLength": 0, "pattern": ""},
        "description": TEXT_OR_NULL,
        "parent_region_id": {**NAME, "type": ["string", "null"]},
    },
    required=(),
)


def list_all(context: Context) -> Answer:
    """GET /v3/regions."""
    context.enforce("identity:list_regions")
    found = regions.list_all(context.connection, context.query.get("parent_region_id"))
    return collection(context, "regions", [shown(context, "regions", region) for region in found])


def create(context: Context) -> Answer:
    """POST /v3/regions; the client may choose the id."""
    context.enforce("identity:create_region")
    return _create(context, _FORM.for_creation(context))


def create_with_id(context: Context, region_id: str) -> Answer:
    """PUT /v3/regions/{region_id}."""
    context.enforce("identity:create_region")
    attributes = _FORM.for_creation(context)
    if attributes.setdefault("id", region_id) != region_id:
        raise BadRequest("The id of the region is another one in the body than in the path.")
    return _create(context, attributes)


def show(context: Context, region_id: str) -> Answer:
    """GET /v3/regions/{region_id}."""
    context.enforce("identity:get_region")
    return ok({"region": shown(context, "regions", regions.get(context.connection, region_id))})


def change(context: Context, region_id: str) -> Answer:
    """PATCH /v3/regions/{region_id}."""
    context.enforce("identity:update_region")
    attributes = without_nulls(_FORM.for_change(context), "description")
    region = changed(regions.get(context.connection, region_id), attributes)
    return ok({"region": shown(context, "regions", regions.replace(context.connection, region))})


def remove(context: Context, region_id: str) -> Answer:
    """DELETE /v3/regions/{region_id}: those inside it go, too."""
    context.enforce("identity:delete_region")
    regions.remove(context.connection, region_id)
    return NO_CONTENT


def _create(context: Context, attributes: Mapping[str, Any]) -> Answer:
    region = made(Region, without_nulls(attributes, "description"))
    if attributes.get("id"):
        region = replace(region, id=attributes["id"])
    return created({"region": shown(context, "regions", regions.create(context.connection, region))})
