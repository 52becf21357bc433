"""storage/indexes/catalog.py."""

import sqlite3
from pathlib import Path

import pytest

from storage.indexes import schema
from storage.indexes.catalog import NO_DELETION, Catalog, Deletion
from storage.log.interface import START, Position


def key(number: int) -> bytes:
    return bytes([number]) * 16


def test_an_inventory_shows_what_was_noted_over_what_was_stored(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.db")
    for number in (1, 3, 5, 7):
        catalog.note(1, key(number), b"old")
    catalog.note(2, key(4), b"account")
    catalog.commit([(1, key(number)) for number in (1, 3, 5, 7)], set(), Position(9))
    catalog.note(1, key(2), b"new")
    catalog.note(1, key(5), b"new")
    catalog.note(1, key(9), b"new")
    whole = [(key(1), b"old"), (key(2), b"new"), (key(3), b"old")]
    whole += [(key(5), b"new"), (key(7), b"old"), (key(9), b"new")]
    assert catalog.inventory(1, b"", None, 100) == whole
    for limit in range(len(whole) + 1):
        assert catalog.inventory(1, b"", None, limit) == whole[:limit]
    assert catalog.inventory(1, key(2), key(7), 100) == whole[1:4]
    assert catalog.inventory(2, b"", None, 100) == [(key(4), b"account")]
    catalog.close()


def test_only_what_was_committed_is_there_again(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.db")
    assert catalog.position() == START
    catalog.note(1, key(1), b"one")
    catalog.note(1, key(2), b"two")
    catalog.commit([(1, key(1))], {key(1)}, Position(1234))
    catalog.close()
    catalog = Catalog(tmp_path / "catalog.db")
    assert catalog.keys() == {key(1)}
    assert catalog.unreported() == [key(1)]
    assert catalog.position() == 1234
    assert catalog.inventory(1, b"", None, 9) == [(key(1), b"one")]
    catalog.close()


def test_a_catalog_of_another_version_is_left_alone(tmp_path: Path) -> None:
    connection = schema.connect(tmp_path / "catalog.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(schema.UnknownVersion, match="99"):
        Catalog(tmp_path / "catalog.db")


def test_databases_that_remember_deletions_are_found_by_their_age(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.db")
    for number in range(1, 6):
        catalog.note(1, key(number), b"digest")
    pairs = [(1, key(number)) for number in range(1, 6)]
    first = {(1, key(1)): 30, (1, key(2)): 10, (1, key(3)): None, (1, key(4)): 20, (1, key(5)): 10}
    catalog.commit(pairs, set(), Position(1), first)
    wanted = [Deletion(10, 1, key(2)), Deletion(10, 1, key(5)), Deletion(20, 1, key(4)), Deletion(30, 1, key(1))]
    assert catalog.deletions(100, NO_DELETION, 100) == wanted
    assert catalog.deletions(20, NO_DELETION, 100) == wanted[:2]
    assert [catalog.deletions(100, after, 1) for after in wanted] == [[item] for item in wanted[1:]] + [[]]
    catalog.commit([], set(), Position(2), {(1, key(2)): None, (1, key(5)): 40})
    catalog.forget([(1, key(1))])
    catalog.close()
    catalog = Catalog(tmp_path / "catalog.db")
    assert catalog.deletions(100, NO_DELETION, 100) == [wanted[2], Deletion(40, 1, key(5))]
    catalog.close()


def test_all_databases_of_a_catalog_that_knew_nothing_of_deletions_are_looked_at(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.db")
    catalog.note(1, key(1), b"digest")
    catalog.commit([(1, key(1))], set(), Position(1))
    catalog.close()
    connection = sqlite3.connect(tmp_path / "catalog.db")
    connection.execute("DROP TABLE deletions")
    connection.commit()
    connection.close()
    catalog = Catalog(tmp_path / "catalog.db")
    assert catalog.deletions(1, NO_DELETION, 100) == [Deletion(0, 1, key(1))]
    catalog.close()
