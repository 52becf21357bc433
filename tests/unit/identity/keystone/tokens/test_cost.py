"""What it costs a proxy to find out whose a token is: 50 µs when it knows it, 300 µs when it does not.

Processor time of the best of many rounds: what else the machine does meanwhile does not count.
"""

import time
from collections.abc import Callable

import pytest
from cryptography.fernet import Fernet

from identity.keystone.access.tokens import MemberTokens
from identity.keystone.tokens.fernet import encode
from identity.keystone.tokens.keys import Keys
from identity.keystone.tokens.revoked import Kind, Revoked, Subject
from identity.keystone.tokens.validation import TokenValidator
from tests.unit.identity.keystone.access.samples import token

KNOWN_US, UNKNOWN_US = 50.0, 300.0
TEXTS = 50  # in a round
ROUNDS = 20
FERNET_KEYS = [Fernet.generate_key() for _ in range(5)]
TOKEN = token("admin", "manager", "member", "reader")


class FiveKeys:
    """As many as there are at most."""

    def __init__(self) -> None:
        self._keys = Keys.of(dict(enumerate(FERNET_KEYS)))

    def current(self) -> Keys:
        return self._keys


def members() -> MemberTokens:
    """Return what a proxy has, with a thousand statements about others' tokens."""
    revoked = Revoked()
    for number in range(1000):
        revoked.put(Subject(Kind.USER, f"{number:032x}"), TOKEN.issued_at_us)
    return MemberTokens(TokenValidator(FiveKeys(), revoked, lambda: TOKEN.issued_at_us + 1))


def best_us(texts: list[str], make: Callable[[], MemberTokens]) -> float:
    """Return what one of `texts` costs in the best round."""
    rounds = []
    for _round in range(ROUNDS):
        verifier = make()
        begun_s = time.thread_time()
        for text in texts:
            assert verifier.verify(text) is not None
        rounds.append((time.thread_time() - begun_s) / len(texts) * 1e6)
    return min(rounds)


def texts_of(number: int) -> list[str]:
    """Return tokens sealed with one of the keys."""
    key = Keys.of({0: FERNET_KEYS[number], 1: FERNET_KEYS[number]}).primary
    return [encode(TOKEN, key) for _ in range(TEXTS)]


@pytest.mark.parametrize("number", range(5))
def test_a_token_that_is_not_known_is_opened_in_time_whichever_key_it_is_of(number: int) -> None:
    assert best_us(texts_of(number), members) < UNKNOWN_US


def test_a_token_that_is_known_costs_next_to_nothing() -> None:
    texts, verifier = texts_of(4), members()
    assert best_us(texts, lambda: verifier) < KNOWN_US
