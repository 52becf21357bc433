"""What a new cluster begins with: identity/keystone/bootstrap.py."""

from dataclasses import replace
from pathlib import Path

from cluster.controlplane.database import Database, retried
from cluster.controlplane.service_user import service_user
from identity.keystone import (
    assignments,
    credentials,
    effective,
    endpoints,
    passwords,
    projects,
    roles,
    services,
    users,
)
from identity.keystone.bootstrap import Beginning, Begun, ServiceAt, ensure, ensure_service_user
from identity.keystone.endpoints import INTERFACES
from identity.keystone.passwords import PasswordRules
from identity.keystone.schema import metadata
from identity.keystone.sealing import Seal
from identity.keystone.settings import Settings
from identity.keystone.tokens.token import SYSTEM_SCOPE, Scope, ScopeKind
from identity.keystone.users import User
from tests.databases import url_in
from tests.unit.identity.keystone.service import SETTINGS

SEAL = Seal(b"k" * 32)
SWIFT = ServiceAt("object-store", "holdfast", "http://here/v1/AUTH_$(project_id)s")


def empty(directory: Path) -> Database:
    database = Database(url_in(directory))
    retried(database, metadata.create_all)
    return database


def begun(database: Database, wish: Beginning, settings: Settings = SETTINGS) -> Begun:
    return retried(database, lambda connection: ensure(connection, wish, settings, 1_000_000))


def test_an_administrator_may_do_everything(tmp_path: Path) -> None:
    database = empty(tmp_path)
    made = begun(database, Beginning("sesame", services=(SWIFT,)))
    with database.reading() as connection:
        for scope in (Scope(ScopeKind.PROJECT, made.project_id), SYSTEM_SCOPE):
            names = [role.name for role in effective.roles_in(connection, made.user_id, scope)]
            assert names == ["admin", "manager", "member", "reader"]
        assert roles.get(connection, made.role_ids["service"]).is_immutable
        (service,) = services.list_all(connection)
        assert {each.interface for each in endpoints.list_all(connection, service.id)} == set(INTERFACES)


def test_done_again_it_keeps_passwords_and_sets_urls_right(tmp_path: Path) -> None:
    database = empty(tmp_path)
    first = begun(database, Beginning("sesame", services=(SWIFT,)))
    moved = ServiceAt(SWIFT.type, SWIFT.name, "http://there/v1/AUTH_$(project_id)s")
    assert begun(database, Beginning("another", services=(moved,))) == first
    with database.reading() as connection:
        stored = passwords.current(connection, first.user_id)
        assert stored is not None
        assert passwords.verifies("sesame", stored.hash)
        assert {each.url for each in endpoints.list_all(connection)} == {moved.url}


def test_the_password_is_not_shown() -> None:
    assert "sesame" not in repr(Beginning("sesame"))


def test_a_service_has_a_user_with_roles_and_a_key_and_is_left_as_it_is_later(tmp_path: Path) -> None:
    database = empty(tmp_path)
    begun(database, Beginning("sesame"))
    wish = service_user(b"k" * 32, "images")
    rules = replace(SETTINGS, passwords=PasswordRules(pattern="^never$"))
    for _start in range(2):
        retried(database, lambda connection: ensure_service_user(connection, SEAL, wish, rules, 2_000_000))
    with database.reading() as connection:
        user = users.find(connection, "images", "default")
        project = projects.find(connection, "service", "default")
        scope = Scope(ScopeKind.PROJECT, project.id)
        assert user.id == wish.id
        assert [role.name for role in effective.roles_in(connection, user.id, scope)] == ["member", "reader", "service"]
        stored = passwords.current(connection, user.id)
        assert stored is not None
        assert passwords.verifies(wish.password, stored.hash)
        key = credentials.by_access_key(connection, SEAL, wish.access_key)
        assert key is not None
        assert credentials.keys_of(key) == (wish.access_key, wish.secret_key)
        assert (key.user_id, key.project_id) == (wish.id, project.id)


def test_somebody_else_of_the_name_of_a_service_gets_nothing(tmp_path: Path) -> None:
    database = empty(tmp_path)
    begun(database, Beginning("sesame"))
    retried(database, lambda connection: users.create(connection, User("images", "default"), "own", SETTINGS, 1))
    wish = service_user(b"k" * 32, "images")
    retried(database, lambda connection: ensure_service_user(connection, SEAL, wish, SETTINGS, 2_000_000))
    with database.reading() as connection:
        user = users.find(connection, "images", "default")
        assert user.id != wish.id
        assert assignments.list_all(connection, [assignments.user(user.id)]) == []
        assert credentials.by_access_key(connection, SEAL, wish.access_key) is None
