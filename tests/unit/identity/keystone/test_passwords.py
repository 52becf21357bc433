"""How passwords are kept, and the rules for new ones. Source: RFC 7914; Keystone's security compliance options."""

import dataclasses

import pytest
from sqlalchemy import Connection

from cluster.controlplane.database import retried
from identity.keystone import lockout, passwords
from identity.keystone.errors import BadRequest
from identity.keystone.lockout import LockoutRules
from identity.keystone.passwords import DAY_US, PasswordRules
from tests.unit.identity.keystone.service import CHEAP, SECOND_US, START_US, Service

RULES = PasswordRules(cost=CHEAP)


def test_a_hash_verifies_its_password_alone() -> None:
    stored = passwords.hash_of("sésame", CHEAP)
    assert stored.startswith("$scrypt$4$8$1$")
    assert passwords.verifies("sésame", stored)
    assert not passwords.verifies("sesame", stored)
    assert stored != passwords.hash_of("sésame", CHEAP)


def test_a_known_hash_still_verifies() -> None:
    """RFC 7914, section 12, second vector: N = 1024, r = 8, p = 16, 64 bytes, of which our format keeps 32."""
    stored = "$scrypt$10$8$16$TmFDbA==$_bq-HJ00cgB4VucZDQHp_nxq18vII3gw53N2Y0s3MWI="
    assert passwords.verifies("password", stored)


DAMAGED = ("", "plain", "$scrypt$4$8$1$x", "$scrypt$a$8$1$AA==$AA==", "$scrypt$40$8$1$AA==$AA==")


@pytest.mark.parametrize("stored", DAMAGED)
def test_a_damaged_hash_verifies_nothing(stored: str) -> None:
    assert not passwords.verifies("sesame", stored)


def test_the_last_passwords_are_not_chosen_again(service: Service) -> None:
    rules = dataclasses.replace(RULES, history=2)

    def work(connection: Connection) -> None:
        for index, password in enumerate(("one", "two", "three")):
            passwords.change_by_user(connection, service.user.id, password, rules, START_US + index)
        for password in ("two", "three"):
            with pytest.raises(BadRequest):
                passwords.change_by_user(connection, service.user.id, password, rules, START_US + 9)
        passwords.change_by_user(connection, service.user.id, "one", rules, START_US + 9)
        passwords.set_by_administrator(connection, service.user.id, "one", rules, START_US + 10)

    retried(service.database, work)


def test_passwords_expire_and_have_a_minimum_age(service: Service) -> None:
    rules = dataclasses.replace(RULES, lifetime_days=30, minimum_age_days=1)

    def work(connection: Connection) -> None:
        passwords.set_by_administrator(connection, service.user.id, "one", rules, START_US)
        with pytest.raises(BadRequest):
            passwords.change_by_user(connection, service.user.id, "two", rules, START_US + DAY_US - 1)
        passwords.change_by_user(connection, service.user.id, "two", rules, START_US + DAY_US)
        stored = passwords.current(connection, service.user.id)
        assert stored is not None
        assert not stored.is_expired(START_US + 31 * DAY_US - 1)
        assert stored.is_expired(START_US + 31 * DAY_US)
        passwords.set_by_administrator(connection, service.user.id, "one", rules, START_US, expires=False)
        stored = passwords.current(connection, service.user.id)
        assert stored is not None
        assert stored.expires_at_us is None

    retried(service.database, work)


def test_passwords_match_the_pattern_as_a_whole(service: Service) -> None:
    rules = dataclasses.replace(RULES, pattern=r"(?=.*\d).{7,}", pattern_words="7 characters with a digit")

    def work(connection: Connection) -> None:
        for password in ("", "short1", "long enough", "x" * (passwords.LONGEST + 1)):
            with pytest.raises(BadRequest) as refusal:
                passwords.set_by_administrator(connection, service.user.id, password, rules, START_US)
            assert not password or password not in str(refusal.value)
        passwords.set_by_administrator(connection, service.user.id, "long enough 1", rules, START_US)

    retried(service.database, work)


def test_wrong_passwords_in_a_row_lock_out_for_a_while(service: Service) -> None:
    rules = LockoutRules(failures=3, duration_s=60)
    user_id = service.user.id

    def work(connection: Connection) -> None:
        def is_locked_out(now_us: int) -> bool:
            return lockout.is_locked_out(connection, user_id, rules, now_us)

        for index in range(3):
            assert not is_locked_out(START_US + index)
            lockout.record_failure(connection, user_id, rules, START_US + index)
        end_us = START_US + 2 + 60 * SECOND_US
        assert is_locked_out(end_us - 1)
        assert not is_locked_out(end_us)
        lockout.record_failure(connection, user_id, rules, end_us)
        assert not is_locked_out(end_us)  # it counts as the first one
        lockout.forget_failures(connection, user_id)
        assert not lockout.is_locked_out(connection, user_id, LockoutRules(failures=0), START_US)

    retried(service.database, work)
