"""An S3 key as the proxies know it: whose it is, for what project, with which roles; the secret is sealed. No I/O.

JSON, under `identity/key/` and the SHA-256 of the access key: what is kept in coordination shows nobody a key that it
could sign with. A reader passes over members that it does not know.

    {"belongs_to": ID, "sealed": BASE64, "user": [id, name, domain id, domain name],
     "project": [id, name, domain id, domain name, is_domain], "roles": [[id, name], ...]}
"""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field

from identity.keystone.sealing import Seal
from identity.keystone.tokens.token import Person, Role, Scope, ScopeKind

PREFIX = "identity/key/"  # of keys in coordination


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """One key; who uses it has these roles in this project."""

    belongs_to: str  # the id of the credential
    sealed: bytes = field(repr=False)
    user: Person
    project: Scope
    roles: tuple[Role, ...]

    def secret(self, seal: Seal, access: str) -> str | None:
        """Return the secret key, or None when this is not the key `access`. Raise `sealing.Unreadable`."""
        values = json.loads(seal.open(self.sealed, self.belongs_to))
        return str(values["secret"]) if values.get("access") == access else None


def hash_of_access(access: str) -> str:
    """Return what an access key is found by."""
    return hashlib.sha256(access.encode()).hexdigest()


def encode(key: PublishedKey) -> bytes:
    """Return `key` as it is published."""
    user, project = key.user, key.project
    values = {
        "belongs_to": key.belongs_to,
        "sealed": base64.b64encode(key.sealed).decode(),
        "user": [user.id, user.name, user.domain_id, user.domain_name],
        "project": [project.id, project.name, project.domain_id, project.domain_name, project.is_domain],
        "roles": [[role.id, role.name] for role in key.roles],
    }
    return json.dumps(values).encode()


def decode(data: bytes) -> PublishedKey:
    """Return what `encode` made, by this release or another. Raise ValueError on anything else."""
    try:
        values = json.loads(data)
        return PublishedKey(
            belongs_to=values["belongs_to"],
            sealed=base64.b64decode(values["sealed"]),
            user=Person(*values["user"]),
            project=Scope(ScopeKind.PROJECT, *values["project"]),
            roles=tuple(Role(*each) for each in values["roles"]),
        )
    except (KeyError, TypeError, binascii.Error) as error:
        raise ValueError(f"not a published key: {error!r}") from None
