"""EC2 keys as proxies find them: identity/keystone/access/keys.py, and both tiers of users: identity/tiers.py."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.coordination.embedded import EmbeddedCoordination
from identity.directory import Directory
from identity.keystone.access.keys import KeyDirectory
from identity.keystone.published_key import PREFIX, PublishedKey, encode, hash_of_access
from identity.keystone.sealing import Seal
from identity.keystone.tokens.token import Role
from identity.tiers import TieredUsers
from identity.users import UserStore, new_user
from tests.unit.identity.keystone.access.samples import ANN, PHOTOS, project

SEAL = Seal(bytes(32))


class CountingSeal(Seal):
    """Counts how often a secret was opened."""

    count = 0

    def open(self, sealed: bytes, belongs_to: str) -> bytes:
        self.count += 1
        return super().open(sealed, belongs_to)


class Setting:
    """A service that publishes, and a proxy's users."""

    def __init__(self, directory: Path) -> None:
        self.here = EmbeddedCoordination(directory / "coordination.db")
        self.there = EmbeddedCoordination(directory / "coordination.db")
        self.seal = CountingSeal(bytes(32))
        self.keys = KeyDirectory(self.here, self.seal)
        self.directory = Directory(self.here)
        self.users = TieredUsers(self.directory, self.keys)

    def publish(self, access: str, secret: str, *roles: str, seal: Seal = SEAL, says: str = "") -> None:
        blob = json.dumps({"access": says or access, "secret": secret}).encode()
        key = PublishedKey("c1", seal.seal(blob, "c1"), ANN, project(), tuple(Role(role, role) for role in roles))
        self.there.put(PREFIX + hash_of_access(access), encode(key))

    def secret_of(self, access: str) -> str | None:
        user = self.users.by_access_key(access)
        return None if user is None else user.secret_key


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    made = Setting(tmp_path)

    async def start() -> None:
        made.directory.start()
        made.keys.start()
        made.directory.close()  # changes are found by reading, not by the watch
        made.keys.close()

    asyncio.run(start())
    yield made
    made.here.close()
    made.there.close()


def test_a_key_that_was_just_published_is_found_and_opened_once(setting: Setting) -> None:
    setting.publish("ACCESS", "secret", "member")
    for _ in range(3):
        user = setting.users.by_access_key("ACCESS")
        assert user is not None
        assert (user.account, user.secret_key) == (f"AUTH_{PHOTOS}", "secret")
    assert setting.seal.count == 1


def test_a_key_that_is_known_needs_nobody_any_more(setting: Setting) -> None:
    setting.publish("ACCESS", "secret", "member")
    assert setting.secret_of("ACCESS") == "secret"
    setting.here.close()  # nothing can be asked, for however long
    assert setting.secret_of("ACCESS") == "secret"


def test_users_of_the_bare_cluster_stand_beside(setting: Setting) -> None:
    ann = UserStore(setting.there).add(new_user("ann"))
    assert setting.users.by_access_key(ann.access_key) == ann
    assert setting.users.by_name("ann") == ann
    assert setting.users.by_access_key("NOBODYS") is None


def test_a_change_and_a_removal_count(setting: Setting) -> None:
    setting.publish("ACCESS", "old", "member")
    assert setting.secret_of("ACCESS") == "old"
    setting.publish("ACCESS", "new", "member")
    assert setting.keys.read_new()
    assert setting.secret_of("ACCESS") == "new"
    setting.there.delete(PREFIX + hash_of_access("ACCESS"))
    # a deletion comes by the watch: reading shows what is there only
    setting.keys._take(hash_of_access("ACCESS"), None)
    assert setting.secret_of("ACCESS") is None


def test_what_does_not_open_or_is_another_key_is_no_key(setting: Setting) -> None:
    setting.publish("FOREIGN", "secret", "member", seal=Seal(bytes(31) + b"1"))
    setting.publish("RENAMED", "secret", "member", says="OTHER")
    setting.there.put(PREFIX + hash_of_access("DAMAGED"), b"{}")
    for access in ("FOREIGN", "RENAMED", "DAMAGED"):
        assert setting.secret_of(access) is None
        assert setting.secret_of(access) is None
    assert setting.seal.count == 2, "what was of no use is not tried again"
