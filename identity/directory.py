"""The users of a cluster, followed in memory: a look-up is a look into a dict.

Changes come through a watch, within a fraction of a second. Whoever was added a moment ago by another
process is found as well: a look-up that fails reads what is new. It pays for what changed only, and
there are at most `REREADS_PER_S` of them, so guessing keys costs the cluster little.
"""

import time
from collections.abc import Callable, Sequence

from cluster.coordination.errors import CoordinationError
from cluster.coordination.interface import Change, Coordination, Watch
from cluster.telemetry.log import get_logger
from identity.users import USER_PREFIX, User, decode

REREADS_PER_S = 20  # also how many may come at once

_log = get_logger("identity")


class Directory:
    """`identity.interfaces.Users` over what `users.UserStore` keeps. `start` it on the event loop."""

    def __init__(self, coordination: Coordination, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._coordination = coordination
        self._monotonic_s = monotonic_s
        self._by_name: dict[str, User] = {}
        self._by_access_key: dict[str, User] = {}
        self._versions: dict[str, int] = {}  # by user name; of removed ones too: what is older is no news
        self._newest = 0  # version up to which all is known
        self._rereads = float(REREADS_PER_S)  # that are allowed now
        self._refilled_at_s = monotonic_s()
        self._watch: Watch | None = None

    def __repr__(self) -> str:
        return f"Directory({len(self._by_name)} users, at {self._newest})"

    def __len__(self) -> int:
        return len(self._by_name)

    def start(self) -> None:
        """Read all users and follow them. Raise `coordination.errors.Unavailable`."""
        self._watch = self._coordination.watch(USER_PREFIX, self._apply)
        self._read_new()

    def close(self) -> None:
        """Follow no more."""
        if self._watch is not None:
            self._watch.cancel()

    def by_access_key(self, access_key: str) -> User | None:
        """Return the user who signs with `access_key`."""
        user = self._by_access_key.get(access_key)
        if user is None and self._reread():
            user = self._by_access_key.get(access_key)
        return user

    def by_name(self, name: str) -> User | None:
        """Return the user of this name."""
        user = self._by_name.get(name)
        if user is None and self._reread():
            user = self._by_name.get(name)
        return user

    def _reread(self) -> bool:
        """Read what is new unless that was done too often; tell whether it was read."""
        now_s = self._monotonic_s()
        grown = self._rereads + (now_s - self._refilled_at_s) * REREADS_PER_S
        self._rereads, self._refilled_at_s = min(float(REREADS_PER_S), grown), now_s
        if self._rereads < 1:
            return False
        self._rereads -= 1
        try:
            self._read_new()
        except CoordinationError as error:
            self._rereads = 1.0 - REREADS_PER_S  # for a second, do not ask again
            _log.warning("users_not_read", error=error)
            return False
        return True

    def _read_new(self) -> None:
        self._apply([Change(*entry) for entry in self._coordination.range(USER_PREFIX, self._newest)])

    def _apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            name = change.key.removeprefix(USER_PREFIX)
            if change.version > self._versions.get(name, 0):
                self._versions[name] = change.version
                self._replace(name, _decoded(change))
            self._newest = max(self._newest, change.version)

    def _replace(self, name: str, user: User | None) -> None:
        before = self._by_name.get(name)
        if user == before:
            return  # the same object stays: tokens are remembered by it
        if before is not None:
            del self._by_name[name]
            if self._by_access_key.get(before.access_key) is before:
                del self._by_access_key[before.access_key]
        if user is not None:
            self._by_name[name] = self._by_access_key[user.access_key] = user


def _decoded(change: Change) -> User | None:
    try:
        return None if change.data is None else decode(change.data)
    except ValueError as error:
        _log.error("user_unreadable", user=change.key, error=error)
        return None
