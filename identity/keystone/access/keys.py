"""EC2 keys of the identity service, followed in memory: they sign S3 requests for their project.

A key is found by the hash of its access key. Its secret comes sealed with the cluster key; it is opened when the key is
first used, and kept as long as the key stays as it is.
"""

import time
from collections.abc import Callable

from cluster.coordination.interface import Coordination
from cluster.telemetry.log import get_logger
from identity.following import Follower
from identity.keystone.access.member import Member, of_key
from identity.keystone.published_key import PREFIX, PublishedKey, decode, hash_of_access
from identity.keystone.sealing import Seal, Unreadable

_log = get_logger("identity")


class KeyDirectory:
    """Finds who signs with an EC2 key. `start` it on the event loop."""

    def __init__(
        self, coordination: Coordination, seal: Seal, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._seal = seal
        self._published: dict[str, PublishedKey] = {}  # by hash of the access key
        self._opened: dict[str, Member] = {}  # of them, those that were used
        self._follower = Follower(coordination, PREFIX, self._take, monotonic_s)

    def __repr__(self) -> str:
        return f"KeyDirectory({len(self._published)} keys, {len(self._opened)} opened)"

    def start(self) -> None:
        """Read all keys and follow them. Raise `coordination.errors.Unavailable`."""
        self._follower.start()

    def close(self) -> None:
        """Follow no more."""
        self._follower.close()

    def read_new(self) -> bool:
        """Read what is new unless that was done too often; tell whether it was read."""
        return self._follower.read_new()

    def known_by_access_key(self, access_key: str) -> Member | None:
        """Return who signs with `access_key`, without reading anything."""
        access_hash = hash_of_access(access_key)
        member = self._opened.get(access_hash)
        if member is not None:
            return member
        key = self._published.get(access_hash)
        return None if key is None else self._open(access_hash, key, access_key)

    def _open(self, access_hash: str, key: PublishedKey, access_key: str) -> Member | None:
        try:
            secret = key.secret(self._seal, access_key)
        except (Unreadable, ValueError) as error:
            secret = None
            _log.error("key_unreadable", credential=key.belongs_to, error=error)
        if not secret or key.project.is_domain:  # of no use here: not to be tried with each request
            del self._published[access_hash]
            return None
        member = self._opened[access_hash] = of_key(key, secret)
        return member

    def _take(self, access_hash: str, data: bytes | None) -> None:
        self._opened.pop(access_hash, None)
        self._published.pop(access_hash, None)
        if data is not None:
            try:
                self._published[access_hash] = decode(data)
            except ValueError as error:
                _log.error("key_unreadable", key=access_hash, error=error)
