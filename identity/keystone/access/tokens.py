"""Whose a token of the identity service is, for object storage.

Tokens of application credentials with access rules are refused: what the rules allow is known to the service's database
only, and to let them pass would widen them.
"""

from typing import NamedTuple

from identity.keystone.access.member import Member, of_token
from identity.keystone.tokens.token import Token
from identity.keystone.tokens.validation import TokenValidator

_CACHE_LIMIT = 10_000  # as many as the validator remembers


class _Known(NamedTuple):
    """What a token said, and who that is."""

    token: Token
    member: Member


class MemberTokens:
    """Finds who has a token."""

    def __init__(self, validator: TokenValidator) -> None:
        self._validator = validator
        self._known: dict[str, _Known] = {}  # by text, oldest first

    def __repr__(self) -> str:
        return f"MemberTokens({len(self._known)} known)"

    def verify(self, text: str) -> Member | None:
        """Return who has the token `text`, or None when it is not, or no longer, good here."""
        token = self._validator.validate(text)
        known = self._known.get(text)
        if known is not None and known.token is token:
            return known.member
        if known is not None:
            del self._known[text]
        if token is None or token.access_rules:
            return None
        while len(self._known) >= _CACHE_LIMIT:
            del self._known[next(iter(self._known))]
        member = of_token(token)
        self._known[text] = _Known(token, member)
        return member
