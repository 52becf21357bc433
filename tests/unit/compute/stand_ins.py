"""What stands in for the world in tests of several services."""

from identity.keystone.tokens.token import Token

START_US = 1_700_000_000_000_000


class Clock:
    """Time that goes on by a millisecond with each look."""

    def __init__(self) -> None:
        self.now_us = START_US

    def __call__(self) -> int:
        self.now_us += 1000
        return self.now_us


class KnownTokens:
    """Tokens by their text, made up by the test."""

    def __init__(self) -> None:
        self.by_text: dict[str, Token] = {}

    def validate(self, text: str) -> Token | None:
        return self.by_text.get(text)
