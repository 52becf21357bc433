"""Operations on volume types. What belongs to them: type_specs, type_access, type_encryption, default_types."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, or_

from cluster.controlplane.answer import Answer, ok
from compute.actions import ACCEPTED
from compute.records import new_id, record_of
from compute.volumes import volume_types
from compute.volumes.api import lists, type_specs
from compute.volumes.api.forms import BOOLEAN, REQUIRED_NAME, TEXT, WORDS, Form, truth, words
from compute.volumes.api.requests import Request, at_least, own_target, sees_all
from compute.volumes.errors import Invalid, NotFound
from compute.volumes.listing import Listed
from compute.volumes.schema import volume_types as table
from compute.volumes.volume_types import VolumeType

LISTED = Listed(
    what="Volume type",
    table=table,
    filters={"id": "id", "name": "name", "description": "description"},
    sort_keys={"id": "id", "name": "name", "created_at": "created_at_us", "updated_at": "updated_at_us"},
)
_CREATION = Form(
    "volume_type",
    {
        "name": REQUIRED_NAME,
        "description": TEXT,
        "extra_specs": WORDS,
        "os-volume-type-access:is_public": BOOLEAN,
    },
    required=("name",),
)
_CHANGE = Form(
    "volume_type",
    {"name": {**REQUIRED_NAME, "type": ["string", "null"]}, "description": TEXT, "is_public": BOOLEAN},
)


def list_all(context: Request) -> Answer:
    """GET /v3/types."""
    context.enforce("volume_extension:type_get_all", own_target(context))
    conditions: list[Any] = []
    if not sees_all(context):
        own = volume_types.types_of(context.connection, context.project_id)
        conditions.append(or_(table.c.is_public, table.c.id.in_(own)))
    elif context.query.get("is_public", "none").lower() != "none":
        conditions.append(table.c.is_public == truth(context.query["is_public"], "is_public"))
    special: dict[str, lists.Special] = {}
    if at_least(context, type_specs.SINCE):
        special["extra_specs"] = lambda text: table.c.id.in_(type_specs.having(context, lists.dictionary(text)))
    return lists.page_of(context, LISTED, "volume_types", _documents, conditions, special, ignored=("is_public",))


def show(context: Request, type_id: str) -> Answer:
    """GET /v3/types/{type_id}; `default` is the one that volumes of the project have when none is named."""
    context.enforce("volume_extension:type_get", own_target(context))
    if type_id == "default":
        return ok({"volume_type": _document(context, volume_types.default(context.connection, context.project_id))})
    found = volume_types.visible(context.connection, type_id, context.project_id, sees_all(context))
    if found.id != type_id:
        raise NotFound("Volume type", type_id)
    return ok({"volume_type": _document(context, found)})


def create(context: Request) -> Answer:
    """POST /v3/types."""
    context.enforce("volume_extension:type_create")
    attributes = _CREATION.read(context)
    made = volume_types.create(
        context.connection,
        VolumeType(
            new_id(),
            attributes["name"].strip(),
            context.now_us,
            attributes.get("description"),
            truth(attributes.get("os-volume-type-access:is_public", True), "is_public"),
            type_specs.checked(words(attributes.get("extra_specs"))),
        ),
    )
    return ok({"volume_type": _brief(context, made)})


def change(context: Request, type_id: str) -> Answer:
    """PUT /v3/types/{type_id}."""
    context.enforce("volume_extension:type_update")
    found = volume_types.get(context.connection, type_id)
    attributes = _CHANGE.read(context)
    columns: dict[str, Any] = {}
    if attributes.get("name") is not None:
        columns["name"] = attributes["name"].strip()
    if "description" in attributes:
        columns["description"] = attributes["description"]
    if "is_public" in attributes:
        columns["is_public"] = truth(attributes["is_public"], "is_public")
    if not columns:
        raise Invalid("Specify volume type name, description, is_public or a combination thereof.")
    changed = volume_types.change(context.connection, found, context.now_us, **columns)
    told = _brief(context, changed)
    del told["os-volume-type-access:is_public"]
    return ok({"volume_type": told})


def remove(context: Request, type_id: str) -> Answer:
    """DELETE /v3/types/{type_id}."""
    context.enforce("volume_extension:type_delete")
    volume_types.remove(context.connection, volume_types.get(context.connection, type_id))
    return ACCEPTED


def _documents(context: Request, rows: "Sequence[Row[Any]]") -> list[dict[str, Any]]:
    return [_document(context, record_of(VolumeType, row)) for row in rows]


def _document(context: Request, found: VolumeType) -> dict[str, Any]:
    document = _brief(context, found)
    if sees_all(context):
        document["qos_specs_id"] = found.qos_specs_id
    return document


def _brief(context: Request, found: VolumeType) -> dict[str, Any]:
    return {
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "is_public": found.is_public,
        "os-volume-type-access:is_public": found.is_public,
        "extra_specs": type_specs.shown(context, found),
    }
