"""What the caller's own token is good for: its catalog, and the projects and domains that it could be for."""

from cluster.controlplane.answer import Answer, ok
from identity.keystone import catalog, domains, effective, principals, projects
from identity.keystone.api import domains as domain_operations
from identity.keystone.api import projects as project_operations
from identity.keystone.api.context import Context
from identity.keystone.api.listing import collection
from identity.keystone.api.token_documents import catalog_document
from identity.keystone.errors import Forbidden, NotFound
from identity.keystone.tokens.token import ScopeKind


def show_catalog(context: Context) -> Answer:
    """GET /v3/auth/catalog."""
    context.enforce("identity:get_auth_catalog")
    if context.caller.scope is None:
        raise Forbidden("A scoped token is required to produce a service catalog.")
    document = catalog_document(catalog.of_token(context.connection, context.caller))
    return ok({"catalog": document, "links": {"self": context.url("auth/catalog")}})


def list_projects(context: Context) -> Answer:
    """GET /v3/auth/projects: the enabled ones that the caller has a role in."""
    context.enforce("identity:get_auth_projects")
    found = projects.with_ids(context.connection, _usable(context, ScopeKind.PROJECT))
    return collection(context, "projects", [project_operations.document_of(context, project) for project in found])


def list_domains(context: Context) -> Answer:
    """GET /v3/auth/domains: the enabled ones that the caller has a role in."""
    context.enforce("identity:get_auth_domains")
    found = [domains.get(context.connection, domain_id) for domain_id in _usable(context, ScopeKind.DOMAIN)]
    return collection(context, "domains", [domain_operations.document_of(context, domain) for domain in found])


def list_systems(context: Context) -> Answer:
    """GET /v3/auth/system: the system, if the caller has a role there."""
    context.enforce("identity:get_auth_system")
    found = effective.places_of(context.connection, context.caller.user.id, ScopeKind.SYSTEM)
    return ok({"system": [{"all": True}] if found else [], "links": {"self": context.url("auth/system")}})


def _usable(context: Context, kind: ScopeKind) -> list[str]:
    """Return the ids of the projects or domains that the caller could have a token for."""
    ids = effective.places_of(context.connection, context.caller.user.id, kind)
    return [each for each in ids if _is_enabled(context, kind, each)]


def _is_enabled(context: Context, kind: ScopeKind, scope_id: str) -> bool:
    try:
        principals.enabled_scope(context.connection, kind, scope_id)
    except NotFound:
        return False
    return True
