"""Operations on a user's application credentials.

Only their user makes them, with a token for the project that they are to be for; and never with more roles than that
token has. With a token that was itself made by an application credential nothing is made or removed, unless it is
unrestricted.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cluster.controlplane.answer import NO_CONTENT, Answer, created, ok
from identity.keystone import access_rules, application_credentials
from identity.keystone.access_rules import AccessRule
from identity.keystone.api.context import Context
from identity.keystone.api.forms import NAME, TEXT_OR_NULL, Form
from identity.keystone.api.listing import Document, collection
from identity.keystone.api.moments import iso
from identity.keystone.api.token_documents import rule_document
from identity.keystone.application_credentials import ApplicationCredential, hash_of, new_secret
from identity.keystone.errors import BadRequest, Forbidden, NotFound
from identity.keystone.tokens.token import Method, Role, Token

_ROLE = {
    "type": "object",
    "properties": {"id": NAME, "name": NAME},
    "anyOf": [{"required": ["id"]}, {"required": ["name"]}],
}
_RULE = {
    "type": "object",
    "properties": {
        "id": NAME,
        "path": {**NAME, "pattern": "^/"},
        "method": {"enum": list(access_rules.METHODS)},
        "service": NAME,
    },
    "anyOf": [{"required": ["id"]}, {"required": ["path", "method", "service"]}],
}
_FORM = Form(
    "application_credential",
    {
        "name": NAME,
        "description": TEXT_OR_NULL,
        "secret": TEXT_OR_NULL,
        "expires_at": TEXT_OR_NULL,
        "roles": {"type": "array", "items": _ROLE, "maxItems": 100},
        "unrestricted": {"type": ["boolean", "null"]},
        "access_rules": {"type": "array", "items": _RULE, "maxItems": 100},
    },
)


def document_of(context: Context, credential: ApplicationCredential) -> Document:
    """Return what clients see of an application credential: not its secret."""
    expires_at = iso(credential.expires_at_us)
    document: Document = {
        "id": credential.id,
        "name": credential.name,
        "description": credential.description,
        "user_id": credential.user_id,
        "project_id": credential.project_id,
        "roles": [{"id": role.id, "name": role.name, "domain_id": None} for role in credential.roles],
        "expires_at": expires_at and expires_at.rstrip("Z"),  # as Keystone shows it, and clients compare it
        "unrestricted": credential.unrestricted,
        "system": None,
        "links": {"self": context.url(f"users/{credential.user_id}/application_credentials/{credential.id}")},
    }
    if credential.access_rules:
        document["access_rules"] = [rule_document(rule) for rule in credential.access_rules]
    return document


def list_all(context: Context, user_id: str) -> Answer:
    """GET /v3/users/{user_id}/application_credentials."""
    context.enforce("identity:list_application_credentials", {"user_id": user_id, "target.user.id": user_id})
    found = application_credentials.list_all(context.connection, user_id, context.query.get("name"))
    return collection(context, "application_credentials", [document_of(context, each) for each in found])


def create(context: Context, user_id: str) -> Answer:
    """POST /v3/users/{user_id}/application_credentials. The secret is shown here, and never again."""
    context.enforce("identity:create_application_credential", {"user_id": user_id, "target.user.id": user_id})
    refuse_restricted(context.caller)
    attributes = _FORM.for_creation(context)
    secret = attributes.get("secret") or new_secret()
    credential = application_credentials.create(context.connection, _wished(context, attributes, hash_of(secret)))
    return created({"application_credential": {**document_of(context, credential), "secret": secret}})


def show(context: Context, user_id: str, application_credential_id: str) -> Answer:
    """GET /v3/users/{user_id}/application_credentials/{application_credential_id}."""
    credential = _permitted(context, "identity:get_application_credential", user_id, application_credential_id)
    return ok({"application_credential": document_of(context, credential)})


def remove(context: Context, user_id: str, application_credential_id: str) -> Answer:
    """DELETE /v3/users/{user_id}/application_credentials/{application_credential_id}: its tokens end."""
    credential = _permitted(context, "identity:delete_application_credential", user_id, application_credential_id)
    refuse_restricted(context.caller)
    application_credentials.remove(context.connection, credential.id, context.now_us)
    return NO_CONTENT


def refuse_restricted(caller: Token) -> None:
    """Raise Forbidden for a token that was got with a program's secret, unless that is unrestricted."""
    is_restricted = caller.application_credential_id is not None and not caller.unrestricted
    if is_restricted or Method.EC2 in caller.methods:
        raise Forbidden("A token that was made with the secret of a program may not make or remove secrets.")


def _wished(context: Context, attributes: Mapping[str, Any], secret_hash: str) -> ApplicationCredential:
    """Return what the client wants, checked against its token."""
    caller = context.caller
    if caller.project_id is None:
        raise Forbidden("An application credential is made with a token for the project that it is to be for.")
    unrestricted = bool(attributes.get("unrestricted"))
    rules = tuple(_rule(context, caller.user.id, each) for each in attributes.get("access_rules", ()))
    if caller.access_rules:
        raise Forbidden("A token that is restricted to some requests makes nothing that is not.")
    return ApplicationCredential(
        user_id=caller.user.id,
        project_id=caller.project_id,
        name=attributes["name"],
        roles=_roles(attributes.get("roles"), caller.roles),
        created_at_us=context.now_us,
        description=attributes.get("description"),
        expires_at_us=_expiry(attributes.get("expires_at"), context.now_us),
        unrestricted=unrestricted,
        access_rules=rules,
        secret_hash=secret_hash,
    )


def _roles(wanted: list[Mapping[str, str]] | None, held: tuple[Role, ...]) -> tuple[Role, ...]:
    """Return the roles of `held` that are wanted; all of them when nothing is said. Raise BadRequest for others."""
    if not wanted:
        return held
    found = {_role(each, held) for each in wanted}
    return tuple(sorted(found, key=lambda role: role.name))


def _role(wanted: Mapping[str, str], held: tuple[Role, ...]) -> Role:
    for role in held:
        if wanted.get("id", role.id) == role.id and wanted.get("name", role.name) == role.name:
            return role
    raise BadRequest("Invalid application credential: the user does not have all of the roles in the project.")


def _rule(context: Context, user_id: str, wanted: Mapping[str, str]) -> AccessRule:
    if "id" in wanted:
        return access_rules.get(context.connection, user_id, wanted["id"])
    return AccessRule(wanted["service"], wanted["method"], wanted["path"])


def _expiry(text: str | None, now_us: int) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        expires_at_us = round(moment.timestamp() * 1e6)
    except (ValueError, OverflowError):
        raise BadRequest("Invalid input for field 'expires_at': it is no moment as ISO 8601 writes it.") from None
    if expires_at_us <= now_us:
        raise BadRequest("Invalid input for field 'expires_at': it is past.")
    return expires_at_us


def _permitted(context: Context, rule: str, user_id: str, credential_id: str) -> ApplicationCredential:
    context.enforce(rule, {"user_id": user_id, "target.user.id": user_id})
    credential = application_credentials.get(context.connection, credential_id)
    if credential.user_id != user_id:
        raise NotFound("application credential", credential_id)
    return credential
