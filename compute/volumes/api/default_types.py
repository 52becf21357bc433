"""Which type a project's volumes have when none is named (from 3.62 on)."""

from cluster.controlplane.answer import Answer, ok
from compute.volumes import volume_types
from compute.volumes.api.forms import REQUIRED_NAME, Form
from compute.volumes.api.requests import Request
from compute.volumes.errors import NotFound

_DEFAULT = Form("default_type", {"volume_type": REQUIRED_NAME}, required=("volume_type",))


def list_all(context: Request) -> Answer:
    """GET /v3/default-types."""
    context.enforce("volume_extension:default_get_all")
    found = volume_types.project_defaults(context.connection)
    return ok({"default_types": [_default(project, kind) for project, kind in sorted(found.items())]})


def show(context: Request, target_id: str) -> Answer:
    """GET /v3/default-types/{project}."""
    context.enforce("volume_extension:default_get", {"project_id": target_id})
    found = volume_types.project_default(context.connection, target_id)
    if found is None:
        raise NotFound("Default type for project", target_id)
    return ok({"default_type": _default(target_id, found)})


def replace(context: Request, target_id: str) -> Answer:
    """PUT /v3/default-types/{project}."""
    context.enforce("volume_extension:default_set_or_update", {"project_id": target_id})
    wanted = _DEFAULT.read(context)["volume_type"]
    found = volume_types.visible(context.connection, wanted, target_id, sees_all=True)
    volume_types.set_project_default(context.connection, target_id, found.id)
    return ok({"default_type": _default(target_id, found.id)})


def remove(context: Request, target_id: str) -> Answer:
    """DELETE /v3/default-types/{project}."""
    context.enforce("volume_extension:default_unset", {"project_id": target_id})
    if volume_types.project_default(context.connection, target_id) is None:
        raise NotFound("Default type for project", target_id)
    volume_types.set_project_default(context.connection, target_id, None)
    return Answer(204)


def _default(project_id: str, type_id: str) -> dict[str, str]:
    return {"project_id": project_id, "volume_type_id": type_id}
