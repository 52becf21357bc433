"""JSON schemas of what clients send and see: GET /v2/schemas/… The tools of clients read attributes from them."""

from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.errors import NotFound
from compute.images import attributes
from compute.images.api.context import Context
from compute.images.statuses import MemberStatus, Status, TaskStatus

Document = dict[str, Any]

_MOMENT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["null", "string"]}


def _read_only(definition: Document, description: str) -> Document:
    return {**definition, "readOnly": True, "description": description}


_IMAGE_PROPERTIES: Document = {
    **attributes.SCHEMA["properties"],  # type: ignore[dict-item]  # a mapping, as the module says
    "status": _read_only({"type": "string", "enum": [status.value for status in Status]}, "Status of the image"),
    "size": _read_only({"type": ["null", "integer"]}, "Size of image file in bytes"),
    "virtual_size": _read_only({"type": ["null", "integer"]}, "Virtual size of image in bytes"),
    "checksum": _read_only({"type": ["null", "string"], "maxLength": 32}, "md5 hash of image contents."),
    "os_hash_algo": _read_only({"type": ["null", "string"], "maxLength": 64}, "Algorithm of os_hash_value"),
    "os_hash_value": _read_only({"type": ["null", "string"], "maxLength": 128}, "Digest of the image contents"),
    "created_at": _read_only(_MOMENT, "Date and time of image registration"),
    "updated_at": _read_only(_MOMENT, "Date and time of the last image modification"),
    "stores": _read_only({"type": "string"}, "Stores in which the image data is"),
    "self": _read_only({"type": "string"}, "An image self url"),
    "file": _read_only({"type": "string"}, "An image file url"),
    "schema": _read_only({"type": "string"}, "An image schema url"),
}
_IMAGE: Document = {
    "name": "image",
    "properties": _IMAGE_PROPERTIES,
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
_MEMBER: Document = {
    "name": "member",
    "properties": {
        "created_at": _MOMENT,
        "image_id": {"type": "string", "pattern": attributes.ID_PATTERN},
        "member_id": {"type": "string"},
        "status": {"type": "string", "enum": [status.value for status in MemberStatus]},
        "updated_at": _MOMENT,
        "schema": {"type": "string", "readOnly": True},
    },
}
_TASK: Document = {
    "name": "task",
    "properties": {
        "id": {"type": "string", "pattern": attributes.ID_PATTERN},
        "type": {"type": "string", "enum": ["api_image_import"]},
        "status": {"type": "string", "enum": [status.value for status in TaskStatus]},
        "input": {"type": ["null", "object"]},
        "result": {"type": ["null", "object"]},
        "owner": {"type": "string"},
        "message": {"type": "string"},
        "image_id": {"type": "string"},
        "request_id": {"type": "string"},
        "user_id": {"type": "string"},
        "expires_at": _TEXT_OR_NULL,
        "created_at": _MOMENT,
        "updated_at": _MOMENT,
        "self": {"type": "string"},
        "schema": {"type": "string"},
    },
}


def _list_of(item: Document) -> Document:
    """Return the schema of a page of listings."""
    name = f"{item['name']}s"
    return {
        "name": name,
        "properties": {
            name: {"type": "array", "items": item},
            "schema": {"type": "string"},
            "first": {"type": "string"},
            "next": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


SCHEMAS: dict[str, Document] = {
    schema["name"]: schema for item in (_IMAGE, _MEMBER, _TASK) for schema in (item, _list_of(item))
}


def show(_context: Context, name: str) -> Answer:
    """GET /v2/schemas/{name}."""
    if name not in SCHEMAS:
        raise NotFound(f"There is no schema {name}.")
    return ok(SCHEMAS[name])
