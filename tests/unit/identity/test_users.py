"""Users and where they are kept: identity/users.py."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.coordination.embedded import EmbeddedCoordination
from identity.errors import InvalidName, NoSuchUser, UserExists
from identity.users import User, UserStore, account_of, decode, encode, new_user, with_new_keys

STORED = (
    b'{"name": "photos:ann", "account": "AUTH_photos", "id": "'
    + b"ab" * 32
    + b'", "display_name": "photos:ann", "access_key": "AKAKAKAKAKAKAKAKAKAK", "secret_key": "s3cr3t", "admin": true}'
)


@pytest.fixture
def coordination(tmp_path: Path) -> Iterator[EmbeddedCoordination]:
    made = EmbeddedCoordination(tmp_path / "coordination.db")
    yield made
    made.close()


@pytest.fixture
def store(coordination: EmbeddedCoordination) -> UserStore:
    return UserStore(coordination)


def test_keys_are_random_and_of_the_usual_shape() -> None:
    users = [new_user(f"user{number}") for number in range(50)]
    assert len({user.access_key for user in users}) == len({user.secret_key for user in users}) == 50
    for user in users:
        assert len(user.access_key) == 20
        assert len(user.secret_key) == 40
        assert set(user.access_key) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
        assert user.secret_key.isalnum()


def test_the_account_is_named_before_the_colon_or_after_the_user() -> None:
    assert account_of("ann") == "AUTH_ann"
    assert account_of("photos:ann") == "AUTH_photos"


def test_users_of_an_account_have_the_same_owner_id() -> None:
    ann, bob, other = new_user("photos:ann"), new_user("photos:bob"), new_user("other")
    assert ann.id == bob.id == hashlib.sha256(b"AUTH_photos").hexdigest()
    assert other.id != ann.id
    assert ann.display_name == "photos:ann"
    assert not ann.admin
    assert new_user("admin", admin=True).admin


@pytest.mark.parametrize(
    "name", ["", ":", "a:", ":b", "a:b:c", "a/b", "a b", "-a", "a.", "é", "a\n", "a" * 65, "..", "a\0"]
)
def test_a_name_that_would_be_trouble_in_a_url_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        new_user(name)


@pytest.mark.parametrize("name", ["a", "A1", "ann.lee@example.org", "a-b_c+d", "a" * 64, "p:" + "a" * 64])
def test_usual_names_will_do(name: str) -> None:
    assert new_user(name).name == name


@given(st.text(), st.text(), st.booleans())
def test_what_is_encoded_decodes_the_same(name: str, secret: str, admin: bool) -> None:
    user = User(name, "AUTH_" + name, "00", name, "AK", secret, admin)
    assert decode(encode(user)) == user


def test_a_stored_user_can_still_be_read() -> None:
    user = decode(STORED)
    assert user == User("photos:ann", "AUTH_photos", "ab" * 32, "photos:ann", "AKAKAKAKAKAKAKAKAKAK", "s3cr3t", True)


def test_a_reader_passes_over_what_a_newer_release_added() -> None:
    newer = {**json.loads(STORED), "quota_bytes": 5}
    assert decode(json.dumps(newer).encode()) == decode(STORED)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"name": "a"}', b"\xff"])
def test_damage_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  json and ours
        decode(data)


def test_a_secret_is_not_shown() -> None:
    user = new_user("ann")
    assert user.secret_key not in repr(user)


def test_users_are_added_listed_and_removed(store: UserStore) -> None:
    bob, ann = store.add(new_user("bob")), store.add(new_user("ann"))
    assert store.list() == [ann, bob]
    assert store.get("ann") == ann
    store.remove("ann")
    assert store.list() == [bob]
    with pytest.raises(NoSuchUser, match="there is no user ann"):
        store.get("ann")
    with pytest.raises(NoSuchUser):
        store.remove("ann")


def test_of_two_who_add_the_same_name_the_first_stays(store: UserStore) -> None:
    first = store.add(new_user("ann"))
    with pytest.raises(UserExists, match="there is already a user ann"):
        store.add(new_user("ann"))
    assert store.get("ann") == first


def test_new_keys_leave_the_rest(store: UserStore) -> None:
    before = store.add(new_user("photos:ann", admin=True))
    after = store.renew_keys("photos:ann")
    assert store.get("photos:ann") == after
    assert after.access_key != before.access_key
    assert after.secret_key != before.secret_key
    assert (after.name, after.account, after.id, after.admin) == (before.name, before.account, before.id, True)
    with pytest.raises(NoSuchUser):
        store.renew_keys("bob")


def test_new_keys_lose_no_change_that_another_made_meanwhile(
    store: UserStore, coordination: EmbeddedCoordination, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = store.add(new_user("ann"))
    promoted = decode(encode(ann).replace(b'"admin": false', b'"admin": true'))
    overtaking = [promoted]

    def overtaken(user: User) -> User:
        if overtaking:
            coordination.put("user/ann", encode(overtaking.pop()))
        return with_new_keys(user)

    monkeypatch.setattr("identity.users.with_new_keys", overtaken)
    assert store.renew_keys("ann").admin
    assert store.get("ann").admin
