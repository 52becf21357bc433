"""That volumes of a type are encrypted: by the gateway, whatever is asked for in particular."""

from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.actions import ACCEPTED
from compute.records import new_id
from compute.volumes import volume_types
from compute.volumes.api.forms import REQUIRED_NAME, TEXT, Form
from compute.volumes.api.requests import Request
from compute.volumes.errors import Conflict, NotFound
from compute.volumes.moments import iso
from compute.volumes.volume_types import Encryption

_ENCRYPTION = {
    "provider": REQUIRED_NAME,
    "control_location": {"enum": ["front-end", "back-end"]},
    "cipher": TEXT,
    "key_size": {"type": ["integer", "null"], "minimum": 0},
}
_ENCRYPTION_CREATION = Form("encryption", _ENCRYPTION, required=("provider", "control_location"))
_ENCRYPTION_CHANGE = Form("encryption", _ENCRYPTION)


def show(context: Request, type_id: str) -> Answer:
    """GET /v3/types/{type_id}/encryption: {} when volumes of the type are not encrypted."""
    context.enforce("volume_extension:volume_type_encryption:get")
    volume_types.get(context.connection, type_id)
    found = volume_types.encryption(context.connection, type_id)
    if found is None:
        return ok({})
    return ok(
        {
            **_encryption(found),
            "volume_type_id": type_id,
            "created_at": iso(found.created_at_us),
            "updated_at": iso(found.updated_at_us),
            "deleted": False,
            "deleted_at": None,
        }
    )


def show_attribute(context: Request, type_id: str, key: str) -> Answer:
    """GET /v3/types/{type_id}/encryption/{key}: one attribute."""
    context.enforce("volume_extension:volume_type_encryption:get")
    found = _encryption_of(context, type_id)
    told = _encryption(found)
    if key not in told:
        raise NotFound("Encryption spec", key)
    return ok({key: told[key]})


def create(context: Request, type_id: str) -> Answer:
    """POST /v3/types/{type_id}/encryption: from now on volumes of the type are encrypted, by the gateway."""
    context.enforce("volume_extension:volume_type_encryption:create")
    volume_types.get(context.connection, type_id)
    attributes = _ENCRYPTION_CREATION.read(context)
    if volume_types.encryption(context.connection, type_id) is not None:
        raise Conflict(f"Volume type encryption for type {type_id} already exists.")
    made = volume_types.set_encryption(
        context.connection,
        Encryption(
            type_id,
            new_id(),
            attributes["provider"],
            attributes["control_location"],
            context.now_us,
            attributes.get("cipher"),
            attributes.get("key_size"),
        ),
    )
    return ok({"encryption": _encryption(made)})


def change(context: Request, type_id: str, key: str) -> Answer:
    """PUT /v3/types/{type_id}/encryption/{key}."""
    context.enforce("volume_extension:volume_type_encryption:update")
    found = _encryption_of(context, type_id, key)
    attributes = _ENCRYPTION_CHANGE.read(context)
    names = ("provider", "control_location", "cipher", "key_size")
    told = {name: attributes.get(name, getattr(found, name)) for name in names}
    changed = Encryption(type_id, found.id, created_at_us=found.created_at_us, updated_at_us=context.now_us, **told)
    volume_types.set_encryption(context.connection, changed)
    return ok({"encryption": {name: value for name, value in told.items() if name in attributes}})


def remove(context: Request, type_id: str, key: str) -> Answer:
    """DELETE /v3/types/{type_id}/encryption/{key}."""
    context.enforce("volume_extension:volume_type_encryption:delete")
    _encryption_of(context, type_id, key)
    volume_types.remove_encryption(context.connection, type_id)
    return ACCEPTED


def _encryption_of(context: Request, type_id: str, encryption_id: str | None = None) -> Encryption:
    volume_types.get(context.connection, type_id)
    found = volume_types.encryption(context.connection, type_id)
    if found is None or encryption_id not in (None, found.id, "provider"):
        raise NotFound("Volume type encryption for type", type_id)
    return found


def _encryption(found: Encryption) -> dict[str, Any]:
    return {
        "volume_type_id": found.volume_type_id,
        "encryption_id": found.id,
        "provider": found.provider,
        "control_location": found.control_location,
        "cipher": found.cipher,
        "key_size": found.key_size,
    }
