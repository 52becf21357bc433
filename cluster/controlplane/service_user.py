"""The users as which services of the cluster act for themselves: what they log in and sign with.

A service NAME is the user NAME in the project `service` of the default domain, which the identity service makes at its
start. Its password and its S3 key come by HKDF-SHA256 from the cluster's key: nobody has to carry them about, and they
are in no file. Whoever has the cluster's key has all services' rights anyhow.
"""

import base64
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PROJECT = "service"
ROLES = ("service", "member")  # to ask what only services may; to own objects in its project
_ID_SIZE, _PASSWORD_SIZE, _ACCESS_SIZE, _SECRET_SIZE = 16, 32, 10, 30  # bytes; keys as long as S3 clients expect them


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """One of them."""

    name: str
    id: str  # so that a user whom somebody else gave this name is not taken for it
    password: str = field(repr=False)
    access_key: str
    secret_key: str = field(repr=False)


def service_user(cluster_key: bytes, name: str) -> ServiceUser:
    """Return the user of the service `name`."""

    def derived(what: str, size: int) -> bytes:
        info = f"holdfast service user: {what} of {name}".encode()
        return HKDF(SHA256(), length=size, salt=None, info=info).derive(cluster_key)

    return ServiceUser(
        name=name,
        id=derived("id", _ID_SIZE).hex(),
        password=derived("password", _PASSWORD_SIZE).hex(),
        access_key=base64.b32encode(derived("access key", _ACCESS_SIZE)).decode(),
        secret_key=base64.b64encode(derived("secret key", _SECRET_SIZE), altchars=b"AZ").decode(),
    )
