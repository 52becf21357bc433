"""Extra specs of flavors: what the service, the scheduler and the host are told of a kind."""

from collections.abc import Mapping
from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.instances import flavor_specs, flavors
from compute.instances.api.flavors import visible
from compute.instances.api.forms import METADATA_KEY, NAME_LIMIT, Form
from compute.instances.api.requests import Request, at_least, own_target
from compute.instances.errors import Invalid, NotFound
from compute.instances.flavors import Flavor

CHECKED_SINCE = 86
_VALUE = {"type": ["string", "number"], "maxLength": NAME_LIMIT}
_WORDS: Mapping[str, Any] = {"patternProperties": {METADATA_KEY: _VALUE}}
_SPECS = Form("extra_specs", {}, **_WORDS)
_SPEC = Form("", {}, **_WORDS, minProperties=1, maxProperties=1)
_RULE = "os_compute_api:os-flavor-extra-specs:"


def list_all(context: Request, flavor_id: str) -> Answer:
    """GET /v2.1/flavors/{flavor_id}/os-extra_specs."""
    context.enforce(_RULE + "index", own_target(context))
    return ok({"extra_specs": dict(visible(context, flavor_id).extra_specs)})


def add(context: Request, flavor_id: str) -> Answer:
    """POST /v2.1/flavors/{flavor_id}/os-extra_specs."""
    context.enforce(_RULE + "create")
    wanted = _checked(context, _SPECS.read(context))
    _store(context, flavors.get(context.connection, flavor_id), wanted)
    return ok({"extra_specs": wanted})


def show(context: Request, flavor_id: str, key: str) -> Answer:
    """GET /v2.1/flavors/{flavor_id}/os-extra_specs/{key}."""
    context.enforce(_RULE + "show", own_target(context))
    found = visible(context, flavor_id)
    _require(found, key)
    return ok({key: found.extra_specs[key]})


def change(context: Request, flavor_id: str, key: str) -> Answer:
    """PUT /v2.1/flavors/{flavor_id}/os-extra_specs/{key}."""
    context.enforce(_RULE + "update")
    wanted = _checked(context, _SPEC.read(context))
    if key not in wanted:
        raise Invalid("Request body and URI mismatch")
    _store(context, flavors.get(context.connection, flavor_id), wanted)
    return ok(wanted)


def remove(context: Request, flavor_id: str, key: str) -> Answer:
    """DELETE /v2.1/flavors/{flavor_id}/os-extra_specs/{key}."""
    context.enforce(_RULE + "delete")
    found = flavors.get(context.connection, flavor_id)
    _require(found, key)
    left = {name: value for name, value in found.extra_specs.items() if name != key}
    flavors.change(context.connection, flavor_id, context.now_us, extra_specs=left)
    return Answer(200)


def _require(flavor: Flavor, key: str) -> None:
    if key not in flavor.extra_specs:
        raise _NoSpec(flavor.id, key)


class _NoSpec(NotFound):
    def __init__(self, flavor_id: str, key: str) -> None:
        super().__init__(f"Flavor {flavor_id} has no extra specs with key", key)


def _checked(context: Request, wanted: Mapping[str, Any]) -> dict[str, str]:
    found = {key: value if isinstance(value, str) else str(value) for key, value in wanted.items()}
    for key, value in found.items():
        if len(value) > NAME_LIMIT:
            raise Invalid(f"extra_specs value has {len(value)} characters, more than {NAME_LIMIT}.")
        if at_least(context, CHECKED_SINCE):
            flavor_specs.check(key, value)
    return found


def _store(context: Request, found: Flavor, wanted: Mapping[str, str]) -> None:
    flavors.change(context.connection, found.id, context.now_us, extra_specs={**found.extra_specs, **wanted})
