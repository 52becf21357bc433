"""Operations on flavors. What belongs to them: flavor_specs, flavor_access."""

import uuid
from typing import Any

from cluster.controlplane.answer import Answer, ok
from cluster.controlplane.schema import Schema
from compute.instances import flavors
from compute.instances.api.forms import BOOLEAN, NAME, NUMBER, TEXT, Form, number, truth
from compute.instances.api.lists import check_query, next_links, page
from compute.instances.api.requests import Request, at_least, is_admin, links, own_target
from compute.instances.errors import Invalid
from compute.instances.flavors import Flavor

DESCRIPTION_SINCE, SPECS_SINCE, SWAP_NUMBER_SINCE = 55, 61, 75
_CREATION_PROPERTIES = {
    "name": NAME,
    "id": {
        "type": ["string", "number", "null"],
        "minLength": 1,
        "maxLength": 255,
        "pattern": r"^(?! )[a-zA-Z0-9. _-]+(?<! )\Z",
    },
    "ram": NUMBER,
    "vcpus": NUMBER,
    "disk": NUMBER,
    "OS-FLV-EXT-DATA:ephemeral": NUMBER,
    "swap": NUMBER,
    "rxtx_factor": {
        "type": ["number", "string"],
        "pattern": r"^[0-9]+(\.[0-9]+)?\Z",
        "exclusiveMinimum": 0,
        "maximum": 3.40282e38,
    },
    "os-flavor-access:is_public": BOOLEAN,
}
_REQUIRED = ("name", "ram", "vcpus", "disk")
_CREATION = Form("flavor", _CREATION_PROPERTIES, _REQUIRED)
_DESCRIBED_CREATION = Form("flavor", {**_CREATION_PROPERTIES, "description": TEXT}, _REQUIRED)
_CHANGE = Form("flavor", {"description": TEXT}, ("description",))
_SORT_KEYS = {
    "created_at": "created_at_us",
    "description": "description",
    "disabled": "disabled",
    "ephemeral_gb": "ephemeral_gb",
    "flavorid": "id",
    "id": "created_at_us",
    "is_public": "is_public",
    "memory_mb": "memory_mib",
    "name": "name",
    "root_gb": "disk_gb",
    "rxtx_factor": "rxtx_factor",
    "swap": "swap_mib",
    "updated_at": "updated_at_us",
    "vcpu_weight": "vcpus",
    "vcpus": "vcpus",
}
_QUERY = Schema(
    {
        "type": "object",
        "properties": {"sort_key": {"enum": sorted(_SORT_KEYS)}, "sort_dir": {"enum": ["asc", "desc"]}},
    }
)
_KNOWN = frozenset(("limit", "marker", "is_public", "minRam", "minDisk", "sort_key", "sort_dir"))


def list_brief(context: Request) -> Answer:
    """GET /v2.1/flavors."""
    found, more = _listed(context)
    return ok({"flavors": [_brief(context, each) for each in found], **more})


def list_detailed(context: Request) -> Answer:
    """GET /v2.1/flavors/detail."""
    found, more = _listed(context)
    return ok({"flavors": [document_of(context, each) for each in found], **more})


def show(context: Request, flavor_id: str) -> Answer:
    """GET /v2.1/flavors/{flavor_id}."""
    return ok({"flavor": document_of(context, visible(context, flavor_id))})


def create(context: Request) -> Answer:
    """POST /v2.1/flavors."""
    context.enforce("os_compute_api:os-flavor-manage:create")
    form = _DESCRIBED_CREATION if at_least(context, DESCRIPTION_SINCE) else _CREATION
    attributes = form.read(context)
    wanted_id = attributes.get("id")
    made = flavors.create(
        context.connection,
        Flavor(
            id=str(uuid.uuid4()) if wanted_id is None else str(wanted_id),
            name=attributes["name"],
            memory_mib=number(attributes["ram"], "ram", 1),
            vcpus=number(attributes["vcpus"], "vcpus", 1),
            disk_gb=number(attributes["disk"], "disk", 0),
            ephemeral_gb=number(attributes.get("OS-FLV-EXT-DATA:ephemeral", 0), "OS-FLV-EXT-DATA:ephemeral", 0),
            swap_mib=number(attributes.get("swap", 0), "swap", 0),
            rxtx_factor=_factor(attributes.get("rxtx_factor", 1.0)),
            is_public=truth(attributes.get("os-flavor-access:is_public", True), "os-flavor-access:is_public"),
            description=attributes.get("description"),
            created_at_us=context.now_us,
        ),
    )
    return ok({"flavor": document_of(context, made)})


def change(context: Request, flavor_id: str) -> Answer:
    """PUT /v2.1/flavors/{flavor_id} (from 2.55 on): its description, and nothing else."""
    context.enforce("os_compute_api:os-flavor-manage:update")
    description = _CHANGE.read(context)["description"]
    changed = flavors.change(context.connection, flavor_id, context.now_us, description=description)
    return ok({"flavor": document_of(context, changed)})


def remove(context: Request, flavor_id: str) -> Answer:
    """DELETE /v2.1/flavors/{flavor_id}."""
    context.enforce("os_compute_api:os-flavor-manage:delete")
    flavors.remove(context.connection, flavor_id)
    return Answer(202)


def visible(context: Request, flavor_id: str) -> Flavor:
    """Return a flavor that the caller may use. Raise NotFound."""
    context.caller  # noqa: B018 who is nobody learns nothing
    return flavors.visible(context.connection, flavor_id, context.project_id, is_admin(context))


def document_of(context: Request, flavor: Flavor) -> dict[str, Any]:
    """Return all that the API tells of a flavor."""
    document = {
        **_brief(context, flavor),
        "ram": flavor.memory_mib,
        "disk": flavor.disk_gb,
        "swap": flavor.swap_mib or (0 if at_least(context, SWAP_NUMBER_SINCE) else ""),
        "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral_gb,
        "OS-FLV-DISABLED:disabled": flavor.disabled,
        "vcpus": flavor.vcpus,
        "os-flavor-access:is_public": flavor.is_public,
        "rxtx_factor": flavor.rxtx_factor,
    }
    if at_least(context, SPECS_SINCE) and context.allows(
        "os_compute_api:os-flavor-extra-specs:index", own_target(context)
    ):
        document["extra_specs"] = dict(flavor.extra_specs)
    return document


def _brief(context: Request, flavor: Flavor) -> dict[str, Any]:
    document: dict[str, Any] = {"id": flavor.id, "name": flavor.name, "links": links(context, f"flavors/{flavor.id}")}
    if at_least(context, DESCRIPTION_SINCE):
        document["description"] = flavor.description
    return document


def _listed(context: Request) -> tuple[list[Flavor], dict[str, Any]]:
    """Return a page of what the query asks for, of what the caller may use, and the link to the next."""
    context.caller  # noqa: B018 who is nobody learns nothing
    check_query(context, _KNOWN)
    _QUERY.check(dict(context.query))
    least_ram, least_disk = _least(context, "minRam"), _least(context, "minDisk")
    found = [each for each in _seen(context) if each.memory_mib >= least_ram and each.disk_gb >= least_disk]
    column = _SORT_KEYS[context.query.get("sort_key") or "flavorid"]
    found.sort(key=lambda each: each.id)
    found.sort(key=lambda each: _sortable(getattr(each, column)), reverse=context.query.get("sort_dir") == "desc")
    shown = page(context, found, lambda each: each.id)
    return shown, next_links(context, "flavors", shown, lambda each: each.id)


def _seen(context: Request) -> list[Flavor]:
    found = flavors.every(context.connection)
    if not is_admin(context):
        own = flavors.of_project(context.connection, context.project_id)
        return [each for each in found if (each.is_public or each.id in own) and not each.disabled]
    text = context.query.get("is_public")
    if text is not None and text.lower() == "none":
        return found
    try:
        wanted = True if text is None else truth(text, "is_public")
    except Invalid:
        raise Invalid(f"Invalid is_public filter [{text}]") from None
    return [each for each in found if each.is_public == wanted]


def _least(context: Request, name: str) -> int:
    text = context.query.get(name)
    try:
        return 0 if text is None else int(text)
    except ValueError:
        raise Invalid(f"Invalid {name} filter [{text}]") from None


def _sortable(value: Any) -> tuple[bool, Any]:
    return (value is not None, "" if value is None else value)


def _factor(value: Any) -> float:
    found = float(value)
    if not 0 < found <= 3.40282e38:
        raise Invalid(f"Invalid input for field/attribute rxtx_factor. Value: {value}. It is out of range.")
    return found
