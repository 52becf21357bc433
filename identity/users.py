"""Users of a bare cluster: values, and where they are kept.

A name is USER or ACCOUNT:USER; the storage account is AUTH_ACCOUNT, or AUTH_USER without ACCOUNT. So
`photos:ann` and `photos:bob` share what they store. Kept in coordination under `user/NAME` as JSON;
a reader passes over fields that it does not know. An account belongs to its users, and administrators may do anything.
"""

import dataclasses
import hashlib
import json
import re
import secrets
import string
from dataclasses import dataclass, field

from cluster.coordination.errors import Conflict
from cluster.coordination.interface import ABSENT, Coordination
from identity.actions import Action
from identity.errors import InvalidName, NoSuchUser, UserExists

USER_PREFIX = "user/"  # of keys in coordination
ACCOUNT_PREFIX = "AUTH_"
ACCESS_KEY_SIZE = 20  # characters, as S3 clients expect them
SECRET_KEY_SIZE = 40

_ACCESS_KEY_ALPHABET = string.ascii_uppercase + string.digits
_SECRET_KEY_ALPHABET = string.ascii_letters + string.digits  # no + or /: shells and URLs take it as it is
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,62}[A-Za-z0-9])?"
_NAME = re.compile(rf"(?:({_PART}):)?({_PART})")
_ATTEMPTS = 10  # at a change that others keep overtaking


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with keys. Users of the same account have the same `id`: it owns what is stored."""

    name: str
    account: str
    id: str  # 64 hexadecimal digits, as S3 shows an owner
    display_name: str
    access_key: str
    secret_key: str = field(repr=False)
    admin: bool = False  # may do anything in any account

    def may(self, account: str, action: Action) -> bool:
        """See `interfaces.Principal`."""
        return account == self.account or (self.admin and account.startswith(ACCOUNT_PREFIX))

    def listed_as(self, account: str) -> set[str]:
        """See `interfaces.Principal`: `account`, `account:user`, `*:user`, `account:*`, whatever the account."""
        owner, colon, own_name = self.name.partition(":")
        if not colon:
            own_name = owner
        names = {owner, self.account, "*:*", f"*:{own_name}"}
        for each in (owner, self.account):
            names |= {f"{each}:{own_name}", f"{each}:*"}
        return names


def new_user(name: str, admin: bool = False) -> User:
    """Return a user with fresh random keys, not stored yet. Raise InvalidName."""
    account = account_of(name)
    return User(
        name=name,
        account=account,
        id=hashlib.sha256(account.encode()).hexdigest(),
        display_name=name,
        access_key=_random_text(_ACCESS_KEY_ALPHABET, ACCESS_KEY_SIZE),
        secret_key=_random_text(_SECRET_KEY_ALPHABET, SECRET_KEY_SIZE),
        admin=admin,
    )


def with_new_keys(user: User) -> User:
    """Return `user` with fresh random keys; the old ones and all tokens end."""
    fresh = new_user(user.name)
    return dataclasses.replace(user, access_key=fresh.access_key, secret_key=fresh.secret_key)


def account_of(name: str) -> str:
    """Return the account of the user `name`. Raise InvalidName."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise InvalidName(
            f"{name!r} cannot be a user: USER or ACCOUNT:USER, each of at most 64 letters, digits and ._@+- "
            "inside"
        )
    account, user = match.groups()
    return ACCOUNT_PREFIX + (account or user)


def encode(user: User) -> bytes:
    """Return `user` as it is stored."""
    return json.dumps(dataclasses.asdict(user)).encode()


def decode(data: bytes) -> User:
    """Return what `encode` made, by this release or another. Raise ValueError on anything else."""
    values = json.loads(data)
    if not isinstance(values, dict):
        raise ValueError("not a user")
    try:
        return User(**{name: value for name, value in values.items() if name in _FIELDS})
    except TypeError as error:
        raise ValueError(f"not a user: {error}") from None


_FIELDS = frozenset(each.name for each in dataclasses.fields(User))


def _random_text(alphabet: str, size: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(size))


class UserStore:
    """The users of a cluster, for those who manage them. The proxy reads them through a Directory."""

    def __init__(self, coordination: Coordination) -> None:
        self._coordination = coordination

    def add(self, user: User) -> User:
        """Store a new user. Raise UserExists."""
        try:
            self._coordination.put(USER_PREFIX + user.name, encode(user), ABSENT)
        except Conflict:
            raise UserExists(user.name) from None
        return user

    def get(self, name: str) -> User:
        """Return a user. Raise NoSuchUser."""
        value = self._coordination.get(USER_PREFIX + name)
        if value is None:
            raise NoSuchUser(name)
        return decode(value.data)

    def list(self) -> list[User]:
        """Return all users, by name."""
        return [decode(entry.data) for entry in self._coordination.range(USER_PREFIX)]

    def remove(self, name: str) -> None:
        """Remove a user; what it stored stays. Raise NoSuchUser."""
        if not self._coordination.delete(USER_PREFIX + name):
            raise NoSuchUser(name)

    def renew_keys(self, name: str) -> User:
        """Give a user fresh keys. Raise NoSuchUser."""
        for attempts_left in reversed(range(_ATTEMPTS)):
            value = self._coordination.get(USER_PREFIX + name)
            if value is None:
                break
            user = with_new_keys(decode(value.data))
            try:
                self._coordination.put(USER_PREFIX + name, encode(user), value.version)
                return user
            except Conflict:
                if not attempts_left:
                    raise
        raise NoSuchUser(name)
