"""Tokens and catalogs as the API shows them."""

from collections.abc import Sequence
from typing import Any

from identity.keystone import access_rules, application_credentials, catalog, users
from identity.keystone.access_rules import AccessRule
from identity.keystone.api.context import Context
from identity.keystone.api.moments import iso
from identity.keystone.catalog import CatalogService
from identity.keystone.tokens.token import Scope, ScopeKind, Token

Document = dict[str, Any]


def document_of(context: Context, token: Token) -> Document:
    """Return what clients see of a token; with the catalog, unless the query has `nocatalog`."""
    user = users.get(context.connection, token.user.id)
    document: Document = {
        "methods": [method.value for method in token.methods],
        "user": {
            "id": token.user.id,
            "name": token.user.name,
            "domain": {"id": token.user.domain_id, "name": token.user.domain_name},
            "password_expires_at": iso(user.password_expires_at_us),
        },
        "audit_ids": list(token.audit_ids),
        "issued_at": iso(token.issued_at_us),
        "expires_at": iso(token.expires_at_us),
    }
    if token.scope is not None:
        document |= _scope(token.scope)
        document["roles"] = [{"id": role.id, "name": role.name} for role in token.roles]
        if "nocatalog" not in context.query:
            document["catalog"] = catalog_document(catalog.of_token(context.connection, token))
    if token.application_credential_id is not None:
        document["application_credential"] = _application_credential(context, token.application_credential_id)
    return document


def catalog_document(services: Sequence[CatalogService]) -> list[Document]:
    """Return what clients see of a catalog."""
    return [
        {
            "id": service.id,
            "type": service.type,
            "name": service.name,
            "endpoints": [
                {
                    "id": endpoint.id,
                    "interface": endpoint.interface,
                    "region": endpoint.region_id,
                    "region_id": endpoint.region_id,
                    "url": endpoint.url,
                }
                for endpoint in service.endpoints
            ],
        }
        for service in services
    ]


def rule_document(rule: AccessRule) -> Document:
    """Return what clients see of an access rule."""
    return {"id": rule.id, "service": rule.service, "method": rule.method, "path": rule.path}


def _scope(scope: Scope) -> Document:
    if scope.kind is ScopeKind.SYSTEM:
        return {"system": {"all": True}}
    if scope.kind is ScopeKind.DOMAIN:
        return {"domain": {"id": scope.id, "name": scope.name}}
    domain = {"id": scope.domain_id, "name": scope.domain_name}
    return {"project": {"id": scope.id, "name": scope.name, "domain": domain}, "is_domain": scope.is_domain}


def _application_credential(context: Context, credential_id: str) -> Document:
    credential = application_credentials.get(context.connection, credential_id)
    document: Document = {"id": credential.id, "name": credential.name, "restricted": not credential.unrestricted}
    rules = access_rules.of_application_credential(context.connection, credential_id)
    if rules:
        document["access_rules"] = [rule_document(rule) for rule in rules]
    return document
