"""Whose a token is, decided here: keys and revocations are followed in coordination, where identity writes them.

So an outage of that service, or of coordination, fails nobody who has a token. Tokens of application credentials with
access rules are refused: what the rules allow is known to the identity service alone, and to let them pass would widen
them.
"""

from collections.abc import Callable
from typing import Protocol

from cluster.clock import wall_us
from cluster.coordination.interface import Coordination
from identity.keystone.tokens.following import Following
from identity.keystone.tokens.token import Token
from identity.keystone.tokens.validation import TokenValidator


class Tokens(Protocol):
    """Tells whose tokens are."""

    def validate(self, text: str) -> Token | None:
        """Return what the token `text` says; None when it is not, or no longer, good here."""


class FollowedTokens:
    """`Tokens` of a cluster. `poll` it about once a second: what is revoked is refused that much later."""

    def __init__(self, coordination: Coordination, clock_us: Callable[[], int] = wall_us) -> None:
        self._following = Following(coordination)
        self._validator = TokenValidator(self._following.keys, self._following.revoked, clock_us)

    def __repr__(self) -> str:
        return f"FollowedTokens({self._validator})"

    @property
    def has_keys(self) -> bool:
        """Tell whether any token could be good."""
        return self._following.keys.current() is not None

    def poll(self) -> None:
        """Read keys and revocations. Raise `coordination.errors.Unavailable`: those that are known go on."""
        self._following.poll()

    def validate(self, text: str) -> Token | None:
        """See `Tokens`."""
        token = self._validator.validate(text)
        return None if token is None or token.access_rules else token
