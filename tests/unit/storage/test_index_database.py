"""storage/indexes/database.py: one file, against a plain model."""

import copy
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.clock import ZERO
from storage.indexes import schema
from storage.indexes.change import Change
from storage.indexes.database import SEQUENCE_GAP, Database, create_for, open_existing
from storage.messages import DatabaseKind, IndexChanges, Row
from tests.unit.storage.index_fixtures import (
    KEY,
    account_rows,
    at,
    empty_database,
    list_message,
    object_rows,
    row,
    timestamps,
)


def fresh(kind: int = DatabaseKind.CONTAINER) -> Database:
    connection = empty_database()
    header = schema.read_header(connection)
    header.kind = kind
    return Database(Path(":memory:"), connection, header)


def change(
    *rows: Row, put: int = 0, delete: int = 0, kind: int = DatabaseKind.CONTAINER, **metadata: int
) -> Change:
    return Change(
        kind,
        KEY,
        "AUTH_a",
        "c",
        at(put) if put else ZERO,
        at(delete) if delete else ZERO,
        put,
        {name: (number, at(number)) for name, number in metadata.items()},
        {item.name: item for item in rows},
    )


def listed(database: Database) -> list[str]:
    return [item[0] for item in database.page(list_message()).items]


def all_rows(database: Database) -> list[Row]:
    return sorted(database.all_rows(), key=lambda item: item.name)


def own_state(database: Database) -> Change:
    """Return all that a peer is told of `database` but its rows."""
    info = database.info()
    times = (info.put_timestamp, info.delete_timestamp, info.created_us)
    return Change(database.header.kind, KEY, info.account, info.container, *times, dict(info.metadata))


def _changes(rows: st.SearchStrategy[Row], kind: int) -> st.SearchStrategy[list[Change]]:
    one = st.builds(
        lambda rows, put, delete, metadata: change(
            *{item.name: item for item in rows}.values(), put=put, delete=delete, kind=kind, **metadata
        ),
        st.lists(rows, max_size=4),
        st.integers(0, 9),
        st.one_of(st.just(0), st.integers(0, 6)),
        st.dictionaries(st.sampled_from(["acl", "quota"]), st.integers(1, 9), max_size=1),
    )
    return st.lists(one, max_size=6)


@pytest.mark.parametrize(
    ("kind", "rows"), [(DatabaseKind.CONTAINER, object_rows), (DatabaseKind.ACCOUNT, account_rows)]
)
def test_the_order_of_changes_does_not_matter(kind: DatabaseKind, rows: st.SearchStrategy[Row]) -> None:
    @given(_changes(rows, kind), st.randoms(use_true_random=False))
    @settings(max_examples=40, deadline=None)
    def check(changes: list[Change], random: object) -> None:
        one, other = fresh(kind), fresh(kind)
        shuffled = copy.deepcopy(changes) * 2  # and each arrives twice
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        for item in changes:
            one.merge(item)
        for item in shuffled:
            other.merge(item)
        assert all_rows(one) == all_rows(other)
        assert listed(one) == listed(other)
        # the time of creation is agreed upon by exchanging what each knows, not by order
        for target, source in ((one, other), (other, one)):
            target.merge(own_state(source))
        assert one.info() == other.info()

    check()


@given(_changes(object_rows, DatabaseKind.CONTAINER))
@settings(max_examples=40, deadline=None)
def test_a_database_is_what_a_dictionary_gives(changes: list[Change]) -> None:
    database = fresh()
    model: dict[str, Row] = {}
    deleted = put = ZERO
    for item in changes:
        database.merge(item)
        deleted, put = max(deleted, item.delete_timestamp), max(put, item.put_timestamp)
        for name, new in item.rows.items():
            if name not in model or new.timestamp > model[name].timestamp:
                model[name] = new
    kept = {name: item for name, item in model.items() if item.timestamp > deleted}
    live = {name: item for name, item in kept.items() if not item.deleted}
    assert all_rows(database) == [kept[name] for name in sorted(kept)]
    assert listed(database) == (sorted(live) if put > deleted else [])
    info = database.info()
    assert (info.object_count, info.bytes_used) == (len(live), sum(item.size for item in live.values()))


def test_an_account_counts_what_its_live_rows_report() -> None:
    database = fresh(DatabaseKind.ACCOUNT)
    containers = [
        Row("a", at(2), False, 10, object_count=1, stats_timestamp=at(3)),
        Row("b", at(2), False, 20, object_count=2, stats_timestamp=at(3)),
        Row("gone", at(4), True, 40, object_count=4, stats_timestamp=at(3)),
        Row("only reported", ZERO, True, 80, object_count=8, stats_timestamp=at(3)),
    ]
    database.merge(change(*containers, put=1, kind=DatabaseKind.ACCOUNT))
    info = database.info()
    assert (info.container_count, info.object_count, info.bytes_used) == (2, 3, 30)
    database.merge(change(Row("only reported", at(5), False, 0), kind=DatabaseKind.ACCOUNT))
    info = database.info()
    assert (info.container_count, info.object_count, info.bytes_used) == (3, 11, 110)


def test_a_container_that_comes_back_is_empty() -> None:
    database = fresh()
    database.merge(change(row("old", 2), put=1, acl=2))
    database.merge(change(delete=5))
    assert not database.header.exists
    assert listed(database) == []
    database.merge(change(row("new", 8), row("late", 4), put=7))
    assert listed(database) == ["new"]
    assert database.info().metadata == {}
    assert database.info().created_us == 7
    assert database.info().object_count == 1


def test_metadata_that_is_removed_stays_as_a_tombstone() -> None:
    database = fresh()
    database.merge(change(put=1, acl=2))
    removed = change(put=1)
    removed.metadata = {"acl": (None, at(3))}
    database.merge(removed)
    database.merge(change(acl=2))
    assert database.info().metadata == {"acl": (None, at(3))}


def test_a_change_that_is_known_makes_no_difference() -> None:
    database = fresh()
    item = change(row("x", 2), put=1, acl=1)
    assert database.merge(item)
    before = copy.deepcopy(database.header)
    assert not database.merge(item)
    assert not database.merge(item, after_crash=True)
    assert database.header == before


def test_a_merge_that_fails_changes_nothing() -> None:
    database = fresh()
    database.merge(change(row("x", 2), put=1))
    before = copy.deepcopy(database.header)
    broken = change(row("y", 3), row("z", 3)._replace(extra={"no": object()}), put=2)
    with pytest.raises(TypeError):
        database.merge(broken)
    assert database.header == before
    assert listed(database) == ["x"]
    database.merge(change(row("y", 3)))
    assert listed(database) == ["x", "y"]


def test_many_rows_at_once_are_all_merged() -> None:
    database = fresh()
    count = 64 * 3 + 8 * 2 + 5
    database.merge(change(*(row(f"{number:04}", 2) for number in range(count)), put=1))
    database.merge(change(*(row(f"{number:04}", 3, deleted=number % 2 == 0) for number in range(count))))
    assert listed(database) == [f"{number:04}" for number in range(count) if number % 2]
    assert database.info().object_count == count // 2
    assert len(all_rows(database)) == count


# ── changes ─────────────────────────────────────────────────────────────────────


def pulled(source: Database, cursor: tuple[bytes, int], limit: int) -> tuple[list[Row], tuple[bytes, int]]:
    """Return all rows after `cursor`, page by page."""
    found: list[Row] = []
    more = True
    while more:
        page = source.changes(IndexChanges(1, KEY, *cursor, limit))
        assert len(page.rows) <= limit
        found += [Row(*values) for values in page.rows]
        cursor, more = (page.incarnation, page.sequence), page.more
    return found, cursor


@given(_changes(object_rows, DatabaseKind.CONTAINER), st.integers(0, 6), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_pulling_what_changed_since_makes_replicas_equal(
    changes: list[Change], pulled_at: int, limit: int
) -> None:
    source, replica = fresh(), fresh()
    cursor = (b"", 0)
    for number, item in enumerate([*changes, change()]):
        if number in (pulled_at, len(changes)):
            found, cursor = pulled(source, cursor, limit)
            update = own_state(source)
            update.rows = {item.name: item for item in found}
            replica.merge(update)
            # replicas pull from each other; the time of creation may be known better by either
            source.merge(own_state(replica))
            replica.merge(own_state(source))
            assert replica.info() == source.info()
        source.merge(item)


def test_only_what_changed_since_is_pulled() -> None:
    source = fresh()
    source.merge(change(row("a", 2), row("b", 2), put=1))
    _, cursor = pulled(source, (b"", 0), 10)
    assert pulled(source, cursor, 10) == ([], cursor)
    source.merge(change(row("b", 3, deleted=True)))
    assert pulled(source, cursor, 10)[0] == [row("b", 3, deleted=True)]
    assert len(pulled(source, (b"another", cursor[1]), 10)[0]) == 2
    assert len(pulled(source, (cursor[0], 1 << 60), 10)[0]) == 2


def test_sequences_lost_in_a_crash_are_not_used_again() -> None:
    source = fresh()
    source.merge(change(row("a", 2), put=1), after_crash=True)
    assert source.header.sequence == SEQUENCE_GAP + 1
    source.merge(change(row("a", 2), row("b", 2)), after_crash=True)
    assert source.header.sequence == 2 * SEQUENCE_GAP + 2
    assert pulled(source, (source.header.incarnation, SEQUENCE_GAP + 1), 10)[0] == [row("b", 2)]


@given(_changes(object_rows, DatabaseKind.CONTAINER), _changes(object_rows, DatabaseKind.CONTAINER))
@settings(max_examples=40, deadline=None)
def test_the_difference_is_all_that_matters(known: list[Change], changes: list[Change]) -> None:
    one, other = fresh(), fresh()
    for item in known:
        one.merge(item)
        other.merge(copy.deepcopy(item))
    for item in changes:
        different = one.difference(item)
        assert one.merge(item) == (different is not None)
        if different is not None:
            assert other.merge(different)
        assert one.info() == other.info()
        assert all_rows(one) == all_rows(other)


# ── files ───────────────────────────────────────────────────────────────────────


@given(timestamps)
@settings(max_examples=5, deadline=None)
def test_a_file_gives_back_what_it_was_told(put: bytes) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "x.db"
        first = change(row("x", 9), put=1, acl=2)
        first.put_timestamp = put  # type: ignore[assignment]
        database = create_for(path, first)
        database.merge(first)
        database.remember(3, b"j" * 16, 77)
        database.checkpoint()
        assert path.with_name("x.db-wal").stat().st_size == 0
        header = database.header
        database.close()
        again = open_existing(path)
        assert again.header == header
        assert again.cursor(3) == (b"j" * 16, 77)
        assert again.cursor(4) == (b"", 0)
        assert listed(again) == ["x"]
        again.close()


SAMPLE = Path(__file__).with_name("samples") / "container-v1.db"


def test_a_database_of_version_1_is_read(tmp_path: Path) -> None:
    """docs/index-format.md; the sample is never written again."""
    path = tmp_path / "sample.db"
    path.write_bytes(SAMPLE.read_bytes())
    database = open_existing(path)
    assert all_rows(database) == [row("gone", 3, deleted=True), row("kept", 2, size=5)]
    info = database.info()
    assert (info.account, info.container, info.metadata) == ("AUTH_a", "c", {"acl": (2, at(2))})
    assert info.digest.hex() == "bb00624c1a0f3f8f6101b40cc10c1481"
    database.close()


def test_a_database_of_another_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    create_for(path, change(put=1)).close()
    connection = schema.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(schema.UnknownVersion, match="99"):
        open_existing(path)
