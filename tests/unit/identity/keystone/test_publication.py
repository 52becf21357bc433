"""What the proxies are told: publication.py, carrier.py, stale_keys.py, ec2_keys.py and published_key.py."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from cluster.coordination.embedded import EmbeddedCoordination
from cluster.coordination.errors import Unavailable
from identity.keystone import publication, revocations
from identity.keystone.carrier import LEASE, Carrier
from identity.keystone.published_key import PREFIX, PublishedKey, decode, encode, hash_of_access
from identity.keystone.schema import credentials
from identity.keystone.sealing import Seal
from identity.keystone.tokens.following import Following
from identity.keystone.tokens.revoked import Kind, Subject
from identity.keystone.tokens.token import Person, Role, Scope, ScopeKind
from identity.keystone.tokens.validation import TokenValidator
from tests.unit.identity.keystone.stack import SEAL, Caller, Stack, project_scope


class Failing(EmbeddedCoordination):
    """Coordination that can be away."""

    is_away = False

    def put(self, key: str, data: bytes, expect: int | None = None) -> int:
        if self.is_away:
            raise Unavailable("away")
        return super().put(key, data, expect)


class Setting:
    """A service, coordination, and what a proxy knows."""

    def __init__(self, directory: Path) -> None:
        self.stack = Stack(directory)
        self.coordination = Failing(directory / "coordination.db")
        self.carrier = Carrier(self.stack.database, self.coordination, "here")
        self.following = Following(self.coordination)
        self.validator = TokenValidator(self.stack.keys, self.following.revoked, self.stack.clock)
        self.ann = self.stack.login("ann", scope=project_scope("photos"))

    def carry(self) -> None:
        while self.carrier.step():
            pass
        self.following.poll()

    def waiting(self) -> int:
        with self.stack.database.reading() as connection:
            return len(publication.waiting(connection, 1000))

    def proxy_accepts(self, caller: Caller) -> bool:
        return self.validator.validate(caller.text) is not None

    def new_key(self) -> Any:
        path = f"/users/{self.stack.ann['id']}/credentials/OS-EC2"
        return self.ann.ask(201, "POST", path, {"tenant_id": self.stack.photos["id"]})["credential"]

    def published(self, access: str) -> PublishedKey | None:
        self.carry()
        value = self.coordination.get(PREFIX + hash_of_access(access))
        return None if value is None else decode(value.data)


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    made = Setting(tmp_path)
    yield made
    made.coordination.close()


KEY = PublishedKey(
    belongs_to="1",
    sealed=b"\0\1",
    user=Person("u", "ann", "d", "D"),
    project=Scope(ScopeKind.PROJECT, "p", "photos", "d", "D"),
    roles=(Role("r", "member"),),
)


def test_a_published_key_comes_back_as_it_was() -> None:
    assert decode(encode(KEY)) == KEY
    more = json.dumps({**json.loads(encode(KEY)), "unheard_of": 1}).encode()
    assert decode(more) == KEY


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"1", b"\xff", b'{"belongs_to": 1, "sealed": "x"}'])
def test_what_is_no_key_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 of any kind
        decode(data)


def test_a_key_is_published_without_its_secret(setting: Setting) -> None:
    made = setting.new_key()
    key = setting.published(made["access"])
    assert key is not None
    assert (key.user.name, key.project.name) == ("ann", "photos")
    assert [role.name for role in key.roles] == ["member", "reader"]
    assert key.secret(SEAL, made["access"]) == made["secret"]
    assert key.secret(SEAL, "another") is None
    data = b"".join(entry.data + entry.key.encode() for entry in setting.coordination.range(PREFIX))
    assert made["secret"].encode() not in data
    assert made["access"].encode() not in data


@pytest.mark.parametrize("what", ["key", "user", "project", "role", "user gone", "password", "group"])
def test_a_key_is_known_while_it_gives_rights(setting: Setting, what: str) -> None:
    stack = setting.stack
    made = setting.new_key()
    assert setting.published(made["access"]) is not None
    stack.pass_s(1)
    user, project = f"/users/{stack.ann['id']}", f"/projects/{stack.photos['id']}"
    grant = f"{project}{user}/roles/{stack.roles['member'].id}"
    if what == "group":
        group = stack.make("group", name="them")
        stack.admin.ask(204, "PUT", f"/groups/{group['id']}{user}")
        stack.admin.ask(204, "DELETE", grant)
        assert setting.published(made["access"]) is None
        stack.admin.ask(204, "PUT", f"{project}/groups/{group['id']}/roles/{stack.roles['reader'].id}")
        key = setting.published(made["access"])
        assert key is not None
        assert [role.name for role in key.roles] == ["reader"]
        stack.admin.ask(204, "DELETE", f"/groups/{group['id']}{user}")
    elif what == "password":
        stack.admin.ask(200, "PATCH", user, {"user": {"password": "another"}})
        assert setting.published(made["access"]) is not None
        return
    else:
        method, path, document = {
            "key": ("DELETE", f"{user}/credentials/OS-EC2/{made['access']}", None),
            "user": ("PATCH", user, {"user": {"enabled": False}}),
            "user gone": ("DELETE", user, None),
            "project": ("PATCH", project, {"project": {"enabled": False}}),
            "role": ("DELETE", grant, None),
        }[what]
        assert stack.admin.request(method, path, document).status_code in (200, 204)
    assert setting.published(made["access"]) is None
    if what in ("user", "project"):
        stack.admin.ask(200, "PATCH", user, {"user": {"enabled": True}})
        stack.admin.ask(200, "PATCH", project, {"project": {"enabled": True}})
        assert setting.published(made["access"]) is not None


def test_a_proxy_refuses_what_was_revoked(setting: Setting) -> None:
    assert setting.proxy_accepts(setting.ann)
    setting.ann.ask(204, "DELETE", "/auth/tokens", subject=setting.ann.text)
    setting.carry()
    assert not setting.proxy_accepts(setting.ann)


def test_a_proxy_refuses_a_token_with_roles_that_were_taken_away(setting: Setting) -> None:
    setting.stack.pass_s(1)
    setting.stack.grant("ann", "photos", "admin")
    setting.stack.revoke("ann", "photos", "admin")
    setting.carry()
    assert not setting.proxy_accepts(setting.ann)
    setting.ann.ask(200, "GET", "/auth/projects")  # the service itself asks the database
    setting.stack.pass_s(1)
    assert setting.proxy_accepts(setting.stack.login("ann", scope=project_scope("photos")))


def test_what_could_not_be_carried_waits(setting: Setting) -> None:
    setting.carry()
    setting.coordination.is_away = True
    setting.ann.ask(204, "DELETE", "/auth/tokens", subject=setting.ann.text)
    assert setting.carrier.step() == 0
    assert setting.waiting() > 0
    setting.coordination.is_away = False
    setting.carry()
    assert setting.waiting() == 0
    assert not setting.proxy_accepts(setting.ann)


def test_one_carries_at_a_time(setting: Setting) -> None:
    lease = setting.coordination.acquire(LEASE, "elsewhere", 30)
    setting.ann.ask(204, "DELETE", "/auth/tokens", subject=setting.ann.text)
    assert setting.carrier.step() == 0
    setting.coordination.release(lease)
    assert setting.carrier.step() > 0


def test_statements_are_swept_out_when_their_tokens_have_expired(setting: Setting) -> None:
    stack, lifetime_us = setting.stack, 3_600_000_000
    setting.ann.ask(204, "DELETE", "/auth/tokens", subject=setting.ann.text)
    with stack.database.writing() as connection:
        assert revocations.sweep(connection, stack.clock.now_us, lifetime_us) == 0
    stack.pass_s(3601)
    with stack.database.writing() as connection:
        assert revocations.sweep(connection, stack.clock.now_us, lifetime_us) == 1
    setting.carry()
    assert setting.coordination.range("identity/revoked/") == []


def test_a_chain_ends_as_a_whole(setting: Setting) -> None:
    stack = setting.stack
    child = Caller(stack, stack.by_token(setting.ann.text).headers["X-Subject-Token"])
    with stack.database.reading() as connection:
        token = stack.provider.validate(connection, child.text)
    stack.write(lambda connection: revocations.revoke_chain(connection, token, stack.clock.now_us))
    setting.carry()
    for caller in (setting.ann, child):
        caller.ask(401, "GET", "/auth/projects")
        assert not setting.proxy_accepts(caller)


def test_an_earlier_moment_takes_nothing_back(setting: Setting) -> None:
    subject = Subject(Kind.USER, setting.stack.ann["id"])
    for moment_us in (setting.stack.clock.now_us, 1):
        setting.stack.write(lambda connection, at_us=moment_us: revocations.revoke(connection, subject, at_us))
    setting.ann.ask(401, "GET", "/auth/projects")


def test_an_error_of_the_database_shows_no_parameters(setting: Setting) -> None:
    values = {"id": "1", "user_id": "1", "type": "secret data", "encrypted_blob": b"", "created_at_us": 0}
    row = {**values, "access_hash": None, "project_id": None, "extra": {}}
    with pytest.raises(IntegrityError) as caught, setting.stack.database.writing() as connection:
        connection.execute(insert(credentials), [row, row])
    assert "secret data" not in str(caught.value)


def test_nothing_secret_is_shown() -> None:
    message = publication.Message(1, "key", b"secret data")
    assert "secret data" not in repr(message) + repr(KEY) + repr(Seal(bytes(32)))
