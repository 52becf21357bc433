"""What the service can do, and what a project has of what it may have: /v2/info/…"""

from cluster.controlplane.answer import Answer, ok
from cluster.controlplane.schema import Schema
from compute.errors import BadRequest
from compute.images import imports, limits
from compute.images.api.context import Context
from compute.images.api.documents import STORE
from compute.images.settings import UNLIMITED

_NUMBER = {"type": ["integer", "null"], "minimum": UNLIMITED, "maximum": 2**53}
_LIMITS = Schema({
    "type": "object", "properties": dict.fromkeys(limits.NAMES, _NUMBER), "additionalProperties": False
})


def show_import(context: Context) -> Answer:
    """GET /v2/info/import."""
    context.enforce("stores_info")
    methods = imports.methods(context.parts.dock)
    return ok({"import-methods": {"description": "Import methods available.", "type": "array", "value": methods}})


def show_stores(context: Context) -> Answer:
    """GET /v2/info/stores."""
    context.enforce("stores_info")
    return ok({"stores": [{"id": STORE, "default": "true", "description": "The object storage of this cluster."}]})


def show_store_details(context: Context) -> Answer:
    """GET /v2/info/stores/detail."""
    context.enforce("stores_info_detail")
    return ok({"stores": [{"id": STORE, "default": "true", "type": "s3", "weight": 0, "properties": {}}]})


def show_usage(context: Context) -> Answer:
    """GET /v2/info/usage."""
    if context.project_id is None:
        raise BadRequest("The token is for no project.")
    return _usage(context, context.project_id)


def show_usage_of(context: Context, project_id: str) -> Answer:
    """GET /v2/info/usage/{project_id}: ours."""
    context.enforce("get_limits", {"project_id": project_id})
    return _usage(context, project_id)


def set_limits(context: Context, project_id: str) -> Answer:
    """PUT /v2/info/usage/{project_id}: ours. Limits of a project by name; null: the default."""
    context.enforce("set_limits")
    _LIMITS.check(context.document)
    limits.set_for(context.connection, project_id, context.document)
    return _usage(context, project_id)


def _usage(context: Context, project_id: str) -> Answer:
    found = limits.usage(context.connection, project_id, context.parts.settings.quota)
    return ok({"usage": {name: {"limit": use.limit, "usage": use.usage} for name, use in found.items()}})
