import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.dates import http_date, iso8601, parse_http_date

SECOND_US = 1_000_000
EXAMPLE_US = 784111777 * SECOND_US


@pytest.mark.parametrize(
    "text",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_the_three_formats_are_read(text: str) -> None:
    """RFC 9110 §5.6.7."""
    assert parse_http_date(text) == EXAMPLE_US


def test_gmt_may_be_written_as_in_mail() -> None:
    """RFC 5322 §3.3."""
    assert parse_http_date("Sun, 06 Nov 1994 08:49:37 +0000") == EXAMPLE_US


def test_dates_are_written_as_the_rfcs_have_them() -> None:
    assert http_date(EXAMPLE_US + 999_999) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert iso8601(EXAMPLE_US + 678_999) == "1994-11-06T08:49:37.678Z"


@given(st.integers(0, 253402300799))
def test_what_is_written_is_read_back(second: int) -> None:
    assert parse_http_date(http_date(second * SECOND_US)) == second * SECOND_US


def test_two_digits_of_a_year_mean_one_between_1970_and_2069() -> None:
    for digits, year in (("69", 2069), ("70", 1970)):
        expected = parse_http_date(f"Sun, 06 Nov {year} 08:49:37 GMT")
        assert parse_http_date(f"Sunday, 06-Nov-{digits} 08:49:37 GMT") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "Sun, 31 Feb 2026 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, 06 Nov 1969 08:49:37 GMT",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
        "784111777",
    ],
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert parse_http_date(text) is None
