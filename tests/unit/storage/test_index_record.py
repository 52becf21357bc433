"""storage/indexes/record.py; docs/index-format.md, "Log record"."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.indexes import record
from storage.indexes.change import Change
from storage.messages import Row
from tests.unit.storage.index_fixtures import KEY, account_rows, at, object_rows, timestamps

# written by format 1; a reader of any later version reads it
SAMPLE = bytes.fromhex(
    "9a0101c410000102030405060708090a0b0c0d0e0fa6415554485f61a163c41000000000000000010000000000000001c4"
    "100000000000000000000000000000000001"
    "81a361636c92a27273c41000000000000000010000000000000001"
    "919aa178c41000000000000000020000000000000001c205a465746167aa746578742f706c61696e0200c081a16301"
)
SAMPLE_CHANGE = Change(
    1,
    KEY,
    "AUTH_a",
    "c",
    at(1),
    at(0)[:12] + bytes(4),  # type: ignore[arg-type]
    1,
    {"acl": ("rs", at(1))},
    {"x": Row("x", at(2), False, 5, "etag", "text/plain", 2, 0, None, {"c": 1})},
)

changes = st.builds(
    lambda put, delete, created_us, metadata, rows: Change(
        1, KEY, "AUTH_a", "ü", put, delete, created_us, metadata, {row.name: row for row in rows}
    ),
    timestamps,
    timestamps,
    st.integers(0, 1 << 60),
    st.dictionaries(
        st.text(), st.tuples(st.one_of(st.none(), st.text(), st.integers(0, 9), st.binary()), timestamps)
    ),
    st.lists(st.one_of(object_rows, account_rows), max_size=5),
)


@given(changes)
def test_a_record_gives_back_the_change(change: Change) -> None:
    assert record.unpack(record.pack(change)) == change


def test_the_format_is_the_one_written_down() -> None:
    assert record.pack(SAMPLE_CHANGE) == SAMPLE
    assert record.unpack(SAMPLE) == SAMPLE_CHANGE


def test_fields_of_a_newer_writer_are_passed_over() -> None:
    values = msgpack.unpackb(SAMPLE)
    assert record.unpack(msgpack.packb([*values, "new"])) == SAMPLE_CHANGE


@given(st.integers(0, len(SAMPLE) - 1))
def test_a_record_that_ends_early_is_refused(length: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        record.unpack(SAMPLE[:length])


@pytest.mark.parametrize("values", [None, [], 7, [2, *range(9)], [1, 2], [1, *range(9)]])
def test_what_is_no_record_is_refused(values: object) -> None:
    with pytest.raises(ValueError, match="change of a database"):
        record.unpack(msgpack.packb(values))


def test_a_name_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        record.pack(Change(1, KEY, "AUTH_\ud800", "c"))
    assert record.unpack(record.pack(SAMPLE_CHANGE)) == SAMPLE_CHANGE
