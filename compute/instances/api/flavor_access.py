"""Which projects may use a flavor that is not public."""

from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.actions import Dispatch
from compute.instances import flavors
from compute.instances.api.forms import WORD, Form
from compute.instances.api.requests import Request, at_least
from compute.instances.errors import Conflict, NotFound

STRICT_SINCE = 7  # a public flavor has no list
_ADD, _REMOVE = (Form(name, {"tenant": WORD}, ("tenant",)) for name in ("addTenantAccess", "removeTenantAccess"))


def list_all(context: Request, flavor_id: str) -> Answer:
    """GET /v2.1/flavors/{flavor_id}/os-flavor-access."""
    context.enforce("os_compute_api:os-flavor-access")
    if flavors.get(context.connection, flavor_id).is_public:
        raise NotFound("Access list not available for public flavors: that of", flavor_id)
    return _shown(context, flavor_id)


def _allow(context: Request, flavor_id: str, about: Any) -> Answer:
    context.enforce("os_compute_api:os-flavor-access:add_tenant_access")
    project_id = _ADD.check(about)["tenant"]
    if flavors.get(context.connection, flavor_id).is_public and at_least(context, STRICT_SINCE):
        raise Conflict("Can not add access to a public flavor.")
    flavors.allow(context.connection, flavor_id, project_id)
    return _shown(context, flavor_id)


def _disallow(context: Request, flavor_id: str, about: Any) -> Answer:
    context.enforce("os_compute_api:os-flavor-access:remove_tenant_access")
    project_id = _REMOVE.check(about)["tenant"]
    flavors.get(context.connection, flavor_id)
    flavors.disallow(context.connection, flavor_id, project_id)
    return _shown(context, flavor_id)


def _shown(context: Request, flavor_id: str) -> Answer:
    projects = flavors.projects_of(context.connection, flavor_id)
    return ok({"flavor_access": [{"flavor_id": flavor_id, "tenant_id": each} for each in projects]})


act = Dispatch({"addTenantAccess": _allow, "removeTenantAccess": _disallow})
