"""What proxies must know, told to coordination: an outbox that is written with the change it tells of.

A row is written in the transaction of the change, and carried once that is committed (`carrier`). A row has what its
key shall have; a row of an S3 key is but a note that it has to be looked at (`stale_keys`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select

from identity.keystone.schema import outbox


@dataclass(frozen=True, slots=True)
class Message:
    """One key and what it shall have."""

    sequence: int
    key: str
    data: bytes | None = field(repr=False)  # None: the key is removed


def publish(connection: Connection, key: str, data: bytes | None) -> None:
    """Have `key` put, or deleted (None), in coordination once this transaction is committed."""
    connection.execute(insert(outbox).values(key=key, data=data))


def waiting(connection: Connection, limit: int) -> list[Message]:
    """Return the oldest messages that have not been carried yet, in order."""
    rows = connection.execute(select(outbox).order_by(outbox.c.sequence).limit(limit))
    return [Message(row.sequence, row.key, row.data) for row in rows]


def forget(connection: Connection, messages: Iterable[Message]) -> None:
    """Forget messages that have been carried; these alone: one with a lower number may be committed later."""
    sequences = [message.sequence for message in messages]
    connection.execute(delete(outbox).where(outbox.c.sequence.in_(sequences)))
