"""What the proxy asks of an identity tier, whichever it is. Answers come at once, from memory."""

from collections.abc import Collection
from typing import Protocol

from identity.actions import Action
from identity.users import User

__all__ = ["Action", "Principal", "Signer", "Tokens", "Users"]


class Principal(Protocol):
    """Whoever a request comes from: a user of the bare cluster, or somebody in a project of the identity service."""

    @property
    def account(self) -> str:
        """Its own account; empty: it has none."""

    @property
    def id(self) -> str:
        """64 hexadecimal digits, as S3 shows an owner: of the account."""

    @property
    def display_name(self) -> str:
        """The name beside."""

    @property
    def admin(self) -> bool:
        """Whether it may do anything in any account."""

    def may(self, account: str, action: Action) -> bool:
        """Tell whether it may do `action` in `account`, whatever access lists say."""

    def listed_as(self, account: str) -> Collection[str]:
        """Return all that can stand for it in the access lists of containers of `account`."""


class Signer(Principal, Protocol):
    """Somebody who signs requests."""

    @property
    def secret_key(self) -> str:
        """What it signs with."""


class Users(Protocol):
    """Whom the cluster knows."""

    def by_access_key(self, access_key: str) -> Signer | None:
        """Return the user who signs with `access_key`."""

    def by_name(self, name: str) -> User | None:
        """Return the user of the bare cluster of this name."""


class Tokens(Protocol):
    """Gives out tokens, and finds whose one is."""

    def issue(self, user: User) -> tuple[str, int]:
        """Return a token for a user of the bare cluster, and its expiry in seconds since 1970."""

    def verify(self, token: str) -> Principal | None:
        """Return whose `token` is, or None when it is not, or no longer, good."""
