"""What the proxy asks of an identity tier, whichever it is. Answers come at once, from memory."""

from enum import Enum
from typing import Protocol

from identity.users import User


class Action(Enum):
    """What somebody wants to do with an account or with something in it."""

    READ = "read"
    WRITE = "write"


class Users(Protocol):
    """Whom the cluster knows."""

    def by_access_key(self, access_key: str) -> User | None:
        """Return the user who signs with `access_key`."""

    def by_name(self, name: str) -> User | None:
        """Return the user of this name."""


class Authorizer(Protocol):
    """Decides who may do what."""

    def may(self, user: User | None, account: str, action: Action) -> bool:
        """Tell whether `user` (None: anonymous) may do `action` in `account`."""
