"""Volumes as bytes: msgpack maps, so that fields can be added; what is not known is passed over."""

from dataclasses import asdict
from dataclasses import fields as dataclass_fields
from typing import Any

import msgpack

from blockgw.catalog.volume import Limits, Parent, Snapshot, State, Volume

FORMAT = 1


class Unreadable(ValueError):
    """Not a volume, or one of a format that is newer than this code."""


def encode(volume: Volume) -> bytes:
    """Return the document of a volume."""
    fields = asdict(volume)
    fields["state"] = volume.state.value
    packed: bytes = msgpack.packb({"format": FORMAT, **fields})
    return packed


def decode(data: bytes) -> Volume:
    """Return the volume of a document. Raise Unreadable."""
    try:
        fields: dict[str, Any] = msgpack.unpackb(data)
        if fields.pop("format") != FORMAT:
            raise Unreadable("the document of a volume has another format")
        fields["state"] = State(fields["state"])
        fields["chain"] = tuple(fields["chain"])
        fields["snapshots"] = tuple(_snapshot(snapshot) for snapshot in fields["snapshots"])
        fields["parent"] = None if fields["parent"] is None else Parent(**fields["parent"])
        fields["limits"] = Limits(**_known(Limits, fields.get("limits") or {}))
        fields["dismissed"] = tuple(fields.get("dismissed") or ())
        return Volume(**_known(Volume, fields))
    except Unreadable:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unreadable(f"not a volume: {error}") from error


def _snapshot(fields: dict[str, Any]) -> Snapshot:
    return Snapshot(**_known(Snapshot, {**fields, "chain": tuple(fields["chain"])}))


def _known(kind: type[Volume | Snapshot | Limits], fields: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclass_fields(kind)}
    return {name: value for name, value in fields.items() if name in names}
