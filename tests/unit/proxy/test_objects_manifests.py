"""proxy.objects.manifests: tables of segments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.objects.manifests import pack_segments, slices, unpack_segments
from proxy.objects.model import Segment


def _segments(sizes: list[int]) -> list[Segment]:
    return [Segment("a", "c", str(index), size, "") for index, size in enumerate(sizes)]


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(0, 60), st.integers(0, 60))
def test_slices_make_the_bytes_of_the_whole(sizes: list[int], start: int, end: int) -> None:
    contents = {str(index): bytes([index]) * size for index, size in enumerate(sizes)}
    whole = b"".join(contents.values())
    found = b"".join(
        contents[part.segment.object][part.start : part.end] for part in slices(_segments(sizes), start, end)
    )
    assert found == whole[start:end]


def test_a_table_is_read_back_as_it_was_written() -> None:
    table = [Segment("a", "c", "ö", 5, "e", 1, None, 3, {"CRC32": "x"}), Segment("a", "c", "", 2, "", data=b"hi")]
    assert unpack_segments(pack_segments(table)) == table


def test_a_shorter_row_of_an_older_table_is_filled_in() -> None:
    import msgpack

    assert unpack_segments(msgpack.packb([["a", "c", "o", 5, "e"]])) == [Segment("a", "c", "o", 5, "e")]


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(ValueError, match="segments"):
        unpack_segments(b"\x91\x91\x01")
