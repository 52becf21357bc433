"""Operations on imports and the tasks that they are."""

from typing import Any

from cluster.controlplane.answer import Answer, ok
from cluster.controlplane.schema import Schema
from compute.errors import BadRequest
from compute.images import imports, tasks
from compute.images.api.context import Context, found
from compute.images.api.documents import STORE, of_task, of_whole_task
from compute.images.statuses import TaskStatus
from compute.images.tasks import Asked

_URI_LIMIT = 4096
_REQUEST = Schema(
    {
        "type": "object",
        "required": ["method"],
        "properties": {
            "method": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "uri": {"type": "string", "maxLength": _URI_LIMIT},
                },
            },
            "stores": {"type": "array", "items": {"type": "string"}},
            "all_stores": {"type": "boolean"},
            "all_stores_must_succeed": {"type": "boolean"},
        },
    }
)
_KEPT = ("method", "stores", "all_stores", "all_stores_must_succeed")  # of a request, in its task


def begin(context: Context, image_id: str) -> Answer:
    """POST /v2/images/{image_id}/import."""
    document: dict[str, Any] = {name: value for name, value in context.document.items() if value is not None}
    _REQUEST.check(document)
    _check_stores(document)
    image = found(context, image_id, "upload_image")
    asked = Asked(context.project_id, context.caller.user.id, context.request_id)
    request = {name: document[name] for name in _KEPT if name in document}
    imports.ask(context.connection, context.parts.dock, image, asked, request)
    return Answer(202)


def list_of_image(context: Context, image_id: str) -> Answer:
    """GET /v2/images/{image_id}/tasks: they tell who asked, and from where, which is the project's alone."""
    image = found(context, image_id, "get_image_tasks")
    return ok({"tasks": [of_whole_task(task) for task in tasks.of_image(context.connection, image.id)]})


def list_tasks(context: Context) -> Answer:
    """GET /v2/tasks."""
    context.enforce("tasks_api_access")
    settings = context.parts.settings
    text = context.query.get("limit", str(settings.page_default))
    if not (text.isascii() and text.isdigit()):
        raise BadRequest("limit param must be an integer")
    limit = min(int(text[:9]), settings.page_limit)
    if context.query.get("status", TaskStatus.PENDING.value) not in [each.value for each in TaskStatus]:
        raise BadRequest(f"Invalid status value: {context.query['status']}")
    marker = context.query.get("marker")
    after = tasks.get(context.connection, marker) if marker else None
    page = tasks.list_page(context.connection, context.query, None, after, limit)
    document: dict[str, Any] = {"tasks": [of_task(task) for task in page], "schema": "/v2/schemas/tasks"}
    document["first"] = "/v2/tasks"
    if page and len(page) == limit:
        document["next"] = f"/v2/tasks?limit={limit}&marker={page[-1].id}"
    return ok(document)


def refuse_task(context: Context) -> Answer:
    """POST /v2/tasks: deprecated in Glance, and not there; an import is asked for at its image."""
    context.enforce("tasks_api_access")
    raise BadRequest("Tasks are not made by themselves: POST /v2/images/{image_id}/import.")


def show_task(context: Context, task_id: str) -> Answer:
    """GET /v2/tasks/{task_id}."""
    context.enforce("tasks_api_access")
    return ok(of_whole_task(tasks.get(context.connection, task_id)))


def _check_stores(document: dict[str, Any]) -> None:
    if document.get("stores") and document.get("all_stores"):
        raise BadRequest("Parameters 'all_stores' and 'stores' exclude each other.")
    unknown = [name for name in document.get("stores", ()) if name != STORE]
    if unknown:
        raise BadRequest(f"Store {unknown[0]} is not known here: there is {STORE} alone.")
