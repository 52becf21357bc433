import pytest

from proxy.http.conditions import Outcome, evaluate
from proxy.http.dates import http_date
from proxy.http.message import Headers

ETAG = "0123abcd"
AT_US = 1_700_000_000_500_000
SECOND_US = 1_000_000
BEFORE, SAME, AFTER = (http_date(AT_US + offset * SECOND_US) for offset in (-5, 0, 5))
PROCEED, NOT_MODIFIED, FAILED = Outcome.PROCEED, Outcome.NOT_MODIFIED, Outcome.FAILED


def outcome(etag: str | None = ETAG, modified_us: int | None = AT_US, prefix: str = "", **fields: str) -> Outcome:
    headers = Headers([(prefix + name.replace("_", "-"), value) for name, value in fields.items()])
    return evaluate(headers, etag, modified_us, prefix=prefix)


def test_without_conditions_all_may_proceed() -> None:
    assert outcome() is outcome(etag=None, modified_us=None) is PROCEED


@pytest.mark.parametrize(
    ("value", "if_match", "if_none_match"),
    [
        (f'"{ETAG}"', PROCEED, NOT_MODIFIED),
        (ETAG, PROCEED, NOT_MODIFIED),
        ("*", PROCEED, NOT_MODIFIED),
        ('"other"', FAILED, PROCEED),
        (f'"other", "{ETAG}"', PROCEED, NOT_MODIFIED),
        (f'"a,b",W/"c","{ETAG}" , "d"', PROCEED, NOT_MODIFIED),
        (f'W/"{ETAG}"', FAILED, NOT_MODIFIED),
        (f'"x{ETAG}"', FAILED, PROCEED),
        (f'"a, {ETAG}, b"', FAILED, PROCEED),
    ],
)
def test_tags_are_compared_strongly_or_weakly(value: str, if_match: Outcome, if_none_match: Outcome) -> None:
    """RFC 9110 §13.1.1 and §13.1.2."""
    assert outcome(if_match=value) is if_match
    assert outcome(if_none_match=value) is if_none_match


def test_where_nothing_is_nothing_matches() -> None:
    for value in ("*", f'"{ETAG}"'):
        assert outcome(etag=None, if_match=value) is FAILED
        assert outcome(etag=None, if_none_match=value) is PROCEED


@pytest.mark.parametrize(
    ("date", "if_modified", "if_unmodified"),
    [
        (BEFORE, PROCEED, FAILED),
        (SAME, NOT_MODIFIED, PROCEED),
        (AFTER, NOT_MODIFIED, PROCEED),
        ("no date", PROCEED, PROCEED),
    ],
)
def test_dates_are_compared_in_seconds(date: str, if_modified: Outcome, if_unmodified: Outcome) -> None:
    assert outcome(if_modified_since=date) is if_modified
    assert outcome(if_unmodified_since=date) is if_unmodified


def test_tags_take_precedence_over_dates() -> None:
    """RFC 9110 §13.2.2."""
    assert outcome(if_match=ETAG, if_unmodified_since=BEFORE) is PROCEED
    fields = Headers([("if-match", ETAG), ("if-unmodified-since", BEFORE)])
    assert evaluate(fields, ETAG, AT_US, both=True) is FAILED
    assert outcome(if_none_match="other", if_modified_since=AFTER) is PROCEED
    assert outcome(if_match=ETAG, if_none_match=ETAG) is NOT_MODIFIED
    assert outcome(if_unmodified_since=BEFORE, if_none_match="other") is FAILED


def test_conditions_of_a_copy_have_a_prefix() -> None:
    prefix = "x-amz-copy-source-"
    assert outcome(prefix=prefix, if_match="other") is FAILED
    assert evaluate(Headers([("if-match", "other")]), ETAG, AT_US, prefix=prefix) is PROCEED
