"""storage.blobs.store: lists of versions, and digests of them."""

import asyncio
from pathlib import Path

import pytest

from cluster.clock import pack as timestamp_at
from cluster.clock import wall_us
from cluster.wire import RemoteError
from storage.blobs import digest
from storage.messages import (
    BlobFlag,
    Version,
)
from tests.unit.storage.blob_stores import (
    PART_POWER,
    Device,
    clock,
    delete,
    key_of,
    put,
    run,
)


def test_rows_are_unlisted_until_they_are_confirmed(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d")
        async with device as store:
            old = timestamp_at(wall_us() - 60_000_000, 0, 1)
            young, second = clock.now(), clock.now()
            await store.put(put("old", old), b"")
            await store.put(put("young", young), b"")
            await store.put(put("internal", young, flags=BlobFlag.UNLISTED), b"")
            assert sorted(store.unlisted()[0]) == sorted([(key_of("old"), old), (key_of("young"), young)])
            store.confirm_rows([(key_of("old"), old), (key_of("young"), old), (b"x" * 16, old)])
            await store.delete(delete("young", second))
        async with Device(tmp_path / "d") as store:
            assert store.unlisted()[0] == [(key_of("young"), second)]

    run(body)


def test_unlisted_versions_come_in_pages(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            await asyncio.gather(*[store.put(put(f"{n}", clock.now()), b"") for n in range(10)])
            found, start = [], b""
            while True:
                page, start = store.unlisted(start, 3)
                assert len(page) <= 3
                found += page
                if not start:
                    break
            assert sorted(key for key, _ in found) == sorted(key_of(f"{n}") for n in range(10))

    run(body)


def test_digests_tell_what_is_there_and_nothing_else(tmp_path: Path) -> None:
    """Two replicas that took different ways to the same versions agree."""

    async def body() -> None:
        async with Device(tmp_path / "a") as left, Device(tmp_path / "b") as right:
            versions = {f"{n}": (clock.now(), clock.now()) for n in range(50)}
            for name, (first, second) in versions.items():
                await left.put(put(name, first), b"1")
                await left.put(put(name, second), b"2")
            for name, (_, second) in reversed(versions.items()):
                await right.install(key_of(name), Version(second, False, 0, 1, b"m"), b"2")
            partitions = range(1 << PART_POWER)
            assert left.digests(PART_POWER, partitions) == right.digests(PART_POWER, partitions)
            await right.delete(delete("7", clock.now()))
            changed = [
                partition
                for partition in partitions
                if left.digests(PART_POWER, [partition]) != right.digests(PART_POWER, [partition])
            ]
            assert changed == [key_of("7")[0] >> 4]
            parts = list(
                zip(
                    left.subdigests(PART_POWER, changed[0]),
                    right.subdigests(PART_POWER, changed[0]),
                    strict=True,
                )
            )
            assert [n for n, (a, b) in enumerate(parts) if a != b] == [
                int.from_bytes(key_of("7")[:2], "big") >> 4 & 0xFF
            ]
            key = key_of("3")
            total = sum(
                digest.hash_of(key_of(name), second)
                for name, (_, second) in versions.items()
                if key_of(name)[0] >> 4 == key[0] >> 4
            )
            assert left.digests(PART_POWER, [key[0] >> 4]) == [digest.encode(total)]
            with pytest.raises(RemoteError):
                left.digests(PART_POWER + 1, [0])

    run(body)


def test_versions_are_listed_in_key_order(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            timestamp = clock.now()
            await asyncio.gather(*[store.put(put(f"{n}", timestamp), b"") for n in range(20)])
            later = clock.now()
            await store.delete(delete("3", later))
            keys = sorted(key_of(f"{n}") for n in range(20))
            gone = key_of("3")
            everything = [(key, later if key == gone else timestamp, key == gone) for key in keys]
            assert store.versions(b"", None, 100) == everything
            assert store.versions(keys[3], keys[7], 100) == everything[3:7]
            assert store.versions(keys[3], None, 2) == everything[3:5]

    run(body)
