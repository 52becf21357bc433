"""storage/indexes/listing.py, against a plain model; semantics of Swift's container server."""

import sqlite3

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage.indexes import listing, rows
from storage.messages import IndexList
from tests.unit.storage.index_fixtures import at, empty_database, list_message, row

_text = st.text(alphabet=["a", "b", "/", "-", "\x00", "\u00fc", "\uffff", "\U0010ffff"], max_size=5)
_names = st.sets(_text.filter(bool), max_size=25)
_delimiters = st.one_of(st.just(""), st.just("/"), st.text(alphabet="/-a\x00\U0010ffff", max_size=2))
_queries = st.builds(
    list_message,
    limit=st.integers(1, 8),
    prefix=st.one_of(st.just(""), _text),
    marker=st.one_of(st.just(""), _text),
    end_marker=st.one_of(st.just(""), _text),
    delimiter=_delimiters,
    reverse=st.booleans(),
)


def plain_listing(names: set[str], query: IndexList) -> tuple[list[str], bool]:
    """The same, by looking at every name."""
    after, before = query.marker, query.end_marker
    if query.reverse:
        after, before = before, after
    items: list[str] = []
    for name in sorted(names, key=str.encode, reverse=query.reverse):
        if not name.startswith(query.prefix) or (after and name.encode() <= after.encode()):
            continue
        if before and name.encode() >= before.encode():
            continue
        item = name
        if query.delimiter and query.delimiter in name[len(query.prefix) :]:
            end = name.index(query.delimiter, len(query.prefix)) + len(query.delimiter)
            item = "P" + name[:end]
            if name[:end] == (query.end_marker if query.reverse else query.marker):
                continue
        else:
            item = "R" + name
        if item not in items:
            items.append(item)
    return items[: query.limit], len(items) > query.limit


def filled(live: set[str], dead: set[str] = frozenset()) -> sqlite3.Connection:  # type: ignore[assignment]
    connection = empty_database()
    found = [row(name, 1, deleted=name in dead) for name in sorted(live | dead)]
    rows.put(
        connection,
        [(item.deleted, item.name, at(1), number, rows.pack(item)) for number, item in enumerate(found, 1)],
    )
    return connection


def listed(
    connection: sqlite3.Connection, query: IndexList, probe_rows: int = listing.PROBE_ROWS
) -> tuple[list[str], bool]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(listing, "PROBE_ROWS", probe_rows)
        items, truncated = listing.list_items(connection, query)
    return ["P" + item if isinstance(item, str) else "R" + item[0] for item in items], truncated


@given(_names, _names, _queries, st.integers(1, 9))
@example({"a/a", "a/b"}, set(), list_message(limit=1, delimiter="/", reverse=True, end_marker="a/"), 9)
def test_a_listing_is_what_looking_at_every_name_gives(
    names: set[str], dead: set[str], query: IndexList, probe_rows: int
) -> None:
    with_dead = filled(names, dead - names)
    assert listed(with_dead, query, probe_rows) == plain_listing(names, query)


@given(_names, _queries)
def test_pages_one_after_the_other_give_the_whole(names: set[str], query: IndexList) -> None:
    connection = filled(names)
    whole, _ = plain_listing(names, query._replace(limit=1000))
    found: list[str] = []
    truncated = True
    while truncated:
        page, truncated = listed(connection, query)
        assert page or not truncated
        found += page
        query = query._replace(marker=page[-1][1:]) if page else query
    assert found == whole


def _steps_of(connection: sqlite3.Connection, query: IndexList) -> tuple[list[str], int]:
    """Return the items, and how many hundred instructions of SQLite's machine they took."""
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    connection.set_progress_handler(count, 100)
    items, _ = listed(connection, query)
    return items, steps


@pytest.mark.parametrize("reverse", [False, True])
def test_a_common_prefix_with_many_names_costs_one_seek(reverse: bool) -> None:
    big = {f"big{number}/{i:05}" for number in range(10) for i in range(1000)}
    plain = {f"c{number}" for number in range(10)}
    items, steps = _steps_of(filled(big | plain), list_message(limit=30, delimiter="/", reverse=reverse))
    expected = [f"Pbig{number}/" for number in range(10)] + [f"Rc{number}" for number in range(10)]
    assert items == (expected[::-1] if reverse else expected)
    assert steps < 60


@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("reverse", [False, True])
def test_tombstones_are_not_walked(delimiter: str, reverse: bool) -> None:
    connection = filled({"a", "z"}, {f"dead{number:05}" for number in range(5000)})
    items, steps = _steps_of(connection, list_message(delimiter=delimiter, reverse=reverse))
    assert sorted(items) == ["Ra", "Rz"]
    assert steps < 20


def test_a_limit_of_nothing_gives_nothing() -> None:
    assert listed(filled({"a"}), list_message(limit=0)) == ([], False)


@pytest.mark.parametrize(
    ("marker", "expected"), [("a/b", ["Pa/", "Rb"]), ("a/", ["Rb"]), ("a", ["Pa/", "Rb"]), ("a0", ["Rb"])]
)
def test_a_marker_within_a_common_prefix_does_not_hide_it(marker: str, expected: list[str]) -> None:
    """Swift, container/backend.py, list_objects_iter."""
    query = list_message(delimiter="/", marker=marker)
    assert listed(filled({"a/a", "a/c", "b"}), query) == (expected, False)
