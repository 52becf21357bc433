"""Tokens without the database: identity/keystone/tokens/validation.py and revoked.py."""

import dataclasses
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from cluster.coordination.embedded import EmbeddedCoordination
from identity.keystone.tokens.fernet import encode
from identity.keystone.tokens.following import Following, key_of, subject_of
from identity.keystone.tokens.keys import Keys
from identity.keystone.tokens.revoked import ALL_TOKENS, Kind, Revoked, Subject, grant
from identity.keystone.tokens.token import Role, Scope, ScopeKind, Token
from identity.keystone.tokens.validation import TokenValidator
from tests.unit.identity.keystone.tokens.test_fernet import PHOTOS, PLAIN

ELSEWHERE = Scope(ScopeKind.PROJECT, "e" * 32, "elsewhere", "other", "Other")
DOMAIN = Scope(ScopeKind.DOMAIN, "other", "Other", "other", "Other")


class Setting:
    """A validator whose keys and clock the test sets."""

    def __init__(self) -> None:
        self.keys: Keys | None = Keys.of({0: Fernet.generate_key(), 1: Fernet.generate_key()})
        self.revoked = Revoked()
        self.now_us = PLAIN.issued_at_us + 1
        self.validator = TokenValidator(self, self.revoked, lambda: self.now_us)

    def current(self) -> Keys | None:
        return self.keys

    def text(self, token: Token = PLAIN) -> str:
        assert self.keys is not None
        return encode(token, self.keys.primary)


@pytest.fixture
def setting() -> Setting:
    return Setting()


def test_a_good_token_says_what_it_said_when_it_was_made(setting: Setting) -> None:
    text = setting.text()
    assert setting.validator.validate(text) == PLAIN
    assert setting.validator.validate(text) is setting.validator.validate(text)  # opened once


def test_it_ends_when_it_expires_remembered_or_not(setting: Setting) -> None:
    text = setting.text()
    setting.now_us = PLAIN.expires_at_us - 1
    assert setting.validator.validate(text) is not None
    setting.now_us += 1
    assert setting.validator.validate(text) is None
    assert TokenValidator(setting, setting.revoked, lambda: setting.now_us).validate(text) is None


def test_it_ends_with_its_key(setting: Setting) -> None:
    text = setting.text()
    assert setting.validator.validate(text) is not None
    setting.keys = Keys.of({0: Fernet.generate_key(), 2: Fernet.generate_key()})
    assert setting.validator.validate(text) is None
    setting.keys = None
    assert setting.validator.validate(text) is None


def test_a_forged_one_is_refused(setting: Setting) -> None:
    assert setting.validator.validate(encode(PLAIN, Fernet(Fernet.generate_key()))) is None
    assert setting.validator.validate("gAAAAA" + "x" * 200) is None


@pytest.mark.parametrize(
    "subject",
    [
        ALL_TOKENS,
        Subject(Kind.USER, PLAIN.user.id),
        Subject(Kind.PROJECT, PHOTOS.id),
        Subject(Kind.DOMAIN, "default"),
        Subject(Kind.ROLE, "b" * 32),
        Subject(Kind.AUDIT, PLAIN.audit_id),
        Subject(Kind.CHAIN, PLAIN.audit_id),
        grant(PLAIN.user.id, PHOTOS.id),
    ],
    ids=lambda subject: subject.kind.value,
)
def test_a_statement_voids_what_was_issued_until_then(setting: Setting, subject: Subject) -> None:
    text = setting.text()
    assert setting.validator.validate(text) is not None
    setting.revoked.put(subject, PLAIN.issued_at_us - 1)
    assert setting.validator.validate(text) is not None
    setting.revoked.put(subject, PLAIN.issued_at_us)
    assert setting.validator.validate(text) is None
    setting.revoked.put(subject, PLAIN.issued_at_us - 1)  # an older one that comes late
    assert setting.validator.validate(text) is None
    setting.revoked.forget(subject)
    assert setting.validator.validate(text) is not None


@pytest.mark.parametrize(
    "subject",
    [
        Subject(Kind.USER, PHOTOS.id),
        Subject(Kind.PROJECT, ELSEWHERE.id),
        Subject(Kind.DOMAIN, "other"),
        Subject(Kind.ROLE, "c" * 32),
        Subject(Kind.AUDIT, "AAAA"),
        grant(PLAIN.user.id, ELSEWHERE.id),
    ],
)
def test_a_statement_about_others_does_nothing(setting: Setting, subject: Subject) -> None:
    setting.revoked.put(subject, PLAIN.expires_at_us)
    assert setting.validator.validate(setting.text()) is not None


def test_the_domains_of_the_user_and_of_the_scope_both_count(setting: Setting) -> None:
    for scope in (ELSEWHERE, DOMAIN):
        for domain_id in ("default", "other"):
            revoked = Revoked()
            revoked.put(Subject(Kind.DOMAIN, domain_id), PLAIN.expires_at_us)
            assert revoked.voids(dataclasses.replace(PLAIN, scope=scope))


def test_a_chain_ends_with_all_that_was_made_from_its_first_token(setting: Setting) -> None:
    child = dataclasses.replace(PLAIN, audit_ids=("_____________________w", PLAIN.audit_id))
    setting.revoked.put(Subject(Kind.AUDIT, PLAIN.audit_id), PLAIN.expires_at_us)
    assert setting.validator.validate(setting.text(child)) is not None
    setting.revoked.put(Subject(Kind.CHAIN, PLAIN.audit_id), PLAIN.expires_at_us)
    assert setting.validator.validate(setting.text(child)) is None


def test_a_program_ends_with_its_credential(setting: Setting) -> None:
    text = setting.text(dataclasses.replace(PLAIN, application_credential_id="c" * 32, roles=(Role("r", "r"),)))
    assert setting.validator.validate(text) is not None
    setting.revoked.put(Subject(Kind.APPLICATION_CREDENTIAL, "c" * 32), PLAIN.issued_at_us)
    assert setting.validator.validate(text) is None


def test_statements_are_followed(tmp_path: Path, setting: Setting) -> None:
    coordination = EmbeddedCoordination(tmp_path / "coordination.db")
    following = Following(coordination)
    subject = Subject(Kind.USER, PLAIN.user.id)
    assert subject_of(key_of(subject)) == subject
    coordination.put(key_of(subject), b"%d" % PLAIN.issued_at_us)
    coordination.put("identity/revoked/unheard-of/1", b"1")
    coordination.put("identity/revoked/user/1", b"not a number")
    following.poll()
    assert following.revoked.voids(PLAIN)
    coordination.close()


def test_tokens_are_not_shown(setting: Setting) -> None:
    text = setting.text()
    setting.validator.validate(text)
    assert text not in repr(setting.validator)
