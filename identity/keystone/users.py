"""Users: who can authenticate. Passwords are in `passwords`; what ends with a user is ended here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from cluster.controlplane.database import refusing_duplicates
from cluster.controlplane.paging import Page, fetch
from identity.keystone import assignments, filters, lockout, passwords, revocations, stale_keys
from identity.keystone.errors import Conflict, Forbidden, NotFound
from identity.keystone.records import DERIVED, OURS, changed, columns_of, new_id, refuse_change
from identity.keystone.schema import memberships, users
from identity.keystone.schema import passwords as stored_passwords
from identity.keystone.settings import Settings
from identity.keystone.tokens.revoked import Kind, Subject

FILTERS = ("name", "domain_id", "enabled")


@dataclass(frozen=True, slots=True)
class User:
    """A user."""

    name: str
    domain_id: str
    enabled: bool = True
    default_project_id: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=new_id)
    created_at_us: int = field(default=0, metadata=OURS)
    password_expires_at_us: int | None = field(default=None, metadata=DERIVED)

    def has(self, option: str) -> bool:
        """Tell whether an option is set, such as `lock_password`."""
        return bool(self.options.get(option))


def get(connection: Connection, user_id: str) -> User:
    """Return a user. Raise NotFound."""
    row = connection.execute(_select().where(users.c.id == user_id)).one_or_none()
    if row is None:
        raise NotFound("user", user_id)
    return User(**row._mapping)


def find(connection: Connection, name: str, domain_id: str) -> User:
    """Return the user of a domain that has this name. Raise NotFound."""
    row = connection.execute(_select().where(users.c.name == name, users.c.domain_id == domain_id)).one_or_none()
    if row is None:
        raise NotFound("user", name)
    return User(**row._mapping)


def list_page(
    connection: Connection, query: Mapping[str, str], page: Page, *additional: "ColumnElement[bool]"
) -> tuple[list[User], bool]:
    """Return the users that a query asks for, and whether there are more."""
    wanted = [*filters.conditions(users, query, FILTERS), *additional]
    listing = fetch(connection, _select().where(*wanted), users.c.id, page)
    return [User(**row._mapping) for row in listing.rows], listing.more


def is_member_of(group_id: str) -> "ColumnElement[bool]":
    """Return the condition that a user is in a group: for `list_page`."""
    return users.c.id.in_(select(memberships.c.user_id).where(memberships.c.group_id == group_id))


def create(connection: Connection, user: User, password: str | None, settings: Settings, now_us: int) -> User:
    """Store a new user, with a password or without. Return it as it is stored. Raise Conflict, BadRequest."""
    user = replace(user, created_at_us=now_us)
    with refusing_duplicates(_name_conflict(user)):
        connection.execute(insert(users).values(**columns_of(user)))
    if password is not None:
        _set_password(connection, user, password, settings, now_us)
    return get(connection, user.id)


def change(
    connection: Connection, user: User, document: Mapping[str, Any], settings: Settings, now_us: int
) -> User:
    """Set the attributes in `document`, `password` among them. Return the user as it is stored.

    Tokens end when the user is disabled or gets another password.
    """
    attributes = {name: value for name, value in document.items() if name != "password"}
    new = changed(user, attributes)
    refuse_change(user, new, "domain_id")
    with refusing_duplicates(_name_conflict(new)):
        connection.execute(update(users).where(users.c.id == user.id).values(**columns_of(new)))
    stale_keys.mark_user(connection, user.id)
    if "password" in document:
        if document["password"] is None:
            passwords.remove(connection, user.id)
        else:
            _set_password(connection, new, document["password"], settings, now_us)
        lockout.forget_failures(connection, user.id)
    if "password" in document or (user.enabled and not new.enabled):
        revocations.revoke(connection, Subject(Kind.USER, user.id), now_us)
    return get(connection, user.id)


def change_password(connection: Connection, user: User, password: str, settings: Settings, now_us: int) -> None:
    """Store the password that a user chose, who has proved to be it; all tokens end. Raise Forbidden, BadRequest."""
    if user.has("lock_password"):
        raise Forbidden("You are not authorized to perform the requested action: the password is locked.")
    passwords.change_by_user(connection, user.id, password, settings.passwords, now_us, _expires(user))
    lockout.forget_failures(connection, user.id)
    revocations.revoke(connection, Subject(Kind.USER, user.id), now_us)


def remove(connection: Connection, user_id: str, now_us: int) -> None:
    """Delete a user; its tokens end. What else ends with it: `removal`."""
    revocations.revoke(connection, Subject(Kind.USER, user_id), now_us)
    assignments.forget_actor(connection, assignments.user(user_id))
    connection.execute(delete(users).where(users.c.id == user_id))


def _set_password(connection: Connection, user: User, password: str, settings: Settings, now_us: int) -> None:
    passwords.set_by_administrator(connection, user.id, password, settings.passwords, now_us, _expires(user))


def _expires(user: User) -> bool:
    return not user.has("ignore_password_expiry")


def _select() -> Any:
    """Return the query for users, with the moment at which the newest password of each expires."""
    newest = (
        select(func.max(stored_passwords.c.id))
        .where(stored_passwords.c.user_id == users.c.id)
        .correlate(users)
        .scalar_subquery()
    )
    expires = (
        select(stored_passwords.c.expires_at_us)
        .where(stored_passwords.c.id == newest)
        .correlate(users)
        .scalar_subquery()
    )
    return select(users, expires.label("password_expires_at_us"))


def _name_conflict(user: User) -> Conflict:
    return Conflict("user", f"Duplicate entry found with name {user.name} at domain ID {user.domain_id}")
