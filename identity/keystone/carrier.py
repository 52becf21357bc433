"""Carries the outbox to coordination, from where the proxies have it.

Rows are carried in order, after the commit, and by a thread while coordination was away; they are removed once they
have arrived. To carry one twice does no harm. So that no older row of a key arrives after a newer one, only who holds
the lease carries, and one thread at a time. S3 keys are made up from the database when they are carried.
"""

import threading

from sqlalchemy import Connection

from cluster.controlplane.database import Database, retried
from cluster.coordination.errors import CoordinationError
from cluster.coordination.interface import Coordination
from cluster.telemetry.log import get_logger
from identity.keystone import ec2_keys, published_key
from identity.keystone.publication import Message, forget, waiting

LEASE = "identity/outbox"
_LEASE_TTL_S = 30.0
_AT_ONCE = 200  # rows that one step carries: well within the lease

_log = get_logger("identity")


class Carrier:
    """Carries the outbox to coordination. `step` after a commit, and every second besides."""

    def __init__(self, database: Database, coordination: Coordination, holder: str) -> None:
        self._database = database
        self._coordination = coordination
        self._holder = holder
        self._carrying = threading.Lock()

    def __repr__(self) -> str:
        return f"Carrier({self._holder})"

    def step(self) -> int:
        """Carry some messages and return how many. While coordination is away, or another carries, none."""
        with self._carrying:
            return self._step()

    def _step(self) -> int:
        with self._database.reading() as connection:
            messages = waiting(connection, _AT_ONCE)
        if not messages:
            return 0
        try:
            lease = self._coordination.acquire(LEASE, self._holder, _LEASE_TTL_S)
            try:
                return self._carry()
            finally:
                self._coordination.release(lease)
        except CoordinationError as error:
            _log.warning("publication_delayed", waiting=len(messages), error=error)
            return 0

    def _carry(self) -> int:
        with self._database.reading() as connection:
            messages = waiting(connection, _AT_ONCE)  # again: whoever had the lease before may have carried them
            newest = {message.key: _wanted(connection, message) for message in messages}
        for key, data in newest.items():
            if data is None:
                self._coordination.delete(key)
            else:
                self._coordination.put(key, data)
        if messages:
            retried(self._database, lambda connection: forget(connection, messages))
        return len(messages)


def _wanted(connection: Connection, message: Message) -> bytes | None:
    """Return what the key of `message` shall have."""
    if message.key.startswith(published_key.PREFIX):
        return ec2_keys.current(connection, message.key)
    return message.data
