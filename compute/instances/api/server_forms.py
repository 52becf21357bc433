"""What a request for a server may say, by the version that the client speaks."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cluster.controlplane.schema import Schema
from compute.instances.api.forms import BOOLEAN, LOOSE_NAME, METADATA, NAME_LIMIT, NUMBER, TEXT

Property = Mapping[str, Any]

ID: Property = {"type": "string", "minLength": 1, "maxLength": NAME_LIMIT}
ID_OR_NULL: Property = {"type": ["string", "null"], "maxLength": NAME_LIMIT}
UUID: Property = {"type": "string", "pattern": r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$"}
UUID_OR_EMPTY: Property = {
    "type": ["string", "null"],
    "pattern": r"^$|^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$",
}
USER_DATA: Property = {"type": ["string", "null"], "maxLength": 65_535, "pattern": r"^[A-Za-z0-9+/=\s]*$"}
TAG: Property = {"type": "string", "minLength": 1, "maxLength": 60, "pattern": r"^[^,/]*$"}
TAGS: Property = {"type": "array", "items": TAG, "maxItems": 50}
HOST_NAME: Property = {
    "type": "string",
    "minLength": 1,
    "maxLength": 63,
    "pattern": r"^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$|^[a-zA-Z0-9]$",
}
FULL_HOST_NAME: Property = {
    "type": "string",
    "minLength": 2,
    "maxLength": 255,
    "pattern": r"^[a-zA-Z0-9]+[a-zA-Z0-9-.]*[a-zA-Z0-9]+$",
}
ADDRESS_4: Property = {"type": ["string", "null"], "format": "ipv4", "pattern": r"^$|^(\d{1,3}\.){3}\d{1,3}$"}
ADDRESS_6: Property = {"type": ["string", "null"], "maxLength": 64, "pattern": r"^$|^[0-9a-fA-F:.]+$"}
DISK_CONFIG: Property = {"enum": ["AUTO", "MANUAL"]}
DEVICE_NAME: Property = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[a-zA-Z0-9._\-/]*$"}
_HINT: Property = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_HINTS: Property = {
    "type": "object",
    "properties": {
        "group": UUID,
        "different_host": _HINT,
        "same_host": _HINT,
        "query": {"type": ["string", "object"]},
        "target_cell": {"type": "string"},
        "different_cell": {},
        "build_near_host_ip": {"type": "string"},
        "cidr": {"type": "string"},
    },
    "additionalProperties": True,
}
HINTS = ("os:scheduler_hints", "OS-SCH-HNT:scheduler_hints")


@lru_cache(maxsize=128)
def creation(minor: int) -> Schema:
    """Return what a request for a new server may be."""
    server: dict[str, Property] = {
        "name": LOOSE_NAME,
        "imageRef": {"type": ["string", "null"], "maxLength": 1024},
        "flavorRef": {"type": ["string", "integer"], "minLength": 1},
        "adminPass": {"type": "string", "maxLength": 255},
        "metadata": METADATA,
        "networks": _networks(minor),
        "OS-DCF:diskConfig": DISK_CONFIG,
        "accessIPv4": ADDRESS_4,
        "accessIPv6": ADDRESS_6,
        "availability_zone": {"type": ["string", "null"], "minLength": 1, "maxLength": 255},
        "block_device_mapping": {"type": "array", "items": _MAPPING_1},
        "block_device_mapping_v2": {"type": "array", "items": _mapping_2(minor)},
        "config_drive": {"anyOf": [BOOLEAN, {"type": "null"}, {"const": ""}]},
        "key_name": {"type": ["string", "null"], "maxLength": NAME_LIMIT},
        "min_count": {**NUMBER, "minimum": 1, "minLength": 1},
        "max_count": {**NUMBER, "minimum": 1, "minLength": 1},
        "return_reservation_id": BOOLEAN,
        "security_groups": {
            "type": "array",
            "items": {"type": "object", "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 255}}},
        },
        "user_data": USER_DATA,
        "os:scheduler_hints": _HINTS,
    }
    if minor < 57:
        server["personality"] = PERSONALITY
    if minor >= 19:
        server["description"] = TEXT
    if minor >= 52:
        server["tags"] = TAGS
    if minor >= 63:
        server["trusted_image_certificates"] = {"type": ["array", "null"], "items": {"type": "string"}, "maxItems": 50}
    if minor >= 74:
        server |= {"host": ID, "hypervisor_hostname": ID}
    if minor >= 90:
        server["hostname"] = FULL_HOST_NAME if minor >= 94 else HOST_NAME
    required = ["name", "flavorRef"] + (["networks"] if minor >= 37 else [])
    about = {"type": "object", "properties": server, "required": required, "additionalProperties": False}
    return Schema(
        {
            "type": "object",
            "properties": {"server": about, **dict.fromkeys(HINTS, _HINTS)},
            "required": ["server"],
            "additionalProperties": False,
        }
    )


@lru_cache(maxsize=128)
def rebuilding(minor: int) -> Schema:
    """Return what a request to make a server anew may be."""
    properties: dict[str, Property] = {
        "imageRef": {"type": "string", "minLength": 1, "maxLength": 1024},
        "name": LOOSE_NAME,
        "adminPass": {"type": "string", "maxLength": 255},
        "metadata": METADATA,
        "preserve_ephemeral": BOOLEAN,
        "OS-DCF:diskConfig": DISK_CONFIG,
        "accessIPv4": ADDRESS_4,
        "accessIPv6": ADDRESS_6,
    }
    if minor < 57:
        properties["personality"] = PERSONALITY
    if minor >= 19:
        properties["description"] = TEXT
    if minor >= 54:
        properties["key_name"] = {"type": ["string", "null"], "maxLength": NAME_LIMIT}
    if minor >= 57:
        properties["user_data"] = USER_DATA
    if minor >= 63:
        properties["trusted_image_certificates"] = {"type": ["array", "null"], "items": {"type": "string"}}
    if minor >= 90:
        properties["hostname"] = FULL_HOST_NAME if minor >= 94 else HOST_NAME
    about = {"type": "object", "properties": properties, "required": ["imageRef"], "additionalProperties": False}
    return Schema({"type": "object", "properties": {"rebuild": about}, "required": ["rebuild"]})


@lru_cache(maxsize=128)
def change(minor: int) -> Schema:
    """Return what a change of a server may be."""
    properties: dict[str, Property] = {
        "name": LOOSE_NAME,
        "OS-DCF:diskConfig": DISK_CONFIG,
        "accessIPv4": ADDRESS_4,
        "accessIPv6": ADDRESS_6,
    }
    if minor >= 19:
        properties["description"] = TEXT
    if minor >= 90:
        properties["hostname"] = FULL_HOST_NAME if minor >= 94 else HOST_NAME
    about = {"type": "object", "properties": properties, "additionalProperties": False}
    return Schema(
        {"type": "object", "properties": {"server": about}, "required": ["server"], "additionalProperties": False}
    )


PERSONALITY: Property = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "contents": {"type": "string"}},
        "additionalProperties": False,
    },
}
_SIZE: Property = {**NUMBER, "minimum": 1, "minLength": 1}
_MAPPING_1: Property = {
    "type": "object",
    "properties": {
        "virtual_name": {"type": "string", "maxLength": 255},
        "volume_id": UUID,
        "snapshot_id": UUID,
        "volume_size": {**NUMBER, "type": ["integer", "string", "null"]},
        "device_name": DEVICE_NAME,
        "delete_on_termination": BOOLEAN,
        "no_device": {"type": ["string", "boolean", "null"]},
        "connection_info": {"type": "string"},
    },
    "additionalProperties": False,
}


def _mapping_2(minor: int) -> Property:
    properties: dict[str, Property] = {
        "virtual_name": {"type": "string", "maxLength": 255},
        "volume_id": UUID,
        "snapshot_id": UUID,
        "image_id": UUID,
        "uuid": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[a-zA-Z0-9._-]*$"},
        "volume_size": {**NUMBER, "type": ["integer", "string", "null"]},
        "device_name": {**DEVICE_NAME, "type": ["string", "null"]},
        "delete_on_termination": BOOLEAN,
        "no_device": {"type": ["string", "boolean", "null"]},
        "connection_info": {"type": "string"},
        "source_type": {"enum": ["volume", "image", "snapshot", "blank"]},
        "destination_type": {"enum": ["volume", "local"]},
        "guest_format": {"type": ["string", "null"], "maxLength": 255},
        "device_type": {"type": ["string", "null"], "maxLength": 255},
        "disk_bus": {"type": ["string", "null"], "maxLength": 255},
        "boot_index": {"type": ["integer", "string", "null"], "pattern": r"^-?[0-9]+$"},
    }
    if minor == 32 or minor >= 42:
        properties["tag"] = TAG
    if minor >= 67:
        properties["volume_type"] = {"type": ["string", "null"], "maxLength": 255}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _networks(minor: int) -> Property:
    properties: dict[str, Property] = {
        "uuid": UUID,
        "port": {"type": ["string", "null"], "pattern": UUID["pattern"]},
        "fixed_ip": {"type": "string", "pattern": r"^[0-9a-fA-F:.]{2,64}$"},
    }
    if minor == 32 or 37 <= minor <= 41 or minor >= 42:
        properties["tag"] = TAG
    listed = {"type": "array", "items": {"type": "object", "properties": properties, "additionalProperties": False}}
    return listed if minor < 37 else {"anyOf": [listed, {"enum": ["none", "auto"]}]}
