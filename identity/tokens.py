"""Tokens of `/auth/v1.0`: signed statements, so that no process has to remember them.

    "AUTH_tk" + base64url(version 1 | expiry 8 | name size 1 | name | account | HMAC-SHA256 32)

Sizes in bytes, expiry in seconds since 1970, big-endian, no padding. The signature is made with the
cluster key and the user's secret key: a token ends when it expires, when its user is removed, and when
the user gets new keys. All processes of a cluster accept each other's tokens.
"""

import hmac
import re
import struct
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from identity.interfaces import Users
from identity.users import User

PREFIX = "AUTH_tk"
_VERSION = 1
_HEAD = struct.Struct(">BQB")  # version, expiry, size of the name
_SIGNATURE_SIZE = 32
_TEXT = re.compile(PREFIX + "[A-Za-z0-9_-]{1,1024}")
_CACHE_LIMIT = 10_000  # tokens known to be good


@dataclass(frozen=True, slots=True)
class Statement:
    """What a token says."""

    name: str
    account: str
    expires_s: int  # since 1970


class _Known(NamedTuple):
    """A token that was verified, and against which state of its user."""

    user: User
    expires_s: int


def encode(statement: Statement, key: bytes) -> str:
    """Return the token that states this, signed with `key`."""
    name = statement.name.encode()
    head = _HEAD.pack(_VERSION, statement.expires_s, len(name))
    body = head + name + statement.account.encode()
    return PREFIX + urlsafe_b64encode(body + _signature(key, body)).decode().rstrip("=")


def decode(text: str) -> tuple[Statement, bytes, bytes] | None:
    """Return what a token states, the bytes that are signed, and the signature; None: not a token.

    Nothing of it may be believed before the signature is checked.
    """
    if not _TEXT.fullmatch(text):
        return None
    encoded = text.removeprefix(PREFIX)
    try:
        data = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        version, expires_s, name_size = _HEAD.unpack_from(data)
        body, signature = data[:-_SIGNATURE_SIZE], data[-_SIGNATURE_SIZE:]
        names = body[_HEAD.size :]
        statement = Statement(names[:name_size].decode(), names[name_size:].decode(), expires_s)
    except (Base64Error, struct.error, ValueError):
        return None
    return (statement, body, signature) if version == _VERSION else None


def _signature(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")


class Tokens:
    """Gives out tokens and finds the user of one."""

    def __init__(
        self, cluster_key: bytes, users: Users, ttl_s: float, wall_s: Callable[[], float] = time.time
    ) -> None:
        self._cluster_key = cluster_key
        self._users = users
        self._ttl_s = ttl_s
        self._wall_s = wall_s
        self._known: dict[str, _Known] = {}  # by token, oldest first

    def __repr__(self) -> str:
        return f"Tokens({len(self._known)} known)"

    def issue(self, user: User) -> tuple[str, int]:
        """Return a token for `user`, and its expiry in seconds since 1970."""
        expires_s = int(self._wall_s() + self._ttl_s)
        return encode(Statement(user.name, user.account, expires_s), self._key_of(user)), expires_s

    def verify(self, token: str) -> User | None:
        """Return the user of `token`, or None when it is not, or no longer, good."""
        known = self._known.get(token)
        if known is not None:
            if known.expires_s > self._wall_s() and self._users.by_name(known.user.name) is known.user:
                return known.user
            del self._known[token]
        return self._verify_unknown(token)

    def _verify_unknown(self, token: str) -> User | None:
        decoded = decode(token)
        if decoded is None:
            return None
        statement, body, signature = decoded
        user = self._users.by_name(statement.name)
        if user is None or not hmac.compare_digest(_signature(self._key_of(user), body), signature):
            return None
        if statement.expires_s <= self._wall_s() or statement.account != user.account:
            return None
        while len(self._known) >= _CACHE_LIMIT:
            del self._known[next(iter(self._known))]
        self._known[token] = _Known(user, statement.expires_s)
        return user

    def _key_of(self, user: User) -> bytes:
        return hmac.digest(self._cluster_key, b"token of " + user.secret_key.encode(), "sha256")
