"""ring.planes"""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ring import planes

FORMATS = ("H", "I")
ids = st.integers(0, 65_535)


@pytest.mark.parametrize("item_format", FORMATS)
@given(items=st.lists(ids, min_size=1))
def test_planes_join_to_the_array_that_they_are_of(item_format: str, items: list[int]) -> None:
    row = memoryview(array(item_format, items))
    joined = planes.join(planes.split(row), item_format)
    assert joined.tolist() == items
    assert joined.readonly


def test_the_first_plane_has_the_lowest_bytes() -> None:
    assert planes.split(memoryview(array("H", [0x0102, 0x0304]))) == [b"\x02\x04", b"\x01\x03"]


@pytest.mark.parametrize("item_format", FORMATS)
@given(items=st.lists(ids) | st.lists(st.integers(0, 1023)) | st.lists(st.sampled_from([0, 1, 255, 256, 511, 512])))
def test_the_values_are_those_that_a_set_finds(item_format: str, items: list[int]) -> None:
    assert planes.values(memoryview(array(item_format, items))) == set(items)


@pytest.mark.parametrize("item_format", FORMATS)
@given(rows=st.lists(st.lists(ids, min_size=5, max_size=5), min_size=1, max_size=4))
def test_rows_interleave_by_item(item_format: str, rows: list[list[int]]) -> None:
    table = planes.interleave([memoryview(array(item_format, row)) for row in rows])
    assert memoryview(table).cast(item_format).tolist() == [item for items in zip(*rows, strict=True) for item in items]  # type: ignore[call-overload]
