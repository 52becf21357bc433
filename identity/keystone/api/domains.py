"""Operations on domains."""

from dataclasses import replace

from cluster.controlplane.answer import NO_CONTENT, Answer, created, ok
from identity.keystone import domains, projects, removal
from identity.keystone.api.context import Context, Target
from identity.keystone.api.forms import BOOLEAN, ID, IMMUTABLE, SHORT_NAME, TAGS, TEXT_OR_NULL, Form, without_nulls
from identity.keystone.api.listing import Document, page_of, shown
from identity.keystone.errors import BadRequest
from identity.keystone.projects import Project
from identity.keystone.records import made

_EXPLICIT_ID = "explicit_domain_id"
_FORM = Form(
    "domain",
    {
        "name": SHORT_NAME,
        "description": TEXT_OR_NULL,
        "enabled": BOOLEAN,
        _EXPLICIT_ID: ID,
        "tags": TAGS,
        "options": IMMUTABLE,
    },
)
_OF_PROJECTS_ONLY = ("domain_id", "parent_id", "is_domain")


def document_of(context: Context, domain: Project) -> Document:
    """Return what clients see of a domain."""
    document = shown(context, "domains", domain)
    return {name: value for name, value in document.items() if name not in _OF_PROJECTS_ONLY}


def list_all(context: Context) -> Answer:
    """GET /v3/domains. Who has a token for one domain sees that one."""
    context.enforce("identity:list_domains", {"target.domain.id": context.domain_id})
    found = domains.list_page(context.connection, context.query, context.page, context.domain_id)
    return page_of(context, "domains", found, document_of)


def create(context: Context) -> Answer:
    """POST /v3/domains. `explicit_domain_id` is for clouds that share their users."""
    context.enforce("identity:create_domain")
    attributes = without_nulls(_FORM.for_creation(context), "description")
    explicit_id = attributes.pop(_EXPLICIT_ID, None)
    domain = made(Project, {**attributes, "is_domain": True, "domain_id": None, "parent_id": None})
    if explicit_id is not None:
        domain = replace(domain, id=explicit_id)
    return created({"domain": document_of(context, domains.create(context.connection, domain))})


def show(context: Context, domain_id: str) -> Answer:
    """GET /v3/domains/{domain_id}."""
    return ok({"domain": document_of(context, permitted(context, "identity:get_domain", domain_id))})


def change(context: Context, domain_id: str) -> Answer:
    """PATCH /v3/domains/{domain_id}."""
    domain = permitted(context, "identity:update_domain", domain_id)
    attributes = without_nulls(_FORM.for_change(context), "description")
    if _EXPLICIT_ID in attributes:
        raise BadRequest("The ID of a domain cannot be changed.")
    domain = projects.change(context.connection, domain, attributes, context.now_us)
    return ok({"domain": document_of(context, domain)})


def remove(context: Context, domain_id: str) -> Answer:
    """DELETE /v3/domains/{domain_id}: everything in it goes, too."""
    domain = permitted(context, "identity:delete_domain", domain_id)
    removal.remove_domain(context.connection, domain, context.now_us)
    return NO_CONTENT


def permitted(context: Context, rule: str, domain_id: str) -> Project:
    """Return a domain that the caller may act on."""
    return context.permitted(rule, lambda: domains.get(context.connection, domain_id), target_of)


def target_of(domain: Project) -> Target:
    """Return what rules can say of a domain."""
    return {"target.domain.id": domain.id}
