"""Operations on QoS specs: for administrators."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from cluster.controlplane.answer import Answer, ok
from compute.actions import ACCEPTED
from compute.microversions import writing
from compute.records import new_id, record_of
from compute.volumes import qos_specs, volume_types
from compute.volumes.api import lists
from compute.volumes.api.forms import REQUIRED_NAME, WORDS, Form, truth, words
from compute.volumes.api.requests import Request, links
from compute.volumes.errors import Invalid, NotFound
from compute.volumes.listing import Listed
from compute.volumes.qos_specs import CONSUMERS, QosSpecs
from compute.volumes.schema import qos_specs as table

LISTED = Listed(
    what="QoS specs",
    table=table,
    filters={"id": "id", "name": "name", "consumer": "consumer"},
    sort_keys={"id": "id", "name": "name", "created_at": "created_at_us", "consumer": "consumer"},
)
_SPECS = WORDS["additionalProperties"]
_CREATION = Form(
    "qos_specs", {"name": REQUIRED_NAME, "consumer": {"enum": [*CONSUMERS, None]}}, required=("name",), more=_SPECS
)
_CHANGE = Form("qos_specs", {"consumer": {"enum": list(CONSUMERS)}}, more=_SPECS)
_RULE = "volume_extension:qos_specs_manage:"


def list_all(context: Request) -> Answer:
    """GET /v3/qos-specs."""
    context.enforce(_RULE + "get_all")
    return lists.page_of(context, LISTED, "qos_specs", _documents, [])


def show(context: Request, qos_id: str) -> Answer:
    """GET /v3/qos-specs/{qos_id}."""
    context.enforce(_RULE + "get")
    return _shown(context, qos_specs.get(context.connection, qos_id))


def create(context: Request) -> Answer:
    """POST /v3/qos-specs."""
    context.enforce(_RULE + "create")
    attributes = _CREATION.read(context)
    specs = words({name: value for name, value in attributes.items() if name not in ("name", "consumer")})
    made = qos_specs.create(
        context.connection,
        QosSpecs(
            new_id(),
            attributes["name"].strip(),
            attributes.get("consumer") or qos_specs.BACK_END,
            context.now_us,
            specs,
        ),
    )
    return _shown(context, made)


def change(context: Request, qos_id: str) -> Answer:
    """PUT /v3/qos-specs/{qos_id}: add specs, or change them."""
    context.enforce(_RULE + "update")
    found = qos_specs.get(context.connection, qos_id)
    attributes = _CHANGE.read(context)
    specs = words({name: value for name, value in attributes.items() if name != "consumer"})
    consumer = attributes.get("consumer", found.consumer)
    qos_specs.change(context.connection, found.id, context.now_us, specs={**found.specs, **specs}, consumer=consumer)
    return ok({"qos_specs": words(attributes)})


def remove_keys(context: Request, qos_id: str) -> Answer:
    """PUT /v3/qos-specs/{qos_id}/delete_keys."""
    context.enforce(_RULE + "update")
    found = qos_specs.get(context.connection, qos_id)
    keys = context.document.get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Invalid("Invalid input for field/attribute keys: a list of names is needed.")
    missing = [key for key in keys if key not in found.specs]
    if missing:
        raise NotFound(f"QoS spec {qos_id} has no spec with key", missing[0])
    left = {name: value for name, value in found.specs.items() if name not in keys}
    qos_specs.change(context.connection, found.id, context.now_us, specs=left)
    return ACCEPTED


def remove(context: Request, qos_id: str) -> Answer:
    """DELETE /v3/qos-specs/{qos_id}."""
    context.enforce(_RULE + "delete")
    found = qos_specs.get(context.connection, qos_id)
    qos_specs.remove(context.connection, found.id, truth(context.query.get("force", "false"), "force"))
    return ACCEPTED


def list_associations(context: Request, qos_id: str) -> Answer:
    """GET /v3/qos-specs/{qos_id}/associations."""
    context.enforce(_RULE + "get")
    qos_specs.get(context.connection, qos_id)
    found = qos_specs.types_with(context.connection, qos_id)
    told = [{"association_type": "volume_type", "name": each.name, "id": each.id} for each in found]
    return ok({"qos_associations": told})


@writing
def associate(context: Request, qos_id: str) -> Answer:
    """GET /v3/qos-specs/{qos_id}/associate?vol_type_id=…"""
    context.enforce(_RULE + "update")
    qos_specs.get(context.connection, qos_id)
    qos_specs.associate(context.connection, qos_id, _type_id(context))
    return ACCEPTED


@writing
def disassociate(context: Request, qos_id: str) -> Answer:
    """GET /v3/qos-specs/{qos_id}/disassociate?vol_type_id=…"""
    context.enforce(_RULE + "update")
    qos_specs.get(context.connection, qos_id)
    qos_specs.disassociate(context.connection, qos_id, _type_id(context))
    return ACCEPTED


@writing
def disassociate_all(context: Request, qos_id: str) -> Answer:
    """GET /v3/qos-specs/{qos_id}/disassociate_all."""
    context.enforce(_RULE + "update")
    qos_specs.get(context.connection, qos_id)
    qos_specs.disassociate_all(context.connection, qos_id)
    return ACCEPTED


def _type_id(context: Request) -> str:
    found = context.query.get("vol_type_id")
    if not found:
        raise Invalid("Volume Type id must not be None.")
    return volume_types.get(context.connection, found).id


def _shown(context: Request, found: QosSpecs) -> Answer:
    return ok({"qos_specs": _document(found), "links": links(context, f"qos-specs/{found.id}")})


def _documents(_context: Request, rows: "Sequence[Row[Any]]") -> list[dict[str, Any]]:
    return [_document(record_of(QosSpecs, row)) for row in rows]


def _document(found: QosSpecs) -> dict[str, Any]:
    return {"id": found.id, "name": found.name, "consumer": found.consumer, "specs": dict(found.specs)}
