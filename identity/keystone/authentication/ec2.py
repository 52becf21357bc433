"""EC2 keys: a service asks whose a signature is, and gets a token of the user for the key's project.

The signature stands for the one request that it was made for, and the service has seen it; so it is services that may
ask. The token is for the project of the key and for nothing else. A key that is not there costs and reads the same as a
wrong signature.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from identity.keystone import credentials, principals
from identity.keystone.authentication.granting import Granting
from identity.keystone.authentication.proof import Proof
from identity.keystone.credentials import Credential
from identity.keystone.ec2_signature import SignatureError, SignedRequest, verifies, verifies_text
from identity.keystone.errors import BadRequest, NotFound, Unauthorized
from identity.keystone.sealing import Seal
from identity.keystone.tokens.token import Method, ScopeKind, Token

_NOBODYS_SECRET = "0" * 40


@dataclass(frozen=True, slots=True)
class Ec2Authentication:
    """Makes tokens of signatures."""

    seal: Seal
    granting: Granting

    def of_request(self, connection: Connection, request: SignedRequest, now_us: int) -> Token:
        """Return the token of who signed `request`. Raise Unauthorized."""
        return self._token(connection, request.access, lambda secret: verifies(request, secret, now_us / 1e6), now_us)

    def of_text(self, connection: Connection, access: str, token: str, signature: str, now_us: int) -> Token:
        """Return the token of who signed a string, given in base64. Raise Unauthorized, BadRequest."""
        try:
            text = base64.urlsafe_b64decode(token.translate(_URL_SAFE))
        except (binascii.Error, ValueError):
            raise BadRequest("the string to sign is not base64") from None
        return self._token(
            connection, access, lambda secret: verifies_text(text, signature, secret, now_us / 1e6), now_us
        )

    def _token(self, connection: Connection, access: str, verify: Callable[[str], bool], now_us: int) -> Token:
        credential = credentials.by_access_key(connection, self.seal, access)
        secret = _NOBODYS_SECRET if credential is None else credentials.keys_of(credential)[1]
        try:
            is_right = verify(secret)
        except SignatureError as error:
            raise Unauthorized(f"The signature cannot be verified: {error}.") from None
        if credential is None or not is_right:
            raise Unauthorized("The signature does not match.")
        return self._grant(connection, credential, now_us)

    def _grant(self, connection: Connection, credential: Credential, now_us: int) -> Token:
        try:
            project = principals.enabled_scope(connection, ScopeKind.PROJECT, credential.project_id or "")
        except NotFound:
            raise Unauthorized from None
        proof = Proof(credential.user_id, (Method.EC2,), bound_to=project)
        return self.granting.token_of(connection, proof, project, now_us)


_URL_SAFE = str.maketrans("+/", "-_")  # middlewares send either alphabet
