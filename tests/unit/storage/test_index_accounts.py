"""storage/indexes/store.py: what containers report to their account."""

from pathlib import Path

from storage.indexes.store import IndexStore
from storage.messages import (
    DatabaseKind,
    IndexInfo,
    IndexRows,
    Info,
    Row,
)
from tests.unit.storage.index_fixtures import (
    MemoryLog,
    at,
    row,
    rows_message,
)
from tests.unit.storage.index_stores import names, run

ACCOUNT_KEY = b"a" * 16


def test_containers_report_to_their_account(tmp_path: Path) -> None:
    async def account(store: IndexStore) -> Info:
        info = await store.info(IndexInfo(DatabaseKind.ACCOUNT, ACCOUNT_KEY, "AUTH_a", ""))
        assert info is not None
        return info

    async def deliver(store: IndexStore) -> int:
        reports = store.take_reports(10)
        for name, report in reports.values():
            await store.rows(IndexRows(DatabaseKind.ACCOUNT, ACCOUNT_KEY, name, "", at(1), [report]))
        return len(reports)

    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        await store.rows(rows_message([row("x", 4, 10), row("y", 3, 5)], put=2))
        await names(store)
        taken = store.take_reports(10)
        report = Row("c", at(2), False, 15, modified_us=2, object_count=2, stats_timestamp=at(4))
        assert list(taken.values()) == [("AUTH_a", report)]
        assert store.take_reports(10) == {}
        store.put_back_reports(taken)

        assert await deliver(store) == 1
        assert (await account(store)).container_count == 0, "a report does not create a container"
        exists = Row("c", at(2), False, 0, modified_us=2)
        await store.rows(IndexRows(DatabaseKind.ACCOUNT, ACCOUNT_KEY, "AUTH_a", "", at(1), [exists]))
        info = await account(store)
        assert (info.container_count, info.object_count, info.bytes_used) == (1, 2, 15)

        await store.rows(rows_message([row("x", 5, deleted=True)], put=2))
        await names(store)
        assert await deliver(store) == 1
        info = await account(store)
        assert (info.container_count, info.object_count, info.bytes_used) == (1, 1, 5)

        gone = Row("c", at(9), True, 0)
        await store.rows(IndexRows(DatabaseKind.ACCOUNT, ACCOUNT_KEY, "AUTH_a", "", at(1), [gone]))
        await store.rows(rows_message([row("z", 10)], put=2))
        await names(store)
        assert await deliver(store) == 1
        info = await account(store)
        assert (info.container_count, info.object_count, info.bytes_used) == (0, 0, 0)

    run(tmp_path, scenario)


def test_a_put_back_report_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        await store.rows(rows_message([row("x", 2)]))
        await names(store)
        old = store.take_reports(1)
        await store.rows(rows_message([row("y", 2)]))
        await names(store)
        store.put_back_reports(old)
        ((_, report),) = store.take_reports(10).values()
        assert report.object_count == 2

    run(tmp_path, scenario)
