from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.errors import BadEncoding
from proxy.http.text import parse_query, percent_decode, percent_encode

names = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))


@given(names)
def test_what_is_encoded_is_decoded(name: str) -> None:
    assert percent_decode(percent_encode(name)) == name
    assert percent_decode(quote(name, safe="/&=;~")) == name


@given(st.text(st.characters(max_codepoint=255)))
def test_any_raw_text_is_decoded_or_refused(raw: str) -> None:
    try:
        decoded = percent_decode(raw)
    except BadEncoding:
        return
    assert percent_decode(percent_encode(decoded)) == decoded


def test_bytes_that_are_not_escaped_are_utf_8_too() -> None:
    assert percent_decode("é".encode().decode("latin-1")) == "é"


@pytest.mark.parametrize("raw", ["%", "%4", "%zz", "a%2", "%ff", "%C3", "%ED%A0%80", "%C0%AF", "\xe9", "%00", "\0"])
def test_what_is_no_percent_encoded_utf_8_is_refused(raw: str) -> None:
    with pytest.raises(BadEncoding):
        percent_decode(raw)


@given(st.lists(st.tuples(names, names)))
def test_a_query_is_a_list_of_pairs(pairs: list[tuple[str, str]]) -> None:
    pairs = [(name, value) for name, value in pairs if name]
    query = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
    assert parse_query(query) == pairs


def test_a_parameter_without_a_value_has_an_empty_one() -> None:
    assert parse_query("acl&x=&&y=1=2") == [("acl", ""), ("x", ""), ("y", "1=2")]


def test_too_many_parameters_are_refused() -> None:
    with pytest.raises(BadEncoding):
        parse_query("&".join(["a=1"] * 1001))
