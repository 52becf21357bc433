"""Rows as frozen dataclasses, and what all of them have in common."""

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Row, Table, delete, insert, select

T = TypeVar("T")

IDS_PER_QUERY = 500  # databases bound the parameters of a query


def new_id() -> str:
    """Return an id that nothing has yet."""
    return str(uuid.uuid4())


def record_of(kind: type[T], row: "Row[Any]") -> T:
    """Return a row as a value; fields that are no columns keep their defaults."""
    names = {field.name for field in dataclasses.fields(cast(Any, kind))}
    return kind(**{name: value for name, value in row._mapping.items() if name in names})


def columns_of(table: Table, record: Any) -> dict[str, Any]:
    """Return what the row of `record` consists of."""
    names = {field.name for field in dataclasses.fields(record)}
    return {column.name: getattr(record, column.name) for column in table.columns if column.name in names}


def words_of(
    connection: Connection, table: Table, ids: Sequence[str], only: str | None = None
) -> dict[str, dict[str, str]]:
    """Return the words that `table` has, by id and key; of one key, with `only`."""
    found: dict[str, dict[str, str]] = {each: {} for each in ids}
    owner = next(iter(table.primary_key.columns))
    for start in range(0, len(ids), IDS_PER_QUERY):
        query = select(table).where(owner.in_(ids[start : start + IDS_PER_QUERY])).order_by(table.c.key)
        if only is not None:
            query = query.where(table.c.key == only)
        for row in connection.execute(query):
            found[row[0]][row.key] = row.value
    return found


def set_words(
    connection: Connection, table: Table, owner_id: str, words: Mapping[str, str], replace: bool = False
) -> None:
    """Store words; with `replace` these are all, else others stay."""
    owner = next(iter(table.primary_key.columns))
    doomed = delete(table).where(owner == owner_id)
    connection.execute(doomed if replace else doomed.where(table.c.key.in_(list(words))))
    if words:
        connection.execute(
            insert(table), [{owner.name: owner_id, "key": key, "value": value} for key, value in words.items()]
        )


def delete_word(connection: Connection, table: Table, owner_id: str, key: str) -> bool:
    """Forget one word; tell whether it was there."""
    owner = next(iter(table.primary_key.columns))
    return connection.execute(delete(table).where(owner == owner_id, table.c.key == key)).rowcount > 0
