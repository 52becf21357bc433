"""Query parameters and the Accept header."""

import pytest

from proxy.swift.errors import SwiftError
from proxy.swift.parameters import best_match, is_true, parse_query

OFFERS = ("text/plain", "application/json", "application/xml", "text/xml")


def test_the_last_of_repeated_parameters_counts() -> None:
    assert parse_query("") == {}
    assert parse_query("a=1&b&a=2+3&c=%C3%B6") == {"a": "2 3", "b": "", "c": "ö"}


def test_bad_utf8_in_a_query_is_refused() -> None:
    with pytest.raises(SwiftError) as caught:
        parse_query("prefix=%FF")
    assert caught.value.status == 400


def test_yes_has_many_spellings() -> None:
    assert all(map(is_true, ("true", "1", "YES", "on", " t ", "y")))
    assert not any(map(is_true, ("", "false", "0", "no")))


@pytest.mark.parametrize(
    ("accept", "best"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("application/json", "application/json"),
        ("text/*", "text/plain"),
        ("application/*;q=0.5,text/xml", "text/xml"),
        ("text/plain;q=0.4, application/json;q=0.8", "application/json"),
        ("text/plain;q=0, */*", "application/json"),
        ("image/png", None),
        ("text/plain;q=nonsense", None),
    ],
)
def test_the_best_offer_is_found(accept: str, best: str | None) -> None:
    """RFC 9110 §12.5.1."""
    assert best_match(accept, OFFERS) == best
