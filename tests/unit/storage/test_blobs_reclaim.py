"""storage.blobs.reclaim and graves: what is forgotten stays forgotten, whatever becomes of the index."""

import asyncio
import errno
import time
from pathlib import Path
from typing import Any

import pytest

from cluster.clock import Timestamp, just_after, pack, wall_us
from cluster.wire import RemoteError
from storage.blobs import entry
from storage.blobs.reclaim import Holding
from storage.blobs.store import BlobStore
from storage.messages import Refusal
from storage.metadata import ObjectMetadata
from storage.metadata import pack as packed
from tests.unit.storage.blob_stores import Device, clock, delete, key_of, put, put_large, run, tables
from tests.unit.storage.faulty_disk import FaultyDisk

SEGMENT = {"segment_bytes": 4096}
SIZES = {"keeps the segment": 2600, "victim": 300}
ANOTHER_BOOT: dict[str, Any] = {"boot_id": "another boot"}


async def fill(store: BlobStore, *names: str) -> None:
    """Write objects that fill segments; what is long keeps its segment mostly live."""
    for name in names:
        await store.put(put(name, clock.now()), bytes(SIZES.get(name, 1500)))


async def gone(store: BlobStore, name: str) -> Timestamp:
    """Delete an object, with its row, and give the tombstone up; return the tombstone's timestamp."""
    timestamp = clock.now()
    await store.delete(delete(name, timestamp))
    store.confirm_rows([(key_of(name), timestamp)])
    assert await store.reclaims.forget([(key_of(name), timestamp)]) == 1
    return timestamp


async def compact(store: BlobStore) -> None:
    """Give back all space that can be."""
    while await store.compaction.step():
        pass
    store.compaction._postponed.clear()
    while await store.compaction.step():
        pass


def expiring(second: int) -> bytes:
    """Return the metadata of an object that expires."""
    return packed(ObjectMetadata("a", "c", "o", 1, "e", "t", 0, {}, {}, {"delete_at": second}, {}))


def test_a_tombstone_that_was_given_up_does_not_uncover_what_it_had_deleted(tmp_path: Path) -> None:
    """A power cut costs the index; in the log the object is in a segment that stays, what deleted it is not."""

    async def body() -> None:
        device = Device(tmp_path / "d", SEGMENT)
        async with device as store:
            await fill(store, "keeps the segment", "victim")
            first = {info.id for info in device.log.segments()}
            await fill(store, *"abcdef")
            await gone(store, "victim")
            for _ in range(3):
                await fill(store, *"abcdef")
                await compact(store)
            left = [info.id for info in device.log.segments()]
            assert first & set(left), "the object's own segment is still there"
            assert store.stat(key_of("victim")) is None
            assert store.status()["graves"] == 1
            before = tables(store)
            powerless = device.crash()
        device = Device(powerless, SEGMENT, **ANOTHER_BOOT)
        assert device.store._keeper.rebuilt
        async with device as store:
            assert store.stat(key_of("victim")) is None
            assert store.stat(key_of("a")) is not None
            after = tables(store)
            assert after["graves"].keys() == before["graves"].keys()
            assert after["digests"] == before["digests"]
            assert after["segments"] == before["segments"]

    run(body)


def test_without_the_grave_it_would_be_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail."""

    async def body() -> None:
        monkeypatch.setattr("storage.blobs.compaction.Compaction._move_forgotten", lambda *_arguments: 0)
        monkeypatch.setattr("storage.blobs.tables._Change.count_grave", lambda *_arguments: None)
        device = Device(tmp_path / "d", SEGMENT)
        async with device as store:
            await fill(store, "keeps the segment", "victim", *"abcdef")
            await gone(store, "victim")
            for _ in range(3):
                await fill(store, *"abcdef")
                await compact(store)
            powerless = device.crash()
        async with Device(powerless, SEGMENT, **ANOTHER_BOOT) as store:
            assert store.stat(key_of("victim")) is not None

    run(body)


def test_a_grave_goes_with_what_it_keeps_down(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d", SEGMENT)
        async with device as store:
            await fill(store, "keeps the segment", "victim", *"abcdef")
            await gone(store, "victim")
            store.reclaims.tidy()
            assert store.status()["graves"] == 1
            await fill(store, "keeps the segment", *"abcdef")
            await compact(store)
            assert not store.reclaims.tidy()
            assert store.status()["graves"] == 0
            held = tables(store)["entries"].values()
            needed = sum(entry.decode(value).record_length for value in held)
            assert store.status()["live_bytes"] == needed, "its FORGET is not needed any more"

    run(body)


def test_a_name_that_was_deleted_without_a_trace_leaves_no_grave(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            await gone(store, "never was")
            assert store.status()["graves"] == 0
            assert store.status()["tombstones"] == 0
            assert not tables(store)["digests"]

    run(body)


def test_a_new_object_takes_the_grave_over(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d", SEGMENT)
        async with device as store:
            await fill(store, "keeps the segment", "victim", *"abcdef")
            await gone(store, "victim")
            await fill(store, "victim")
            assert store.status()["graves"] == 0
            await gone(store, "victim")
            assert store.status()["graves"] == 1
            for _ in range(3):
                await fill(store, *"abcdef")
                await compact(store)
            powerless = device.crash()
        async with Device(powerless, SEGMENT, **ANOTHER_BOOT) as store:
            assert store.stat(key_of("victim")) is None

    run(body)


def test_a_crash_in_the_middle_of_forgetting_replays_to_the_same(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d", SEGMENT)
        async with device as store:
            await fill(store, "keeps the segment", "victim", *"abc")
            await gone(store, "victim")
            before = tables(store)
            killed, powerless = device.crash("killed"), device.crash("powerless")
        for path, options in ((killed, {}), (powerless, ANOTHER_BOOT)):
            async with Device(path, SEGMENT, **options) as store:
                assert store.stat(key_of("victim")) is None
                assert tables(store) == before

    run(body)


def test_large_objects_are_gone_with_their_files(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d")
        async with device as store:
            await put_large(store, "large", clock.now(), bytes(2 << 20))
            await gone(store, "large")
            powerless = device.crash()
        async with Device(powerless, **ANOTHER_BOOT) as store:
            assert store.stat(key_of("large")) is None

    run(body)


def test_only_that_very_tombstone_is_given_up(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            await fill(store, "there")
            live = store.stat(key_of("there"))
            assert live is not None
            assert store.reclaims.holding(key_of("there"), live.timestamp) is Holding.OTHER
            first, second = clock.now(), clock.now()
            await store.delete(delete("there", first))
            assert store.reclaims.holding(key_of("there"), first) is Holding.OTHER, "its row is not known to be listed"
            await store.delete(delete("there", second))
            store.confirm_rows([(key_of("there"), second)])
            assert store.reclaims.holding(key_of("there"), first) is Holding.OTHER
            assert store.reclaims.holding(key_of("there"), second) is Holding.TOMBSTONE
            assert store.reclaims.holding(key_of("not there"), second) is Holding.NOTHING
            assert await store.reclaims.forget([(key_of("there"), first)]) == 0
            writing = store.put(put("there", clock.now()), b"again")
            assert store.reclaims.holding(key_of("there"), second) is Holding.OTHER, "something is on its way"
            await writing
            assert await store.reclaims.forget([(key_of("there"), second)]) == 0
            assert store.stat(key_of("there")) is not None

    run(body)


def test_below_the_floor_no_write_begins_a_name_and_copies_do(tmp_path: Path) -> None:
    async def body() -> None:
        old, floor = pack(1_000_000, 0, 1), pack(2_000_000, 0, 0)
        device = Device(tmp_path / "d")
        async with device as store:
            await store.put(put("old", old), b"old")
            await store.reclaims.raise_floor(floor)
            with pytest.raises(RemoteError) as refused:
                await store.put(put("late", old), b"late")
            assert (refused.value.code, refused.value.detail) == (Refusal.PROMISED, floor)
            await store.delete(delete("old", just_after(old)))
            version = store.stat(key_of("old"))
            assert version is not None
            await store.install(key_of("copy"), version)
            killed = device.crash()
        async with Device(killed) as store:
            assert store.reclaims.floor == floor
            await store.reclaims.raise_floor(old)
            assert store.reclaims.floor == floor
            with pytest.raises(RemoteError):
                await store.reclaims.raise_floor(pack(wall_us() + 60_000_000, 0, 0))

    run(body)


def test_due_tombstones_are_found_by_age_in_pages(tmp_path: Path) -> None:
    async def body() -> None:
        now_us = 1_000_000_000
        async with Device(tmp_path / "d", wall=lambda: now_us) as store:
            for n in range(10):
                await store.delete(delete(f"{n}", pack(now_us - n * 1_000_000, 0, 0)))
            await store.put(put("9", pack(now_us, 0, 0)), b"there again")
            found, start = store.reclaims.due(b"", 4.5, 3)
            assert [key for key, _timestamp in found] == [key_of("8"), key_of("7"), key_of("6")]
            found, start = store.reclaims.due(start, 4.5, 3)
            assert ([key for key, _timestamp in found], start) == ([key_of("5")], b"")

    run(body)


def test_expired_objects_are_found_when_they_are_due(tmp_path: Path) -> None:
    async def body() -> None:
        begin_s = wall_us() // 1_000_000
        now_s = [begin_s]
        device = Device(tmp_path / "d", wall=lambda: now_s[0] * 1_000_000)
        async with device as store:
            for n in range(5):
                await store.put(put(f"{n}", clock.now(), expiring(begin_s + n)), b"x")
            await put_large(store, "large", clock.now(), bytes(2 << 20), expiring(begin_s + 1))
            await store.put(put("1", clock.now()), b"for ever")
            await store.put(put("text", clock.now(), b"delete_at"), b"is no metadata")
            now_s[0] = begin_s + 3
            assert [key for key, _timestamp in store.expired()[0]] == [
                key_of(name) for name in ("0", "large", "2", "3")
            ]
            assert len(store.expired(limit=2)[0]) == 2
            await store.delete(delete("large", clock.now()))
            assert store.status()["expiring"] == 4
            before = tables(store)
            powerless = device.crash()
        async with Device(powerless, **ANOTHER_BOOT) as store:
            assert tables(store) == before

    run(body)


def test_compaction_does_not_bring_back_what_is_being_forgotten(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d", SEGMENT) as store:
            await fill(store, *"abc")
            timestamp = clock.now()
            await store.delete(delete("victim", timestamp))
            store.confirm_rows([(key_of("victim"), timestamp)])
            await fill(store, *"abcabc")
            await asyncio.gather(store.reclaims.forget([(key_of("victim"), timestamp)]), compact(store))
            assert store.stat(key_of("victim")) is None

    run(body)


def test_a_floor_that_could_not_be_written_down_is_written_by_who_asks_again(tmp_path: Path) -> None:
    async def body() -> None:
        disk = FaultyDisk()
        device = Device(tmp_path / "d", disk=disk)
        floor = pack(wall_us() - 10**6, 0, 0)
        async with device as store:
            disk.failures["fsync"] = errno.ENOSPC
            with pytest.raises(RemoteError):
                await store.reclaims.raise_floor(floor)
            disk.failures.clear()
            await store.reclaims.raise_floor(floor)
            crashed = device.crash()
        async with Device(crashed) as store:
            assert store.reclaims.floor == floor

    run(body)


def test_floors_that_are_raised_at_the_same_time_are_durable_for_each_of_those_who_asked(tmp_path: Path) -> None:
    """Each leader of a reclaiming asks by itself."""

    class Slow(FaultyDisk):
        def __init__(self) -> None:
            super().__init__()
            self.delay_s = 0.0
            self.under_way = self.most_at_once = 0

        def fsync(self, fd: int) -> None:
            self.under_way += 1
            self.most_at_once = max(self.most_at_once, self.under_way)
            time.sleep(self.delay_s)
            super().fsync(fd)
            self.under_way -= 1

    async def body() -> None:
        disk = Slow()
        device = Device(tmp_path / "d", disk=disk)
        floors = [pack(wall_us() - seconds * 10**6, 0, 0) for seconds in (3, 1, 1, 2)]
        async with device as store:
            disk.delay_s, disk.most_at_once = 0.1, 0

            async def raised(floor: Timestamp) -> None:
                await store.reclaims.raise_floor(floor)
                assert (device.path / "blobs" / "reclaim-floor").read_bytes() >= floor

            await asyncio.gather(*map(raised, floors))
        assert disk.most_at_once == 1
        async with Device(device.path) as store:
            assert store.reclaims.floor == max(floors)

    run(body)
