"""Whose a token is: identity/keystone/access/tokens.py, and both kinds of tokens: identity/tiers.py."""

import pytest
from cryptography.fernet import Fernet

from identity.keystone.access.member import of_token
from identity.keystone.access.tokens import MemberTokens
from identity.keystone.tokens import fernet
from identity.keystone.tokens.keys import Keys
from identity.keystone.tokens.revoked import Kind, Revoked, Subject
from identity.keystone.tokens.token import Token
from identity.keystone.tokens.validation import TokenValidator
from identity.tiers import TieredTokens
from identity.tokens import Tokens
from identity.users import User, new_user
from tests.unit.identity.keystone.access.samples import ANN, token

KEYS = Keys.of({0: Fernet.generate_key(), 1: Fernet.generate_key()})
BOB = new_user("bob")


class Fixed:
    """Keys that stay, and one user."""

    def current(self) -> Keys:
        return KEYS

    def by_access_key(self, access_key: str) -> User | None:
        return None

    def by_name(self, name: str) -> User | None:
        return BOB if name == "bob" else None


class Setting:
    """What a proxy has, and the clock."""

    def __init__(self) -> None:
        self.now_us = 2_000_000
        self.revoked = Revoked()
        self.members = MemberTokens(TokenValidator(Fixed(), self.revoked, lambda: self.now_us))
        bare = Tokens(bytes(32), Fixed(), 3600, lambda: self.now_us / 1e6)
        self.tokens = TieredTokens(bare, self.members)


@pytest.fixture
def setting() -> Setting:
    return Setting()


def sealed(value: Token) -> str:
    return fernet.encode(value, KEYS.primary)


def test_a_token_is_somebody_and_the_same_object_each_time(setting: Setting) -> None:
    text = sealed(token("member"))
    first = setting.members.verify(text)
    assert first == of_token(token("member"))
    assert setting.members.verify(text) is first


def test_a_revoked_token_and_an_expired_one_are_nobodys(setting: Setting) -> None:
    text = sealed(token("member"))
    assert setting.members.verify(text) is not None
    setting.revoked.put(Subject(Kind.USER, ANN.id), 1_500_000)
    assert setting.members.verify(text) is None
    setting.revoked.forget(Subject(Kind.USER, ANN.id))
    assert setting.members.verify(text) is not None
    setting.now_us = 3_601_000_001
    assert setting.members.verify(text) is None


def test_an_outage_of_ten_minutes_fails_nobody_whose_token_holds(setting: Setting) -> None:
    """Nothing is heard of the service meanwhile: keys and revocations are those of the beginning."""
    known, unknown = sealed(token("member")), sealed(token("reader"))
    assert setting.members.verify(known) is not None
    for _minute in range(10):
        setting.now_us += 60 * 1_000_000
        assert setting.tokens.verify(known) is not None
    assert setting.tokens.verify(unknown) is not None  # its first request


def test_a_token_with_access_rules_is_refused(setting: Setting) -> None:
    text = sealed(token("member", application_credential_id="c" * 32, access_rules=True))
    assert setting.members.verify(text) is None
    text = sealed(token("member", application_credential_id="c" * 32))
    assert setting.members.verify(text) is not None


def test_both_kinds_of_tokens_are_taken(setting: Setting) -> None:
    text, _expires_s = setting.tokens.issue(BOB)
    assert setting.tokens.verify(text) is BOB
    assert setting.tokens.verify(sealed(token("member"))) == of_token(token("member"))
    for nonsense in ("", "AUTH_tk", "gAAAA", sealed(token("member"))[:-2]):
        assert setting.tokens.verify(nonsense) is None
