"""proxy.objects.ranges: RFC 9110, 14.1.2, "Byte Ranges"."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.objects.errors import RangeNotSatisfiable
from proxy.objects.ranges import Range, asked_of_storage, bounds

RANGES = st.one_of(
    st.none(),
    st.tuples(st.integers(0, 30), st.none() | st.integers(0, 30)),
    st.tuples(st.none(), st.integers(0, 30)),
)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [(None, (0, 10)), ((0, 0), (0, 1)), ((3, None), (3, 10)), ((8, 99), (8, 10)), ((None, 4), (6, 10)),
     ((None, 40), (0, 10))],
)
def test_what_a_range_means_of_ten_bytes(wanted: Range | None, expected: tuple[int, int]) -> None:
    assert bounds(wanted, 10) == expected


@pytest.mark.parametrize("wanted", [(10, None), (10, 12), (None, 0), (5, 4)])
def test_a_range_without_a_byte_cannot_be_satisfied(wanted: Range) -> None:
    with pytest.raises(RangeNotSatisfiable):
        bounds(wanted, 10)


@given(RANGES, st.integers(0, 30))
def test_storage_gives_the_bytes_that_the_range_means(wanted: Range | None, size: int) -> None:
    data = bytes(range(size))
    try:
        start, end = bounds(wanted, size)
    except RangeNotSatisfiable:
        return
    first, last = asked_of_storage(wanted)
    assert data[slice(first, last)] == data[start:end]
