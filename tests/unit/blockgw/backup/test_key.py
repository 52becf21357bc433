"""Keys, and what unwraps them."""

import json
from typing import Any

import pytest

from blockgw.backup import key as keys
from blockgw.backup.cipher import Plain
from blockgw.backup.errors import BackupError, WrongKey
from blockgw.backup.key import Secret, cipher_of, new_key

FILE = Secret.file(bytes(range(40)))


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_SCRYPT", {"n": 16, "r": 8, "p": 1})


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("secret", [FILE, Secret.passphrase("pässphrase")], ids=["file", "passphrase"])
def test_a_key_is_unwrapped_by_the_secret_that_it_was_wrapped_with(secret: Secret) -> None:
    document = json.loads(json.dumps(new_key(secret)))
    one, other = cipher_of(document, secret), cipher_of(document, secret)
    assert other.open(one.seal(b"text", b"about"), b"about") == b"text"
    assert cipher_of(new_key(secret), secret).piece_id(b"x") != one.piece_id(b"x"), "each key is a new one"


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize(
    ("made", "given", "reason"),
    [
        (None, FILE, "not encrypted"),
        (FILE, None, "encrypted: give"),
        (FILE, Secret.file(bytes(32)), "not the passphrase or key file"),
        (FILE, Secret.passphrase("x"), "with a key file"),
        (Secret.passphrase("x"), FILE, "with a passphrase"),
        (Secret.passphrase("x"), Secret.passphrase("y"), "not the passphrase or key file"),
    ],
)
def test_another_secret_is_refused_with_the_reason(made: Secret | None, given: Secret | None, reason: str) -> None:
    with pytest.raises(WrongKey, match=reason):
        cipher_of(new_key(made), given)


def test_without_a_secret_nothing_is_encrypted() -> None:
    assert isinstance(cipher_of(new_key(None), None), Plain)


def test_a_short_key_file_and_an_empty_passphrase_are_refused() -> None:
    with pytest.raises(BackupError, match="less than 32"):
        Secret.file(bytes(31))
    with pytest.raises(BackupError, match="empty"):
        Secret.passphrase("")


@pytest.mark.parametrize("change", [{"n": 1 << 40}, {"n": 0}, {"r": 1 << 30}, {"p": 1000}, {"salt": "?"}])
def test_a_document_that_asks_for_too_much_is_refused_before_it_is_done(change: dict[str, Any]) -> None:
    document = {"from": "scrypt", "salt": "AAAA", "n": 16, "r": 8, "p": 1, "wrapped": "AAAA", **change}
    with pytest.raises(ValueError, match=r".+"):
        cipher_of(document, Secret.passphrase("x"))
