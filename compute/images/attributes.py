"""Which attributes of an image are whose: the client's to set, the service's alone, or the client's own properties.

Source: the Images API's reference, "Update image"; Glance's read-only and reserved attributes.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cluster.controlplane.schema import Schema
from compute.errors import Forbidden, OverLimit
from compute.images.formats import declared
from compute.images.records import Image
from compute.images.settings import Settings
from compute.images.statuses import Status, Visibility

READ_ONLY = frozenset((
    "created_at", "updated_at", "status", "checksum", "size", "virtual_size", "direct_url", "self", "file", "schema",
    "os_hash_algo", "os_hash_value", "stores", "locations",
))
RESERVED = frozenset(("location", "deleted", "deleted_at"))
RESERVED_PREFIX = "os_glance_"
FIELDS: Mapping[str, str] = {  # of Image, by the name of the attribute
    "name": "name",
    "visibility": "visibility",
    "owner": "owner",
    "disk_format": "disk_format",
    "container_format": "container_format",
    "min_disk": "min_disk",
    "min_ram": "min_ram",
    "protected": "protected",
    "os_hidden": "hidden",
    "tags": "tags",
}
BASE = frozenset((*FIELDS, *READ_ONLY, "id"))
ID_PATTERN = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
NUMBER_LIMIT = 2**31 - 1
TEXT_LIMIT = 65_535

SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": ID_PATTERN},
        "name": {"type": ["null", "string"], "maxLength": 255},
        "visibility": {"type": "string", "enum": [each.value for each in Visibility]},
        "owner": {"type": ["null", "string"], "maxLength": 255},
        "disk_format": {"type": ["null", "string"], "enum": [None, *declared.DISK_FORMATS]},
        "container_format": {"type": ["null", "string"], "enum": [None, *declared.CONTAINER_FORMATS]},
        "min_disk": {"type": "integer", "minimum": 0, "maximum": NUMBER_LIMIT},
        "min_ram": {"type": "integer", "minimum": 0, "maximum": NUMBER_LIMIT},
        "protected": {"type": "boolean"},
        "os_hidden": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 255}},
    },
    "propertyNames": {"minLength": 1, "maxLength": 255},
    "additionalProperties": {"type": "string", "maxLength": TEXT_LIMIT},
}
_SCHEMA = Schema(SCHEMA)
_ID = re.compile(ID_PATTERN)


def is_id(text: str) -> bool:
    """Tell whether an image could have this id."""
    return _ID.fullmatch(text) is not None


def refuse_foreign(name: str) -> None:
    """Raise Forbidden for an attribute that clients do not set."""
    if name in READ_ONLY:
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        raise Forbidden(f"Attribute '{name}' is reserved.")


def check(document: Mapping[str, Any]) -> None:
    """Raise BadRequest's kind, naming the attribute, unless `document` has what an image may have."""
    _SCHEMA.check(document)


def with_attributes(image: Image, document: Mapping[str, Any]) -> Image:
    """Return `image` with the attributes and properties in `document`, which was checked."""
    known = {FIELDS[name]: value for name, value in document.items() if name in FIELDS}
    if "visibility" in known:
        known["visibility"] = Visibility(known["visibility"])
    if "tags" in known:
        known["tags"] = tuple(dict.fromkeys(known["tags"]))
    more = {name: value for name, value in document.items() if name not in BASE}
    return replace(image, **known, properties={**image.properties, **more})


def check_whole(image: Image, settings: Settings) -> None:
    """Raise BadRequest, OverLimit unless the attributes of an image go together."""
    declared.check(image.disk_format, image.container_format)
    for what, count, most in (
        ("properties", len(image.properties), settings.max_properties),
        ("tags", len(image.tags), settings.max_tags),
    ):
        if count > most:
            raise OverLimit(
                f"The limit has been exceeded on the number of allowed image {what}. "
                f"Attempted: {count}, Maximum: {most}"
            )


def check_format_change(old: Image, new: Image) -> None:
    """Raise Forbidden when formats are changed of what has data, or is about to."""
    for name in ("disk_format", "container_format"):
        if getattr(old, name) != getattr(new, name) and old.status is not Status.QUEUED:
            raise Forbidden(f"Attribute {name} can be only replaced for a queued image.")


