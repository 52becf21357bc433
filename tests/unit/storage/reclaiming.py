"""What tests of reclaiming databases share: a month passes, and every device gives up what it leads."""

from collections.abc import Callable
from typing import Any

import pytest

from cluster.clock import Timestamp, pack, wall_us
from cluster.wire import RemoteError
from proxy.objects.model import ObjectName
from proxy.objects.service import ObjectService
from storage.housekeeping.reclaim_databases import RETRY_S, ReclaimDatabases
from storage.indexes.database import Database
from storage.messages import (
    DatabaseKind,
    IndexInfo,
    IndexRows,
    Operation,
    ReclaimedDatabase,
    Row,
)
from tests.loopback import LoopbackCluster, LoopbackDevice, Loss, put

DAY_S = 86_400.0
AGE_S = 7 * DAY_S
ACCOUNT = "AUTH_a"
CONTAINER = DatabaseKind.CONTAINER


def named(text: str) -> ObjectName:
    return ObjectName(ACCOUNT, "c", text)


def key_of(cluster: LoopbackCluster) -> bytes:
    return cluster.key(ACCOUNT, "c")


def holders_of(cluster: LoopbackCluster) -> list[LoopbackDevice]:
    return cluster.holders(key_of(cluster))


async def pass_of(task: ReclaimDatabases) -> None:
    """Let a task look at all that is due once."""
    for _ in range(50):
        pause_s = await task.step()
        if pause_s == RETRY_S or task._cursor == type(task._cursor)():
            return


async def give_up(cluster: LoopbackCluster, age_s: float = AGE_S) -> tuple[int, int]:
    """Let every device give up what it leads, once; return how many rows and databases went."""
    tasks = [device.reclaim_databases(age_s) for device in cluster.devices if device.running]
    for task in tasks:
        await pass_of(task)
    return sum(task.reclaimed_rows for task in tasks), sum(task.reclaimed_databases for task in tasks)


async def tombstones(device: LoopbackDevice, key: bytes) -> list[str]:
    """Return the names of rows that are deleted, as a device remembers them. What is left of rows elsewhere is none."""

    def names(database: Database) -> list[str]:
        there = [] if database.header.moved is not None else database.all_rows()
        return sorted(row.name for row in there if row.deleted)

    return await device.indexes._pending.query(key, names) or []


async def all_tombstones(cluster: LoopbackCluster) -> int:
    """Return how many there are in containers, in ranges and in accounts, on all devices."""
    count = 0
    for device in cluster.devices:
        for kind in DatabaseKind:
            for key, _digest in await device.indexes.inventory(kind, b"", None, 1000):
                count += len(await tombstones(device, key))
    return count


async def databases(cluster: LoopbackCluster) -> int:
    """Return how many containers' databases there are on all devices."""
    found = [await device.indexes.inventory(CONTAINER, b"", None, 1000) for device in cluster.devices]
    return sum(map(len, found))


async def a_container(cluster: LoopbackCluster, *texts: str) -> ObjectService:
    """Return a service with a container from which objects were deleted a month ago."""
    service = cluster.proxy(cluster.time_us).service
    await service.create_container(ACCOUNT, "c", {})
    for text in texts:
        await put(service, named(text), b"data")
    for text in texts:
        await service.delete_object(named(text))
    await cluster.quiet()
    return service


async def synchronize_all(cluster: LoopbackCluster) -> None:
    for device in cluster.devices:
        for kind in DatabaseKind:
            await device.synchronize(kind).step()


async def send(cluster: LoopbackCluster, device: LoopbackDevice, operation: Operation, message: Any) -> Any:
    """Let a proxy send a message."""
    peers = cluster.devices[0].peers
    return (await peers[device.id].call(operation, message, tag=cluster.rings.version)).metadata


async def refusal_of(cluster: LoopbackCluster, device: LoopbackDevice, operation: Operation, message: Any) -> int:
    """Return with which code a message is refused."""
    with pytest.raises(RemoteError) as refused:
        await send(cluster, device, operation, message)
    return refused.value.code


def rows_message(cluster: LoopbackCluster, put_timestamp: Timestamp, *rows: Row, moved: bool = False) -> IndexRows:
    return IndexRows(CONTAINER, key_of(cluster), ACCOUNT, "c", put_timestamp, list(rows), moved)


def a_row(text: str, timestamp: Timestamp, deleted: bool = False) -> Row:
    return Row(text, timestamp, deleted, 4, "etag", "text/plain", 1)


def now() -> Timestamp:
    return pack(wall_us(), 0, 1)


def info_message(cluster: LoopbackCluster) -> IndexInfo:
    return IndexInfo(CONTAINER, key_of(cluster), ACCOUNT, "c")


def item_of(cluster: LoopbackCluster, *texts: str) -> ReclaimedDatabase:
    key = key_of(cluster)
    return ReclaimedDatabase(CONTAINER, key, ACCOUNT, "c", key, texts)


def the_nth(wanted: Operation, number: int) -> Callable[[int], Loss | None]:
    seen = [0]

    def loss(operation: int) -> Loss | None:
        seen[0] += operation == wanted
        return Loss.REQUEST if operation == wanted and seen[0] == number else None

    return loss
