"""Credentials: secrets of users that other services ask for: EC2 keys, certificates, seeds of one-time passwords.

What the secret looks like is the business of its type; we keep a text, sealed. Of type "ec2" we know more: the text is
JSON with `access` and `secret`, the access key is unique, and S3 signatures are made with it. Such keys are published
to the proxies (`stale_keys`) in the transaction that makes, changes or removes them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from cluster.controlplane.database import refusing_duplicates
from identity.keystone import stale_keys
from identity.keystone.errors import BadRequest, Conflict, NotFound
from identity.keystone.published_key import hash_of_access
from identity.keystone.schema import credentials
from identity.keystone.sealing import Seal

EC2 = "ec2"


@dataclass(frozen=True, slots=True)
class Credential:
    """One secret of a user, perhaps for a project."""

    user_id: str
    type: str
    blob: str = field(repr=False)
    project_id: str | None = None
    created_at_us: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid4().hex)


def get(connection: Connection, seal: Seal, credential_id: str) -> Credential:
    """Return a credential. Raise NotFound."""
    row = connection.execute(select(credentials).where(credentials.c.id == credential_id)).one_or_none()
    if row is None:
        raise NotFound("credential", credential_id)
    return _credential(seal, row)


def list_all(
    connection: Connection, seal: Seal, user_id: str | None = None, type: str | None = None  # noqa: A002
) -> list[Credential]:
    """Return the credentials by id; of a user or a type only, if given."""
    query = select(credentials).order_by(credentials.c.id)
    if user_id is not None:
        query = query.where(credentials.c.user_id == user_id)
    if type is not None:
        query = query.where(credentials.c.type == type)
    return [_credential(seal, row) for row in connection.execute(query)]


def by_access_key(connection: Connection, seal: Seal, access: str) -> Credential | None:
    """Return the EC2 key with this access key."""
    row = connection.execute(
        select(credentials).where(credentials.c.access_hash == hash_of_access(access))
    ).one_or_none()
    return None if row is None else _credential(seal, row)


def create(connection: Connection, seal: Seal, credential: Credential) -> Credential:
    """Store a new credential. Raise BadRequest when an EC2 key is none, Conflict when its access key is taken."""
    with refusing_duplicates(Conflict("credential", "the access key is taken")):
        connection.execute(insert(credentials).values(_values(seal, credential)))
    _publish(connection, credential)
    return credential


def replace(connection: Connection, seal: Seal, credential: Credential) -> Credential:
    """Store `credential` over the one with its id. Raise NotFound, BadRequest and Conflict."""
    before = get(connection, seal, credential.id)
    with refusing_duplicates(Conflict("credential", "the access key is taken")):
        connection.execute(
            update(credentials).where(credentials.c.id == credential.id).values(_values(seal, credential))
        )
    _publish(connection, before)
    _publish(connection, credential)
    return credential


def remove(connection: Connection, credential_id: str) -> None:
    """Remove a credential. Raise NotFound."""
    if not _remove(connection, credentials.c.id == credential_id):
        raise NotFound("credential", credential_id)


def remove_all_of(connection: Connection, user_id: str | None = None, project_id: str | None = None) -> None:
    """Remove the credentials of a user that goes, or those for a project that goes."""
    assert (user_id is None) != (project_id is None)
    if user_id is not None:
        _remove(connection, credentials.c.user_id == user_id)
    else:
        _remove(connection, credentials.c.project_id == project_id)


def keys_of(credential: Credential) -> tuple[str, str]:
    """Return the access key and the secret key of an EC2 credential. Raise BadRequest when it has none."""
    try:
        values = json.loads(credential.blob)
        access, secret = values["access"], values["secret"]
    except (ValueError, KeyError, TypeError):
        raise BadRequest("the blob of an EC2 credential is JSON with access and secret") from None
    if not (isinstance(access, str) and isinstance(secret, str) and access and secret):
        raise BadRequest("access and secret of an EC2 credential are texts, and not empty")
    return access, secret


def _remove(connection: Connection, condition: "ColumnElement[bool]") -> int:
    """Remove the credentials that fulfil `condition`, also for the proxies; return how many."""
    access_hashes = connection.scalars(select(credentials.c.access_hash).where(condition)).all()
    connection.execute(delete(credentials).where(condition))
    for access_hash in access_hashes:
        if access_hash is not None:
            stale_keys.mark(connection, access_hash)
    return len(access_hashes)


def _publish(connection: Connection, credential: Credential) -> None:
    """Have the proxies know what is stored now under the access key of `credential`."""
    if credential.type == EC2:
        stale_keys.mark(connection, hash_of_access(keys_of(credential)[0]))


def _values(seal: Seal, credential: Credential) -> dict[str, Any]:
    access_hash = hash_of_access(keys_of(credential)[0]) if credential.type == EC2 else None
    return {
        "id": credential.id,
        "user_id": credential.user_id,
        "project_id": credential.project_id,
        "type": credential.type,
        "access_hash": access_hash,
        "encrypted_blob": seal.seal(credential.blob.encode(), credential.id),
        "created_at_us": credential.created_at_us,
        "extra": dict(credential.extra),
    }


def _credential(seal: Seal, row: Row[Any]) -> Credential:
    blob = seal.open(row.encrypted_blob, row.id).decode()
    return Credential(row.user_id, row.type, blob, row.project_id, row.created_at_us, row.extra, row.id)
