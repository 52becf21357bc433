"""Tokens as text: identity/keystone/tokens/fernet.py."""

import dataclasses

import pytest
from cryptography.fernet import Fernet

from identity.keystone.tokens.fernet import TEXT_LIMIT, decode, encode
from identity.keystone.tokens.token import SYSTEM_SCOPE, Method, Person, Role, Scope, ScopeKind, Token

KEY = Fernet(Fernet.generate_key())
OTHER = Fernet(Fernet.generate_key())
ANN = Person("f" * 32, "ann", "default", "Default")
PHOTOS = Scope(ScopeKind.PROJECT, "0" * 31 + "1", "photos", "default", "Default")
PLAIN = Token(
    user=ANN,
    methods=(Method.PASSWORD,),
    scope=PHOTOS,
    roles=(Role("a" * 32, "member"), Role("b" * 32, "reader")),
    issued_at_us=1_700_000_000_123_456,
    expires_at_us=1_700_003_600_123_456,
    audit_ids=("AAECAwQFBgcICQoLDA0ODw",),
)

TOKENS = {
    "project": PLAIN,
    "unscoped": dataclasses.replace(PLAIN, scope=None, roles=()),
    "domain": dataclasses.replace(PLAIN, scope=Scope(ScopeKind.DOMAIN, "default", "Default", "default", "Default")),
    "system": dataclasses.replace(PLAIN, scope=SYSTEM_SCOPE),
    "acts as a domain": dataclasses.replace(PLAIN, scope=dataclasses.replace(PHOTOS, is_domain=True)),
    "made from another": dataclasses.replace(
        PLAIN, methods=(Method.PASSWORD, Method.TOKEN), audit_ids=("AAECAwQFBgcICQoLDA0ODw", "_____________________w")
    ),
    "of a program": dataclasses.replace(
        PLAIN,
        methods=(Method.APPLICATION_CREDENTIAL,),
        application_credential_id="c" * 32,
        access_rules=True,
        unrestricted=True,
    ),
    "ids of other forms": dataclasses.replace(PLAIN, user=Person("F" * 32, "Ännchen", "d-1", "Dö")),
    "many roles": dataclasses.replace(PLAIN, roles=tuple(Role(f"{i:032x}", f"role number {i}") for i in range(60))),
}


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS.keys())
def test_a_token_comes_back_as_it_was(token: Token) -> None:
    text = encode(token, KEY)
    assert "=" not in text
    assert len(text) <= TEXT_LIMIT
    assert decode(text, [OTHER, KEY]) == token


def test_a_usual_token_is_short() -> None:
    assert len(encode(PLAIN, KEY)) < 400


def test_without_the_key_it_says_nothing() -> None:
    assert decode(encode(PLAIN, KEY), [OTHER]) is None
    assert decode(encode(PLAIN, KEY), []) is None


def test_every_changed_character_is_noticed() -> None:
    text = encode(PLAIN, KEY)
    for index in range(len(text) - 1):  # the last one has bits that mean nothing
        changed = text[:index] + ("A" if text[index] != "A" else "B") + text[index + 1 :]
        assert decode(changed, [KEY]) is None, index


def test_a_token_has_one_text() -> None:
    text = encode(PLAIN, KEY)
    for other in (text + "=", " " + text, text[:9] + "\n" + text[9:], text + "!"):
        assert decode(other, [KEY]) is None


@pytest.mark.parametrize("text", ["", "A", "gAAAAA", "é" * 20, "gAAAAA" + "A" * TEXT_LIMIT, "not a token", "\0" * 9])
def test_what_is_no_token_is_none(text: str) -> None:
    assert decode(text, [KEY]) is None


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\xc1", b"\1", b"\1garbage", b"\2\x90", b"\0\x91\x02", b"\0\xa1a"])
def test_a_payload_of_another_release_is_no_token(body: bytes) -> None:
    assert decode(KEY.encrypt(body).decode().rstrip("="), [KEY]) is None


def test_a_token_that_no_header_could_carry_is_refused() -> None:
    roles = tuple(Role(Fernet.generate_key().decode()[:40], f"role {i}") for i in range(200))
    with pytest.raises(ValueError, match="200 roles"):
        encode(dataclasses.replace(PLAIN, roles=roles), KEY)
