"""Operations on credentials. Everybody sees and keeps its own; the secrets of others are for admins.

Programs may not make or change any: what a program can do is bounded by its application credential, and what can be
done with an S3 key is not.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cluster.controlplane.answer import NO_CONTENT, Answer, created, ok
from identity.keystone import credentials, effective, projects
from identity.keystone.api import projects as project_operations
from identity.keystone.api.context import Context, Target
from identity.keystone.api.forms import ID, ID_OR_NULL, NAME, Form
from identity.keystone.api.listing import Document, collection
from identity.keystone.credentials import EC2, Credential
from identity.keystone.errors import BadRequest, Forbidden, NotFound
from identity.keystone.projects import Project
from identity.keystone.published_key import hash_of_access
from identity.keystone.tokens.token import Method, Scope, ScopeKind, Token

_FORM = Form(
    "credential",
    {"type": NAME, "blob": {"type": "string", "maxLength": 16384}, "user_id": ID, "project_id": ID_OR_NULL},
    required=("type", "blob"),
)
_FIXED = ("user_id", "project_id", "type")  # what a credential is for does not change


def document_of(context: Context, credential: Credential) -> Document:
    """Return what clients see of a credential: all of it."""
    return {
        **credential.extra,
        "id": credential.id,
        "user_id": credential.user_id,
        "project_id": credential.project_id,
        "type": credential.type,
        "blob": credential.blob,
        "links": {"self": context.url(f"credentials/{credential.id}")},
    }


def list_all(context: Context) -> Answer:
    """GET /v3/credentials: those that the caller may see."""
    context.enforce("identity:list_credentials")
    user_id = context.query.get("user_id")
    if not _sees_all(context):
        own = context.caller.user.id
        if user_id not in (None, own):
            return collection(context, "credentials", [])
        user_id = own
    found = credentials.list_all(context.connection, context.parts.seal, user_id, context.query.get("type"))
    return collection(context, "credentials", [document_of(context, credential) for credential in found])


def create(context: Context) -> Answer:
    """POST /v3/credentials."""
    attributes = _FORM.for_creation(context)
    user_id = attributes.get("user_id", context.caller.user.id)
    context.enforce("identity:create_credential", {"target.credential.user_id": user_id})
    refuse_programs(context.caller)
    credential = Credential(
        user_id=user_id,
        type=attributes["type"],
        blob=attributes["blob"],
        project_id=attributes.get("project_id"),
        created_at_us=context.now_us,
        extra=_extra(attributes),
    )
    if credential.type == EC2:
        if credential.project_id is None:
            raise BadRequest("Invalid input for field 'project_id': an EC2 credential is for a project.")
        project_of_key(context, user_id, credential.project_id)
        credential = replace(credential, id=hash_of_access(credentials.keys_of(credential)[0]))
    credential = credentials.create(context.connection, context.parts.seal, credential)
    return created({"credential": document_of(context, credential)})


def show(context: Context, credential_id: str) -> Answer:
    """GET /v3/credentials/{credential_id}."""
    return ok({"credential": document_of(context, permitted(context, "identity:get_credential", credential_id))})


def change(context: Context, credential_id: str) -> Answer:
    """PATCH /v3/credentials/{credential_id}: the blob, and what has no meaning to us."""
    credential = permitted(context, "identity:update_credential", credential_id)
    refuse_programs(context.caller)
    attributes = _FORM.for_change(context)
    for name in _FIXED:
        if name in attributes and attributes[name] != getattr(credential, name):
            raise BadRequest(f"Update of `{name}` is not allowed.")
    extra = {**credential.extra, **_extra(attributes)}
    credential = replace(credential, blob=attributes.get("blob", credential.blob), extra=extra)
    credential = credentials.replace(context.connection, context.parts.seal, credential)
    return ok({"credential": document_of(context, credential)})


def remove(context: Context, credential_id: str) -> Answer:
    """DELETE /v3/credentials/{credential_id}."""
    credential = permitted(context, "identity:delete_credential", credential_id)
    refuse_programs(context.caller)
    credentials.remove(context.connection, credential.id)
    return NO_CONTENT


def permitted(context: Context, rule: str, credential_id: str) -> Credential:
    """Return a credential that the caller may act on."""
    return context.permitted(
        rule, lambda: credentials.get(context.connection, context.parts.seal, credential_id), target_of
    )


def project_of_key(context: Context, user_id: str, project_id: str) -> Project:
    """Return the project of a new key: where its user has a role, or the caller looks around anyhow. Raise NotFound."""
    project = projects.get(context.connection, project_id)
    if not effective.roles_in(context.connection, user_id, Scope(ScopeKind.PROJECT, project_id)):
        try:
            context.enforce("identity:get_project", project_operations.target_of(project))
        except Forbidden:
            raise NotFound("project", project_id) from None
    return project


def target_of(credential: Credential) -> Target:
    """Return what rules can say of a credential."""
    return {"user_id": credential.user_id, "target.credential.user_id": credential.user_id}


def refuse_programs(caller: Token) -> None:
    """Raise Forbidden for a token that was got with a program's secret: who stole it would stay."""
    if caller.application_credential_id is not None or Method.EC2 in caller.methods:
        raise Forbidden("A token that was made with the secret of a program may not make or remove secrets.")


def _sees_all(context: Context) -> bool:
    try:
        context.enforce("identity:get_credential")
    except Forbidden:
        return False
    return True


def _extra(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name not in (*_FIXED, "blob", "id", "links")}
