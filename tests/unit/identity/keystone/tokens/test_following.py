"""Keys and revocations as they are followed: identity/keystone/tokens/following.py."""

from cryptography.fernet import Fernet

from cluster.coordination.interface import Change
from identity.keystone.tokens.following import KeyFollower
from identity.keystone.tokens.keys import KEY_PREFIX

ONE, TWO = Fernet.generate_key(), Fernet.generate_key()


def test_keys_come_and_go() -> None:
    follower = KeyFollower()
    assert follower.current() is None
    follower.apply([Change(f"{KEY_PREFIX}0", 1, ONE), Change(f"{KEY_PREFIX}1", 2, TWO)])
    keys = follower.current()
    assert keys is not None
    assert keys.primary_number == 1
    follower.apply([Change(f"{KEY_PREFIX}1", 2, TWO)])
    assert follower.current() is keys, "the same object until they change"
    follower.apply([Change(f"{KEY_PREFIX}1", 3, None)])
    assert follower.current() is not keys


def test_damaged_keys_leave_those_that_were_good() -> None:
    follower = KeyFollower()
    follower.apply([Change(f"{KEY_PREFIX}1", 1, ONE)])
    keys = follower.current()
    for change in (Change(f"{KEY_PREFIX}2", 2, b"nonsense"), Change(f"{KEY_PREFIX}x", 3, TWO)):
        follower.apply([change])
        assert follower.current() is keys
    follower.apply([Change(f"{KEY_PREFIX}2", 4, TWO), Change(f"{KEY_PREFIX}x", 5, None)])
    again = follower.current()
    assert again is not None
    assert again.primary_number == 2
