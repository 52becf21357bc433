"""Whether a token holds, decided without the database: for the proxies, and whoever else has the keys.

`TokenValidator` opens the text, looks at the clock and asks what has been revoked. It never waits and never
reads anything: keys and revocations are handed in, and kept current by whoever follows them. What it found is
remembered until the keys change, so that a token which comes with every request is opened once; the clock is
asked each time, and the revocations when there are new ones.

It says what the token said when it was made. That its user or project was disabled meanwhile reaches it as a
revocation; the identity service itself asks its database (`provider`).
"""

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from identity.keystone.tokens import fernet
from identity.keystone.tokens.keys import Keys
from identity.keystone.tokens.revoked import Revoked
from identity.keystone.tokens.token import Token

_CACHE_LIMIT = 10_000  # tokens known to be good; some 2 KiB each


class KeySource(Protocol):
    """Has the keys of the moment."""

    def current(self) -> Keys | None:
        """Return the keys; the same object until they change. None: not known yet."""


class _Known(NamedTuple):
    """A token that was opened, and the `changes` of what is revoked for which it was found to be good."""

    token: Token
    changes: int


class TokenValidator:
    """Finds out what a token says, and whether it may be believed."""

    def __init__(
        self, keys: KeySource, revoked: Revoked, wall_us: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        self._keys = keys
        self._revoked = revoked
        self._wall_us = wall_us
        self._known: dict[str, _Known] = {}  # by text, oldest first; opened with the keys below
        self._known_with: Keys | None = None

    def __repr__(self) -> str:
        return f"TokenValidator({len(self._known)} known)"

    def validate(self, text: str) -> Token | None:
        """Return what the token `text` says, or None when it is not, or no longer, good."""
        keys = self._keys.current()
        if keys is not self._known_with:
            self._known.clear()
            self._known_with = keys
        known, changes = self._known.get(text), self._revoked.changes
        token = known.token if known else (None if keys is None else fernet.decode(text, keys.candidates))
        if token is None:
            return None
        is_checked = known is not None and known.changes == changes
        if token.expires_at_us <= self._wall_us() or (not is_checked and self._revoked.voids(token)):
            self._known.pop(text, None)
            return None
        if not is_checked:
            self._remember(text, _Known(token, changes))
        return token

    def _remember(self, text: str, known: _Known) -> None:
        if text not in self._known:
            while len(self._known) >= _CACHE_LIMIT:
                del self._known[next(iter(self._known))]
        self._known[text] = known
