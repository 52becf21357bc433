"""Pages, by limit and marker."""

from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, String, Table, insert, select

from cluster.controlplane.database import Database
from cluster.controlplane.errors import Malformed
from cluster.controlplane.paging import ROWS_LIMIT, Page, fetch, next_link
from tests.databases import url_in

things = Table("things", MetaData(), Column("id", String, primary_key=True))


def test_pages_together_are_all_rows_in_order(tmp_path: Path) -> None:
    ids = [f"{index:02}" for index in range(7)]
    with Database(url_in(tmp_path)).writing() as connection:
        things.metadata.create_all(connection)
        connection.execute(insert(things), [{"id": each} for each in reversed(ids)])
        seen: list[str] = []
        page = Page(limit=3)
        while True:
            listing = fetch(connection, select(things), things.c.id, page)
            seen.extend(row.id for row in listing.rows)
            if not listing.more:
                break
            page = Page(limit=3, marker=seen[-1])
        assert seen == ids
        assert fetch(connection, select(things), things.c.id, Page(limit=7)).more is False


def test_queries_say_which_page() -> None:
    assert Page.of_query({}) == Page()
    assert Page.of_query({"limit": "5", "marker": "a"}) == Page(5, "a")
    assert Page.of_query({"limit": "0"}).rows == ROWS_LIMIT
    assert Page.of_query({"limit": "9" * 30}).rows == ROWS_LIMIT
    for text in ("", "-1", "x", "1.5", "٣"):
        with pytest.raises(Malformed):
            Page.of_query({"limit": text})


def test_the_next_page_keeps_the_query() -> None:
    query = [("name", "a b"), ("marker", "old"), ("limit", "2")]
    link = next_link("http://x/v3/users", query, Page(2, "old"), "new")
    assert link == "http://x/v3/users?name=a+b&limit=2&marker=new"
