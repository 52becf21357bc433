"""Which projects may use a volume type that is not public."""

from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.actions import ACCEPTED, Dispatch
from compute.volumes import volume_types
from compute.volumes.api.forms import Form
from compute.volumes.api.requests import Request
from compute.volumes.errors import Conflict, NotFound

_ACCESS = Form("access", {"project": {"type": "string", "minLength": 1, "maxLength": 64}}, required=("project",))


def list_all(context: Request, type_id: str) -> Answer:
    """GET /v3/types/{type_id}/os-volume-type-access."""
    context.enforce("volume_extension:volume_type_access:get_all_for_type")
    found = volume_types.get(context.connection, type_id)
    if found.is_public:
        raise NotFound("Access list of the public volume type", type_id)
    projects = volume_types.projects_of(context.connection, type_id)
    return ok({"volume_type_access": [{"volume_type_id": type_id, "project_id": each} for each in projects]})


def _allow(context: Request, type_id: str, about: Any) -> Answer:
    context.enforce("volume_extension:volume_type_access:addProjectAccess")
    found = volume_types.get(context.connection, type_id)
    if found.is_public:
        raise Conflict("Type access modification is not applicable to public volume type.")
    volume_types.allow(context.connection, found.id, _ACCESS.check(about)["project"])
    return ACCEPTED


def _disallow(context: Request, type_id: str, about: Any) -> Answer:
    context.enforce("volume_extension:volume_type_access:removeProjectAccess")
    found = volume_types.get(context.connection, type_id)
    if found.is_public:
        raise Conflict("Type access modification is not applicable to public volume type.")
    volume_types.disallow(context.connection, found.id, _ACCESS.check(about)["project"])
    return ACCEPTED


act = Dispatch({"addProjectAccess": _allow, "removeProjectAccess": _disallow})
