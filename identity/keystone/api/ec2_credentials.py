"""Operations on a user's EC2 keys, which are its S3 keys: credentials of type "ec2" under an older path."""

import json
import secrets
import string

from cluster.controlplane.answer import NO_CONTENT, Answer, created, ok
from cluster.controlplane.schema import Schema
from identity.keystone import credentials
from identity.keystone.api import users as user_operations
from identity.keystone.api.context import Context
from identity.keystone.api.credentials import project_of_key, refuse_programs
from identity.keystone.api.forms import ID
from identity.keystone.api.listing import Document, collection
from identity.keystone.credentials import EC2, Credential
from identity.keystone.errors import NotFound
from identity.keystone.published_key import hash_of_access

_SCHEMA = Schema({"type": "object", "required": ["tenant_id"], "properties": {"tenant_id": ID}})
_ACCESS_ALPHABET = string.ascii_uppercase + string.digits
_SECRET_ALPHABET = string.ascii_letters + string.digits  # no + or /: shells and URLs take it as it is
_ACCESS_SIZE, _SECRET_SIZE = 20, 40  # characters, as S3 clients expect them


def document_of(context: Context, credential: Credential) -> Document:
    """Return what clients see of a key: all of it."""
    access, secret = credentials.keys_of(credential)
    return {
        "user_id": credential.user_id,
        "tenant_id": credential.project_id,
        "access": access,
        "secret": secret,
        "trust_id": None,
        "links": {"self": context.url(f"users/{credential.user_id}/credentials/OS-EC2/{access}")},
    }


def list_all(context: Context, user_id: str) -> Answer:
    """GET /v3/users/{user_id}/credentials/OS-EC2."""
    user = user_operations.permitted(context, "identity:ec2_list_credentials", user_id)
    found = credentials.list_all(context.connection, context.parts.seal, user.id, EC2)
    return collection(context, "credentials", [document_of(context, credential) for credential in found])


def create(context: Context, user_id: str) -> Answer:
    """POST /v3/users/{user_id}/credentials/OS-EC2: a fresh key for a project."""
    user = user_operations.permitted(context, "identity:ec2_create_credential", user_id)
    refuse_programs(context.caller)
    _SCHEMA.check(context.document)
    project = project_of_key(context, user.id, context.document["tenant_id"])
    keys = {"access": _random(_ACCESS_ALPHABET, _ACCESS_SIZE), "secret": _random(_SECRET_ALPHABET, _SECRET_SIZE)}
    credential = Credential(
        user_id=user.id,
        type=EC2,
        blob=json.dumps(keys),
        project_id=project.id,
        created_at_us=context.now_us,
        id=hash_of_access(keys["access"]),
    )
    credential = credentials.create(context.connection, context.parts.seal, credential)
    return created({"credential": document_of(context, credential)})


def show(context: Context, user_id: str, access: str) -> Answer:
    """GET /v3/users/{user_id}/credentials/OS-EC2/{access}."""
    credential = _permitted(context, "identity:ec2_get_credential", user_id, access)
    return ok({"credential": document_of(context, credential)})


def remove(context: Context, user_id: str, access: str) -> Answer:
    """DELETE /v3/users/{user_id}/credentials/OS-EC2/{access}."""
    credential = _permitted(context, "identity:ec2_delete_credential", user_id, access)
    refuse_programs(context.caller)
    credentials.remove(context.connection, credential.id)
    return NO_CONTENT


def _permitted(context: Context, rule: str, user_id: str, access: str) -> Credential:
    context.enforce(rule, {"user_id": user_id, "target.credential.user_id": user_id})
    credential = credentials.by_access_key(context.connection, context.parts.seal, access)
    if credential is None or credential.user_id != user_id:
        raise NotFound("credential", access)
    return credential


def _random(alphabet: str, size: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(size))
