"""Changes of an image as clients send them: JSON patches, of a kind of its own.

    [{"op": "replace", "path": "/name", "value": "n"}]     application/openstack-images-v2.1-json-patch
    [{"replace": "/name", "value": "n"}]                   application/openstack-images-v2.0-json-patch

Sources: the Images API's reference, "Update image"; RFC 6901 for paths. Paths lead to attributes, not into them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from compute.errors import BadRequest, Conflict, Forbidden, Unsupported
from compute.images import attributes
from compute.images.records import Image
from compute.images.settings import Settings

V2_0 = "application/openstack-images-v2.0-json-patch"
V2_1 = "application/openstack-images-v2.1-json-patch"
MEDIA_TYPES = (V2_0, V2_1)
CHANGES_LIMIT = 1000

_OPERATIONS = ("add", "remove", "replace")
_PATH = re.compile(r"/((?:[^/~]|~[01])+)")


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one attribute."""

    operation: str  # add, remove, replace
    name: str  # of the attribute
    value: Any = None


def parse(media_type: str, document: object) -> list[Change]:
    """Return the changes that `document` asks for. Raise BadRequest, Unsupported."""
    if media_type not in MEDIA_TYPES:
        raise Unsupported(f"Unsupported content type: {media_type}. One of {', '.join(MEDIA_TYPES)} is expected.")
    if not isinstance(document, list) or len(document) > CHANGES_LIMIT:
        raise BadRequest("Request body must be a JSON array of operation objects.")
    return [_change(each, media_type) for each in document]


def applied(image: Image, changes: Sequence[Change], settings: Settings) -> Image:
    """Return `image` with `changes`. Raise BadRequest, Conflict, Forbidden, OverLimit."""
    new = image
    for change in changes:
        attributes.refuse_foreign(change.name)
        if change.name == "id":
            raise Forbidden("Attribute 'id' is read-only.")
        if change.operation == "remove":
            new = _without(new, change.name)
            continue
        if change.operation == "replace" and change.name not in attributes.FIELDS and (
            change.name not in new.properties
        ):
            raise Conflict(f"Property {change.name} does not exist.")
        document = {change.name: change.value}
        attributes.check(document)
        new = attributes.with_attributes(new, document)
    attributes.check_whole(new, settings)
    attributes.check_format_change(image, new)
    return new


def _without(image: Image, name: str) -> Image:
    if name in attributes.BASE:
        raise Forbidden(f"Property {name} may not be removed.")
    if name not in image.properties:
        raise Conflict(f"Property {name} does not exist.")
    return replace(image, properties={each: value for each, value in image.properties.items() if each != name})


def _change(change: object, media_type: str) -> Change:
    if not isinstance(change, Mapping):
        raise BadRequest("Operations must be JSON objects.")
    operation, path = _operation_2_1(change) if media_type == V2_1 else _operation_2_0(change)
    match = _PATH.fullmatch(path) if isinstance(path, str) else None
    if match is None:
        raise BadRequest(f"Invalid JSON pointer for this resource: '{path}'")
    if operation != "remove" and "value" not in change:
        raise BadRequest(f"Operation \"{operation}\" requires a member named \"value\".")
    name = match.group(1).replace("~1", "/").replace("~0", "~")
    return Change(operation, name, change.get("value"))


def _operation_2_1(change: Mapping[str, Any]) -> tuple[str, object]:
    operation = change.get("op")
    if operation not in _OPERATIONS:
        raise BadRequest(f"Unable to find '{operation}' in JSON Schema change: `op` must be one of {_OPERATIONS}.")
    if "path" not in change:
        raise BadRequest("Operation objects must contain a member named \"path\".")
    return str(operation), change["path"]


def _operation_2_0(change: Mapping[str, Any]) -> tuple[str, object]:
    found = [name for name in _OPERATIONS if name in change]
    if len(found) != 1:
        raise BadRequest(f"Operation objects must contain exactly one member of {', '.join(_OPERATIONS)}.")
    return found[0], change[found[0]]
