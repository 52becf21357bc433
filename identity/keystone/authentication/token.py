"""The method "token": somebody has a token, and wants another one, as for another project.

The new token lives no longer than the old one, and is in its chain. Whether it may be for something else than the old
one is decided in `scope`.
"""

from typing import Protocol

from sqlalchemy import Connection

from identity.keystone.authentication.proof import Proof
from identity.keystone.authentication.request import TokenClaim
from identity.keystone.errors import NotFound, Unauthorized
from identity.keystone.tokens.token import Token


class Validator(Protocol):
    """`tokens.provider.TokenProvider`."""

    def validate(self, connection: Connection, text: str) -> Token:
        """Return what a token says. Raise Unauthorized when it does not hold."""


def prove(connection: Connection, claim: TokenClaim, validator: Validator) -> Proof:
    """Return what `claim` proves. Raise NotFound when the token does not hold, as Keystone has it."""
    try:
        return Proof.of_token(validator.validate(connection, claim.text))
    except Unauthorized:
        raise NotFound("token", "the one to authenticate with") from None
