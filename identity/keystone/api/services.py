"""Operations on services."""

from cluster.controlplane.answer import NO_CONTENT, Answer, created, ok
from identity.keystone import services
from identity.keystone.api.context import Context
from identity.keystone.api.forms import BOOLEAN, NAME, TEXT_OR_NULL, Form
from identity.keystone.api.listing import Document, collection, shown
from identity.keystone.records import changed, made
from identity.keystone.services import Service

_FORM = Form(
    "service",
    {
        "type": NAME,
        "name": {"type": "string", "maxLength": NAME["maxLength"]},
        "description": TEXT_OR_NULL,
        "enabled": BOOLEAN,
    },
    required=("type",),
)


def document_of(context: Context, service: Service) -> Document:
    """Return what clients see of a service."""
    document = shown(context, "services", service)
    if service.description is None:
        del document["description"]
    return document


def list_all(context: Context) -> Answer:
    """GET /v3/services."""
    context.enforce("identity:list_services")
    found = services.list_all(context.connection, context.query.get("type"), context.query.get("name"))
    return collection(context, "services", [document_of(context, service) for service in found])


def create(context: Context) -> Answer:
    """POST /v3/services."""
    context.enforce("identity:create_service")
    service = services.create(context.connection, made(Service, _FORM.for_creation(context)))
    return created({"service": document_of(context, service)})


def show(context: Context, service_id: str) -> Answer:
    """GET /v3/services/{service_id}."""
    context.enforce("identity:get_service")
    return ok({"service": document_of(context, services.get(context.connection, service_id))})


def change(context: Context, service_id: str) -> Answer:
    """PATCH /v3/services/{service_id}."""
    context.enforce("identity:update_service")
    service = changed(services.get(context.connection, service_id), _FORM.for_change(context))
    return ok({"service": document_of(context, services.replace(context.connection, service))})


def remove(context: Context, service_id: str) -> Answer:
    """DELETE /v3/services/{service_id}: its endpoints go, too."""
    context.enforce("identity:delete_service")
    services.remove(context.connection, service_id)
    return NO_CONTENT
