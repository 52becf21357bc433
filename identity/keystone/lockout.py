"""Slows down who guesses passwords: after some wrong ones in a row a user cannot authenticate by password for a while.

A failure is counted in a transaction of its own: that of the request is undone, since the request fails.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from identity.keystone.schema import failures

_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class LockoutRules:
    """When and for how long."""

    failures: int = 6  # wrong passwords in a row that lock a user out; 0: never
    duration_s: int = 300  # longer: users wait, and who knows a name can make them wait


def is_locked_out(connection: Connection, user_id: str, rules: LockoutRules, now_us: int) -> bool:
    """Tell whether a user must wait, whatever the password."""
    count, last_at_us = _known(connection, user_id)
    return 0 < rules.failures <= count and now_us < last_at_us + rules.duration_s * _SECOND_US


def record_failure(connection: Connection, user_id: str, rules: LockoutRules, now_us: int) -> None:
    """Count a wrong password. The first one after a time of being locked out counts as the first one again."""
    if not rules.failures:
        return
    count, last_at_us = _known(connection, user_id)
    if count >= rules.failures and now_us >= last_at_us + rules.duration_s * _SECOND_US:
        count = 0
    forget_failures(connection, user_id)
    connection.execute(insert(failures).values(user_id=user_id, count=count + 1, last_at_us=now_us))


def has_failures(connection: Connection, user_id: str) -> bool:
    """Tell whether there are failures to forget."""
    return connection.scalar(select(failures.c.user_id).where(failures.c.user_id == user_id)) is not None


def forget_failures(connection: Connection, user_id: str) -> None:
    """Begin to count anew: the password was right, or is a new one."""
    connection.execute(delete(failures).where(failures.c.user_id == user_id))


def _known(connection: Connection, user_id: str) -> tuple[int, int]:
    """Return how many failures were counted, and when the last one was."""
    query = select(failures.c["count"], failures.c.last_at_us).where(failures.c.user_id == user_id)
    row = connection.execute(query).one_or_none()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))
