"""The tokens of those who ask, followed by a thread of their own: coordination is for the thread that opened it."""

from collections.abc import Callable

from cluster.coordination.interface import Coordination
from compute.tokens import FollowedTokens
from identity.keystone.tokens.token import Token


class TokensHere:
    """`compute.tokens.Tokens`. Until keys were read, no token is good."""

    def __init__(self, coordination: Callable[[], Coordination]) -> None:
        """`coordination` opens it. Nothing closes it: it ends with the process."""
        self._coordination = coordination
        self._followed: FollowedTokens | None = None

    @property
    def has_keys(self) -> bool:
        """Tell whether any token could be good."""
        return self._followed is not None and self._followed.has_keys

    def poll(self) -> None:
        """Read keys and revocations: always in the same thread."""
        if self._followed is None:
            followed = FollowedTokens(self._coordination())
            followed.poll()
            self._followed = followed
        self._followed.poll()

    def validate(self, text: str) -> Token | None:
        """See `Tokens`."""
        return self._followed.validate(text) if self._followed is not None else None
