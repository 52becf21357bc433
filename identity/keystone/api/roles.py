"""Operations on roles. Those that are a domain's own have policy rules of their own."""

from cluster.controlplane.answer import NO_CONTENT, Answer, created, ok
from identity.keystone import domains, roles
from identity.keystone.api.context import Context, Target
from identity.keystone.api.forms import ID_OR_NULL, IMMUTABLE, NAME, TEXT_OR_NULL, Form, without_nulls
from identity.keystone.api.listing import Document, page_of, shown
from identity.keystone.errors import Forbidden, NotFound
from identity.keystone.records import made
from identity.keystone.roles import Role

_FORM = Form(
    "role", {"name": NAME, "description": TEXT_OR_NULL, "domain_id": ID_OR_NULL, "options": IMMUTABLE}
)


def document_of(context: Context, role: Role) -> Document:
    """Return what clients see of a role."""
    return shown(context, "roles", role)


def list_all(context: Context) -> Answer:
    """GET /v3/roles. With `domain_id`, the own roles of a domain."""
    domain_id = context.query.get("domain_id")
    rule = "identity:list_domain_roles" if domain_id else "identity:list_roles"
    context.enforce(rule, {"target.role.domain_id": domain_id})
    return page_of(context, "roles", roles.list_page(context.connection, context.query, context.page), document_of)


def create(context: Context) -> Answer:
    """POST /v3/roles."""
    role = made(Role, _FORM.for_creation(context))
    context.enforce(_rule("create", role), target_of(role))
    if role.domain_id is not None:
        domains.get(context.connection, role.domain_id)
    return created({"role": document_of(context, roles.create(context.connection, role))})


def show(context: Context, role_id: str) -> Answer:
    """GET /v3/roles/{role_id}."""
    return ok({"role": document_of(context, permitted(context, "get", role_id))})


def change(context: Context, role_id: str) -> Answer:
    """PATCH /v3/roles/{role_id}."""
    role = permitted(context, "update", role_id)
    attributes = without_nulls(_FORM.for_change(context), "domain_id")
    return ok({"role": document_of(context, roles.change(context.connection, role, attributes, context.now_us))})


def remove(context: Context, role_id: str) -> Answer:
    """DELETE /v3/roles/{role_id}."""
    roles.remove(context.connection, permitted(context, "delete", role_id), context.now_us)
    return NO_CONTENT


def permitted(context: Context, verb: str, role_id: str) -> Role:
    """Return a role that the caller may get, update or delete.

    A domain's own role is, to whom it is none of their business, as one that is not there.
    """
    try:
        role = roles.get(context.connection, role_id)
        context.enforce(_rule(verb, role), target_of(role))
    except (NotFound, Forbidden):
        context.enforce(f"identity:{verb}_role")
        raise NotFound("role", role_id) from None
    return role


def target_of(role: Role) -> Target:
    """Return what rules can say of a role."""
    return {
        "target.role.id": role.id,
        "target.role.name": role.name,
        "target.role.domain_id": role.domain_id,
        "target.role.is_global": role.domain_id is None,
    }


def _rule(verb: str, role: Role) -> str:
    return f"identity:{verb}_role" if role.domain_id is None else f"identity:{verb}_domain_role"
