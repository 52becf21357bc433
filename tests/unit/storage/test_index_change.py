"""storage/indexes/change.py: joins."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.clock import ZERO
from cluster.wire import RemoteError
from storage.indexes.change import (
    Change,
    change_of_page,
    change_of_rows,
    checked_metadata,
    checked_row,
    join_rows,
)
from storage.messages import Changes, DatabaseKind, IndexRows, Info, Refusal, Row
from tests.unit.storage.index_fixtures import KEY, account_rows, at, object_rows, row, timestamps


def _same_name(rows: st.SearchStrategy[Row]) -> st.SearchStrategy[Row]:
    return rows.map(lambda row: row._replace(name="x"))


_versions = st.one_of(_same_name(object_rows), _same_name(account_rows))


@given(_versions, _versions)
def test_joining_rows_does_not_depend_on_the_order(one: Row, other: Row) -> None:
    if one.timestamp == other.timestamp:  # one timestamp is one version
        other = other._replace(deleted=one.deleted, etag=one.etag, content_type=one.content_type)
        other = other._replace(modified_us=one.modified_us)
        if one.stats_timestamp is None and other.stats_timestamp is None:
            other = one
    assert join_rows(one, other) == join_rows(other, one)


@given(_same_name(account_rows), _same_name(account_rows), _same_name(account_rows))
def test_joining_rows_does_not_depend_on_the_grouping(one: Row, two: Row, three: Row) -> None:
    assert join_rows(join_rows(one, two), three) == join_rows(one, join_rows(two, three))


@given(_versions)
def test_a_row_that_adds_nothing_leaves_the_very_same_row(one: Row) -> None:
    assert join_rows(one, copy.copy(one)) is one


def test_the_newest_timestamp_wins() -> None:
    assert join_rows(row("x", 2), row("x", 3, deleted=True)).deleted
    assert not join_rows(row("x", 3), row("x", 2, deleted=True)).deleted


def test_statistics_of_an_account_row_have_a_version_of_their_own() -> None:
    known = Row("c", at(5), False, 10, modified_us=5, object_count=1, stats_timestamp=at(6))
    renewed = join_rows(known, Row("c", at(7), False, 0, modified_us=7))
    assert renewed == Row("c", at(7), False, 10, modified_us=7, object_count=1, stats_timestamp=at(6))
    report = Row("c", ZERO, True, 20, object_count=2, stats_timestamp=at(8))
    assert join_rows(renewed, report) == renewed._replace(size=20, object_count=2, stats_timestamp=at(8))
    stale = Row("c", ZERO, True, 1, object_count=1, stats_timestamp=at(4))
    assert join_rows(renewed, stale) is renewed


def test_a_report_says_nothing_about_existence() -> None:
    report = Row("c", at(5), False, 10, object_count=1, stats_timestamp=at(6))
    change = change_of_rows(IndexRows(DatabaseKind.ACCOUNT, KEY, "AUTH_a", "", at(1), [report]))
    assert change.rows["c"].deleted
    assert change.rows["c"].timestamp == ZERO
    tombstone = Row("c", at(7), True, 0)
    assert join_rows(tombstone, change.rows["c"]).deleted


_changes = st.builds(
    lambda put, delete, rows, metadata: Change(
        DatabaseKind.CONTAINER,
        KEY,
        "AUTH_a",
        "c",
        put,
        delete,
        0,
        {name: (int.from_bytes(timestamp, "big"), timestamp) for name, timestamp in metadata.items()},
        {row.name: row for row in rows},
    ),
    timestamps,
    timestamps,
    st.lists(object_rows, max_size=3),
    st.dictionaries(st.sampled_from(["acl", "quota"]), timestamps),
)


@given(st.lists(_changes, min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_joining_changes_does_not_depend_on_the_order(changes: list[Change], random: object) -> None:
    shuffled = copy.deepcopy(changes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for sequence in (changes, shuffled):
        for change in sequence[1:]:
            sequence[0].join(change)
    one, other = changes[0], shuffled[0]
    assert (one.put_timestamp, one.delete_timestamp) == (other.put_timestamp, other.delete_timestamp)
    assert one.metadata == other.metadata
    assert one.rows == other.rows


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("x",),
        ("", at(1), False, 1),
        (b"x", at(1), False, 1),
        ("x", b"short", False, 1),
        ("x", at(1), 0, 1),
        ("x", at(1), False, -1),
        ("x", at(1), False, 1 << 62),
        ("x", at(1), False, 1.5),
        ("x", at(1), False, 1, "", "", 0, -1),
        ("x", at(1), False, 1, "", "", 0, 0, b"short"),
        ("x", at(1), False, 1, "", "", 0, 0, None, None, "more"),
    ],
)
def test_what_is_no_row_is_refused(values: tuple[object, ...]) -> None:
    with pytest.raises(RemoteError) as raised:
        checked_row(list(values))
    assert raised.value.code == Refusal.BAD_REQUEST


@pytest.mark.parametrize("metadata", [None, [], {"a": 1}, {"a": (1,)}, {"a": (1, b"x")}, {1: (1, at(1))}])
def test_what_is_no_metadata_is_refused(metadata: object) -> None:
    with pytest.raises(RemoteError) as raised:
        checked_metadata(metadata)
    assert raised.value.code == Refusal.BAD_REQUEST


def test_a_page_from_the_wire_comes_as_arrays() -> None:
    info = Info("AUTH_a", "c", at(3), at(1), 3, {"acl": ("x", at(2))}, 1, 1, 0, b"")
    page = Changes(list(info), b"i" * 16, 7, False, [list(row("x", 4))])  # type: ignore[arg-type, list-item]
    change = change_of_page(DatabaseKind.CONTAINER, KEY, page)
    assert change.rows == {"x": row("x", 4)}
    assert (change.put_timestamp, change.delete_timestamp, change.created_us) == (at(3), at(1), 3)
    assert change.metadata == {"acl": ("x", at(2))}
