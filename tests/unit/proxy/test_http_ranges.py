import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.ranges import Range, parse_range, resolve


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-499", [(0, 499)]),
        ("bytes=500-", [(500, None)]),
        ("bytes=-500", [(None, 500)]),
        ("Bytes = 0-0 , -1,5-6", [(0, 0), (None, 1), (5, 6)]),
        ("BYTES = 0 -  999", [(0, 999)]),  # Swift's functional tests ask so
    ],
)
def test_ranges_are_read(value: str, expected: list[Range]) -> None:
    """RFC 9110 §14.1.2."""
    assert parse_range(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        *("", "bytes", "bytes=", "bytes=-", "bytes= - ", "bytes=2-1", "bytes=a-b", "bytes=1-2,", "bytes=1-2-3"),
        "lines=1-2",
        *("bytes=+1-2", "bytes=\u0663-\u0664", "bytes=1", f"bytes={'9' * 5000}-"),
        "bytes=" + ",".join(["1-2"] * 100),
    ],
)
def test_what_is_no_byte_range_is_ignored(value: str) -> None:
    """RFC 9110 §14.2: an invalid header, or one of another unit, is as if it were not there."""
    assert parse_range(value) is None


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ((0, 0), (0, 1)),
        ((0, 99), (0, 10)),
        ((9, None), (9, 10)),
        ((10, None), None),
        ((None, 3), (7, 10)),
        ((None, 30), (0, 10)),
        ((None, 0), None),
    ],
)
def test_a_range_is_cut_to_the_body(wanted: Range, expected: tuple[int, int] | None) -> None:
    assert resolve(wanted, 10) == expected


def test_no_range_of_nothing_is_satisfiable() -> None:
    assert [resolve(wanted, 0) for wanted in ((0, None), (0, 0), (None, 1))] == [None, None, None]


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_a_range_means_what_its_bytes_say(first: int, last: int, size: int) -> None:
    body = bytes(range(size))
    for value, expected in ((f"{first}-{last}", body[first : last + 1]), (f"-{last}", body[-last:] if last else b"")):
        parsed = parse_range(f"bytes={value}")
        if parsed is None:
            assert last < first
            continue
        resolved = resolve(parsed[0], size)
        assert (body[slice(*resolved)] if resolved else b"") == expected
