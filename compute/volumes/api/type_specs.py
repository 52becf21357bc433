"""Extra specs of volume types: what the service is told of a kind. Users see those that are about using a volume."""

import re
from collections.abc import Mapping

from sqlalchemy import select

from cluster.controlplane.answer import Answer, ok
from compute.actions import ACCEPTED
from compute.records import record_of
from compute.volumes import volume_types
from compute.volumes.api.forms import WORDS, Form, words
from compute.volumes.api.requests import Request, own_target, sees_all
from compute.volumes.errors import Invalid, NotFound
from compute.volumes.schema import volume_types as volume_types_table
from compute.volumes.volume_types import VolumeType

SINCE = 52  # types are found by their extra specs
_FOR_USERS = frozenset(("multiattach", "RESKEY:availability_zones", "replication_enabled"))  # extra specs that all see
_KEY = re.compile(r"[\w.:-]{1,255}", re.ASCII)
_SPECS = Form("extra_specs", {}, more=WORDS["additionalProperties"])


def list_all(context: Request, type_id: str) -> Answer:
    """GET /v3/types/{type_id}/extra_specs."""
    return ok({"extra_specs": shown(context, _type_for_specs(context, type_id))})


def add(context: Request, type_id: str) -> Answer:
    """POST /v3/types/{type_id}/extra_specs."""
    context.enforce("volume_extension:types_extra_specs:create")
    found = volume_types.get(context.connection, type_id)
    wanted = checked(words(_SPECS.read(context)))
    _set_specs(context, found, {**found.extra_specs, **wanted})
    return ok({"extra_specs": wanted})


def show(context: Request, type_id: str, key: str) -> Answer:
    """GET /v3/types/{type_id}/extra_specs/{key}."""
    specs = shown(context, _type_for_specs(context, type_id))
    if key not in specs:
        raise NotFound(f"Volume Type {type_id} extra spec with key", key)
    return ok({key: specs[key]})


def change(context: Request, type_id: str, key: str) -> Answer:
    """PUT /v3/types/{type_id}/extra_specs/{key}."""
    context.enforce("volume_extension:types_extra_specs:update")
    found = volume_types.get(context.connection, type_id)
    if set(context.document) != {key}:
        raise Invalid("Request body contains too many items, or another one than the path.")
    wanted = checked(words(_SPECS.check(context.document)))
    _set_specs(context, found, {**found.extra_specs, **wanted})
    return ok(wanted)


def remove(context: Request, type_id: str, key: str) -> Answer:
    """DELETE /v3/types/{type_id}/extra_specs/{key}."""
    context.enforce("volume_extension:types_extra_specs:delete")
    found = volume_types.get(context.connection, type_id)
    if key not in found.extra_specs:
        raise NotFound(f"Volume Type {type_id} extra spec with key", key)
    _set_specs(context, found, {name: value for name, value in found.extra_specs.items() if name != key})
    return ACCEPTED


def having(context: Request, wanted: Mapping[str, str]) -> list[str]:
    """Return the types that have all of some extra specs, as far as the caller sees them."""
    rows = context.connection.execute(select(volume_types_table)).all()
    found = [record_of(VolumeType, row) for row in rows]
    return [each.id for each in found if wanted.items() <= shown(context, each).items()]


def _type_for_specs(context: Request, type_id: str) -> VolumeType:
    context.enforce("volume_extension:types_extra_specs:index", own_target(context))
    return volume_types.visible(context.connection, type_id, context.project_id, sees_all(context))


def shown(context: Request, found: VolumeType) -> dict[str, str]:
    if context.allows("volume_extension:types_extra_specs:read_sensitive"):
        return dict(found.extra_specs)
    return {name: value for name, value in found.extra_specs.items() if name in _FOR_USERS}


def checked(wanted: Mapping[str, str]) -> dict[str, str]:
    for key in wanted:
        if _KEY.fullmatch(key) is None:
            raise Invalid(
                f"Key names can only contain alphanumeric characters, underscores, periods, colons and "
                f"hyphens: {key!r}."
            )
    return dict(wanted)


def _set_specs(context: Request, found: VolumeType, wanted: Mapping[str, str]) -> None:
    was = found.multiattach
    changed = volume_types.change(context.connection, found, context.now_us, extra_specs=dict(wanted))
    if changed.multiattach != was and volume_types.is_used(context.connection, found.id):
        raise Invalid(f"Volume Type {found.id} is in use: multiattach cannot be changed.")
