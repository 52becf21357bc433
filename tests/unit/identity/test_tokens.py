"""Tokens: identity/tokens.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import tokens
from identity.tokens import PREFIX, Statement, Tokens, decode, encode
from identity.users import User, new_user, with_new_keys

KEY = b"k" * 32
TTL_S = 3600.0


class Fixed:
    """`identity.interfaces.Users` of some users; counts look-ups."""

    def __init__(self, *users: User) -> None:
        self.users = {user.name: user for user in users}
        self.lookups = 0

    def by_name(self, name: str) -> User | None:
        self.lookups += 1
        return self.users.get(name)

    def by_access_key(self, access_key: str) -> User | None:
        raise AssertionError("tokens have names")


class Clock:
    now_s = 1_700_000_000.5

    def __call__(self) -> float:
        return self.now_s


ANN = new_user("photos:ann")


def issuer(*users: User, clock: Clock | None = None, key: bytes = KEY) -> tuple[Tokens, Fixed]:
    known = Fixed(*users)
    return Tokens(key, known, TTL_S, clock or Clock()), known


def test_a_token_names_its_user_until_it_expires() -> None:
    clock = Clock()
    made, _ = issuer(ANN, clock=clock)
    token, expires_s = made.issue(ANN)
    assert token.startswith("AUTH_tk")
    assert expires_s == int(clock.now_s + TTL_S)
    assert made.verify(token) is ANN
    clock.now_s = expires_s - 0.1
    assert made.verify(token) is ANN
    clock.now_s = expires_s
    assert made.verify(token) is None
    assert issuer(ANN, clock=clock)[0].verify(token) is None


def test_other_processes_of_the_cluster_accept_it_and_other_clusters_do_not() -> None:
    token, _ = issuer(ANN)[0].issue(ANN)
    assert issuer(ANN)[0].verify(token) is ANN
    assert issuer(ANN, key=b"x" * 32)[0].verify(token) is None


def test_a_token_ends_with_its_user_and_with_the_users_keys() -> None:
    made, known = issuer(ANN)
    token, _ = made.issue(ANN)
    assert made.verify(token) is ANN
    known.users["photos:ann"] = with_new_keys(ANN)
    assert made.verify(token) is None
    known.users["photos:ann"] = ANN
    assert made.verify(token) is ANN
    del known.users["photos:ann"]
    assert made.verify(token) is None


def test_a_user_cannot_make_the_token_of_another() -> None:
    bob = new_user("bob")
    made, _ = issuer(ANN, bob)
    token, _ = made.issue(bob)
    decoded = decode(token)
    assert decoded is not None
    statement, _body, _signature = decoded
    forged = encode(Statement(ANN.name, ANN.account, statement.expires_s), KEY)
    assert made.verify(forged) is None


@given(st.integers(0, 10_000), st.characters(codec="ascii"))
def test_a_token_with_any_other_character_is_refused(index: int, character: str) -> None:
    made, _ = issuer(ANN)
    token, _ = made.issue(ANN)
    index %= len(token) - 1  # the last one has bits that base64 does not use
    changed = token[:index] + character + token[index + 1 :]
    assert (made.verify(changed) is ANN) == (changed == token)


@pytest.mark.parametrize(
    "text",
    ["", PREFIX, PREFIX + "A", PREFIX + "AAAA", PREFIX + "A" * 50, PREFIX + "é" * 60, "A" * 60, PREFIX + "A" * 2000],
)
def test_what_is_not_a_token_is_refused(text: str) -> None:
    assert issuer(ANN)[0].verify(text) is None


@given(st.text())
def test_any_text_is_refused(text: str) -> None:
    assert issuer(ANN)[0].verify(text) is None
    assert issuer(ANN)[0].verify(PREFIX + text) is None


@given(st.text(max_size=50), st.text(max_size=50), st.integers(0, 2**64 - 1))
def test_what_is_encoded_decodes_the_same(name: str, account: str, expires_s: int) -> None:
    decoded = decode(encode(Statement(name, account, expires_s), KEY))
    assert decoded is not None
    assert decoded[0] == Statement(name, account, expires_s)


def test_a_token_that_was_given_out_can_still_be_read() -> None:
    token = "AUTH_tkAQAAAABlU_EAA2FubkFVVEhfYW5u40ixlUYNjP3XTE0HREPkKo33FgQoCZgYf5y8m4uBJqg"
    assert encode(Statement("ann", "AUTH_ann", 1_700_000_000), bytes(32)) == token


def test_known_tokens_cost_one_lookup_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_CACHE_LIMIT", 3)
    clock = Clock()
    made, known = issuer(ANN, clock=clock)
    given_out = []
    for _ in range(5):
        clock.now_s += 1
        given_out.append(made.issue(ANN)[0])
    for token in given_out:
        assert made.verify(token) is ANN
    assert repr(made) == "Tokens(3 known)"
    before = known.lookups
    assert made.verify(given_out[-1]) is ANN
    assert known.lookups == before + 1
    assert made.verify(given_out[0]) is ANN


def test_an_account_that_moved_ends_the_token() -> None:
    made, known = issuer(ANN)
    token, _ = made.issue(ANN)
    elsewhere = User(ANN.name, "AUTH_other", ANN.id, ANN.name, ANN.access_key, ANN.secret_key)
    known.users[ANN.name] = elsewhere
    assert made.verify(token) is None
