"""proxy.objects.manifests: tables of segments."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.clock import ZERO
from proxy.objects.errors import SegmentChanged
from proxy.objects.manifests import DYNAMIC_LIMIT, Manifests, pack_segments, slices, unpack_segments
from proxy.objects.model import ListingQuery, ObjectInfo, ObjectName, Segment
from storage.messages import Row
from storage.metadata import ObjectMetadata


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


def _dynamic(count: int) -> Manifests:
    """Return what reads a dynamic large object of `count` segments of a byte."""

    async def head(name: ObjectName) -> ObjectInfo:
        return ObjectInfo(ZERO, ObjectMetadata(*name, 0, "", "", 0, {}, {}, {"dlo": "c/s"}, {}))

    async def list_container(_account: str, _container: str, query: ListingQuery) -> SimpleNamespace:
        first = int(query.marker[1:]) + 1 if query.marker else 0
        last = min(first + query.limit, count)
        rows = [Row(f"s{index:08}", ZERO, False, 1) for index in range(first, last)]
        return SimpleNamespace(items=rows, truncated=last < count)

    return Manifests(cast(Any, SimpleNamespace(head=head)), cast(Any, SimpleNamespace(list_container=list_container)))


def test_a_dynamic_large_object_has_a_bounded_number_of_segments() -> None:
    """A reader holds them in memory, and who made them chooses how many there are."""
    name = ObjectName("a", "c", "o")
    assert asyncio.run(_dynamic(25_000).describe(name)).metadata.size == 25_000
    assert asyncio.run(_dynamic(DYNAMIC_LIMIT).describe(name)).metadata.size == DYNAMIC_LIMIT
    with pytest.raises(SegmentChanged, match="more than"):
        asyncio.run(_dynamic(DYNAMIC_LIMIT + 1).describe(name))
