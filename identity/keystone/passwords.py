"""Passwords: how they are kept, and the rules for new ones.

A hash is `$scrypt$LOG_N$R$P$SALT$KEY` (salt and key in URL-safe base64): it says its own parameters, so that they can
be raised for new passwords while old ones still verify. Older hashes of a user are its history. Source: RFC 7914 for
scrypt; Keystone's "Security compliance and PCI-DSS" page for the rules.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from identity.keystone.errors import BadRequest
from identity.keystone.schema import passwords

DAY_US = 24 * 3600 * 1_000_000
LONGEST = 4096  # characters; more only costs time
_SALT_SIZE = 16
_KEY_SIZE = 32
_MEMORY_LIMIT = 128 << 20  # bytes that a stored hash may make us take


@dataclass(frozen=True, slots=True)
class Cost:
    """What guessing costs. Memory is 128 · 2^log_n · r bytes: 16 MiB by default, and some 50 ms."""

    log_n: int = 14
    r: int = 8
    p: int = 1


@dataclass(frozen=True, slots=True)
class PasswordRules:
    """What new passwords must be. Administrators may set any that fits the pattern."""

    pattern: str = ""  # regular expression that the whole password must match; empty: any password
    pattern_words: str = ""  # what users are told about it
    lifetime_days: int = 0  # 0: a password never expires
    history: int = 0  # how many former passwords a user may not choose again, the present one included
    minimum_age_days: int = 0  # between two changes by the user
    cost: Cost = Cost()


@dataclass(frozen=True, slots=True)
class Password:
    """A stored password."""

    hash: str
    created_at_us: int
    expires_at_us: int | None

    def is_expired(self, now_us: int) -> bool:
        """Tell whether it must be changed before it can be used."""
        return self.expires_at_us is not None and self.expires_at_us <= now_us


def hash_of(password: str, cost: Cost) -> str:
    """Return what is stored of `password`."""
    salt = os.urandom(_SALT_SIZE)
    key = _scrypt(password, salt, cost)
    return f"$scrypt${cost.log_n}${cost.r}${cost.p}${_text(salt)}${_text(key)}"


def decoy(cost: Cost) -> str:
    """Return a hash that no password has: to verify one against it takes as long as against any other."""
    return f"$scrypt${cost.log_n}${cost.r}${cost.p}${_text(bytes(_SALT_SIZE))}${_text(bytes(_KEY_SIZE))}"


def verifies(password: str, stored: str) -> bool:
    """Tell whether `stored` is the hash of `password`. A hash that is damaged verifies nothing."""
    try:
        empty, kind, log_n, r, p, salt, key = stored.split("$")
        if empty or kind != "scrypt":
            return False
        made = _scrypt(password, _bytes(salt), Cost(int(log_n), int(r), int(p)))
        return hmac.compare_digest(made, _bytes(key))
    except (ValueError, binascii.Error):
        return False


def current(connection: Connection, user_id: str) -> Password | None:
    """Return the password of a user; None: it has none, and cannot authenticate by one."""
    history = _history(connection, user_id, 1)
    return history[0] if history else None


def set_by_administrator(
    connection: Connection, user_id: str, password: str, rules: PasswordRules, now_us: int, expires: bool = True
) -> None:
    """Give a user a new password. Raise BadRequest when it does not match the pattern."""
    _check_form(password, rules)
    _store(connection, user_id, password, rules, now_us, expires, self_service=False)


def change_by_user(
    connection: Connection, user_id: str, password: str, rules: PasswordRules, now_us: int, expires: bool = True
) -> None:
    """Store the password that a user chose. Raise BadRequest when it is one of the last, or comes too soon."""
    _check_form(password, rules)
    former = _history(connection, user_id, max(rules.history, 1))
    if former and not former[0].is_expired(now_us):
        free_at_us = former[0].created_at_us + rules.minimum_age_days * DAY_US
        if now_us < free_at_us:
            raise BadRequest("Cannot change password before the minimum password age is over.")
    if any(verifies(password, each.hash) for each in former[: rules.history]):
        raise BadRequest(
            f"The new password cannot be identical to a previous password. The total number which includes the new "
            f"password must be unique is {rules.history}."
        )
    _store(connection, user_id, password, rules, now_us, expires, self_service=True)


def remove(connection: Connection, user_id: str) -> None:
    """Take a user's password away, and the history with it."""
    connection.execute(delete(passwords).where(passwords.c.user_id == user_id))


def _check_form(password: str, rules: PasswordRules) -> None:
    if not password or len(password) > LONGEST:
        raise BadRequest(f"Invalid input for field 'password': it has from 1 to {LONGEST} characters.")
    if rules.pattern and re.fullmatch(rules.pattern, password) is None:
        raise BadRequest(f"The password does not match the requirements: {rules.pattern_words or rules.pattern}.")


def _store(
    connection: Connection,
    user_id: str,
    password: str,
    rules: PasswordRules,
    now_us: int,
    expires: bool,
    self_service: bool,
) -> None:
    lifetime_us = rules.lifetime_days * DAY_US
    connection.execute(
        insert(passwords).values(
            user_id=user_id,
            hash=hash_of(password, rules.cost),
            created_at_us=now_us,
            expires_at_us=now_us + lifetime_us if lifetime_us and expires else None,
            self_service=self_service,
        )
    )
    kept = (
        select(passwords.c.id)
        .where(passwords.c.user_id == user_id)
        .order_by(passwords.c.id.desc())
        .limit(max(rules.history, 1))
    )
    connection.execute(
        delete(passwords).where(passwords.c.user_id == user_id, passwords.c.id.not_in(kept.scalar_subquery()))
    )


def _history(connection: Connection, user_id: str, count: int) -> list[Password]:
    """Return a user's passwords, the newest first."""
    query = (
        select(passwords.c.hash, passwords.c.created_at_us, passwords.c.expires_at_us)
        .where(passwords.c.user_id == user_id)
        .order_by(passwords.c.id.desc())
        .limit(count)
    )
    return [Password(*row) for row in connection.execute(query)]


def _scrypt(password: str, salt: bytes, cost: Cost) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=salt,
        n=1 << cost.log_n,
        r=cost.r,
        p=cost.p,
        maxmem=_MEMORY_LIMIT,
        dklen=_KEY_SIZE,
    )


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text)
