"""The users of a bare cluster, followed in memory: a look-up is a look into a dict.

Who is not found is looked for once more after reading what is new (`following`): whoever was added a moment ago by
another process is found as well.
"""

import time
from collections.abc import Callable

from cluster.coordination.interface import Coordination
from cluster.telemetry.log import get_logger
from identity.following import REREADS_PER_S, Follower
from identity.users import USER_PREFIX, User, decode

__all__ = ["REREADS_PER_S", "Directory"]

_log = get_logger("identity")


class Directory:
    """`identity.interfaces.Users` over what `users.UserStore` keeps. `start` it on the event loop."""

    def __init__(self, coordination: Coordination, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._by_name: dict[str, User] = {}
        self._by_access_key: dict[str, User] = {}
        self._follower = Follower(coordination, USER_PREFIX, self._take, monotonic_s)

    def __repr__(self) -> str:
        return f"Directory({len(self._by_name)} users, {self._follower})"

    def __len__(self) -> int:
        return len(self._by_name)

    def start(self) -> None:
        """Read all users and follow them. Raise `coordination.errors.Unavailable`."""
        self._follower.start()

    def close(self) -> None:
        """Follow no more."""
        self._follower.close()

    def read_new(self) -> bool:
        """Read what is new unless that was done too often; tell whether it was read."""
        return self._follower.read_new()

    def known_by_access_key(self, access_key: str) -> User | None:
        """Return the user who signs with `access_key`, without reading anything."""
        return self._by_access_key.get(access_key)

    def by_access_key(self, access_key: str) -> User | None:
        """Return the user who signs with `access_key`."""
        user = self._by_access_key.get(access_key)
        if user is None and self.read_new():
            user = self._by_access_key.get(access_key)
        return user

    def by_name(self, name: str) -> User | None:
        """Return the user of this name."""
        user = self._by_name.get(name)
        if user is None and self.read_new():
            user = self._by_name.get(name)
        return user

    def _take(self, name: str, data: bytes | None) -> None:
        user, before = _decoded(name, data), self._by_name.get(name)
        if user == before:
            return  # the same object stays: tokens are remembered by it
        if before is not None:
            del self._by_name[name]
            if self._by_access_key.get(before.access_key) is before:
                del self._by_access_key[before.access_key]
        if user is not None:
            self._by_name[name] = self._by_access_key[user.access_key] = user


def _decoded(name: str, data: bytes | None) -> User | None:
    try:
        return None if data is None else decode(data)
    except ValueError as error:
        _log.error("user_unreadable", user=name, error=error)
        return None
