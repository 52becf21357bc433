"""storage.blobs after crashes: replay, rebuild, sweep, compaction."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from cluster.clock import Timestamp
from cluster.wire import RemoteError
from storage.blobs import record
from storage.blobs.commits import Commits
from storage.blobs.index import BlobIndex
from storage.blobs.mapping import NoRoom
from storage.blobs.store import BlobStore
from storage.blobs.tables import Tables
from storage.log.interface import offset_of
from storage.messages import INLINE_LIMIT, BlobCommit, BlobPrepare, BlobPromise
from tests.unit.cluster.wire_cluster import until
from tests.unit.storage.blob_stores import (
    PART_POWER,
    Device,
    clock,
    delete,
    got,
    headed,
    key_of,
    pieces,
    put,
    put_large,
    run,
    tables,
)

LARGE = os.urandom(INLINE_LIMIT + 12345)


async def some_history(device: Device) -> dict[str, bytes | None]:
    """Write something of everything; return what is there then, by name."""
    store = device.store
    for n in range(20):
        await store.put(put(f"{n}", clock.now()), b"old %d" % n)
    await asyncio.gather(*[store.put(put(f"{n}", clock.now()), b"new %d" % n) for n in range(10)])
    await store.delete(delete("3", clock.now()))
    await put_large(store, "large", clock.now(), LARGE)
    await put_large(store, "replaced", clock.now(), LARGE)
    await put_large(store, "replaced", clock.now(), LARGE[::-1])
    await put_large(store, "deleted", clock.now(), LARGE)
    await store.delete(delete("deleted", clock.now()))
    store.confirm_rows([(key_of("5"), store.stat(key_of("5")).timestamp)])  # type: ignore[union-attr]
    store._commits.flush_confirmed()
    await store.put(put("last", clock.now()), b"last")
    content: dict[str, bytes | None] = {f"{n}": b"old %d" % n for n in range(20)}
    content |= {f"{n}": b"new %d" % n for n in range(10)}
    return content | {"3": None, "large": LARGE, "replaced": LARGE[::-1], "deleted": None, "last": b"last"}


async def check(device: Device, content: dict[str, bytes | None]) -> dict[str, dict[bytes, bytes]]:
    async with device as store:
        for name, expected in content.items():
            version, data = await got(store, name)
            assert version is not None, name
            assert (None if version.deleted else data) == expected, name
        return tables(store)


def test_replay_and_rebuild_give_the_index_that_was_lost(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d", {"segment_bytes": 8192})
        async with device as store:
            content = await some_history(device)
            before = tables(store)
            killed, powerless = device.crash("killed"), device.crash("powerless")
            no_index = device.crash("no-index")
        shutil.rmtree(no_index / "blobs" / "index")
        for path, options, rebuilt in (
            (killed, {}, False),
            (powerless, {"boot_id": "another boot"}, True),
            (no_index, {}, True),
            (tmp_path / "d", {}, False),
            (tmp_path / "d", {"boot_id": "another boot"}, False),
        ):
            device = Device(path, **options)
            assert device.store._keeper.rebuilt is rebuilt, path
            assert await check(device, content) == before, path

    run(body)


def test_an_index_that_lags_behind_is_brought_up_to_date(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d")
        async with device as store:
            await store.put(put("before", clock.now()), b"1")
            early = device.crash("early")
            content = await some_history(device)
            now = tables(store)
            late = device.crash("late")
        shutil.rmtree(late / "blobs" / "index")
        shutil.copytree(early / "blobs" / "index", late / "blobs" / "index")
        device = Device(late)
        assert not device.store._keeper.rebuilt
        assert await check(device, content) == now

    run(body)


def test_an_index_that_is_ahead_of_the_log_is_not_trusted(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d")
        async with device as store:
            await store.put(put("a", clock.now()), b"1")
            first = store.index.position
            await store.put(put("b", clock.now()), b"2")
            store.index.merge()
            crashed = device.crash()
        os.truncate(crashed / "log" / "00000001.segment", offset_of(first))
        device = Device(crashed)
        assert device.store._keeper.rebuilt
        async with device as store:
            assert store.stat(key_of("a")) is not None
            assert store.stat(key_of("b")) is None

    run(body)


def test_an_index_of_garbage_is_made_again(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d")
        async with device:
            content = await some_history(device)
        (tmp_path / "d" / "blobs" / "index" / "tables" / "data.mdb").write_bytes(os.urandom(100_000))
        await check(Device(tmp_path / "d"), content)

    run(body)


def test_cut_anywhere_each_key_has_a_version_that_was_written_to_it(tmp_path: Path) -> None:
    """At every record's end: what was acknowledged before it is there; in the middle: the same."""

    async def body() -> None:
        device = Device(tmp_path / "d")
        history: list[tuple[int, str, bytes | None]] = []
        async with device as store:
            for n in range(8):
                name = f"{n % 4}"
                if n % 5 == 4:
                    await store.delete(delete(name, clock.now()))
                    history.append((offset_of(store.index.position), name, None))
                else:
                    await store.put(put(name, clock.now()), b"%d" % n)
                    history.append((offset_of(store.index.position), name, b"%d" % n))
            crashed = device.crash()
        for index, (end, _, _) in enumerate(history):
            for cut in (end, end - 30):
                acknowledged = history[: index + 1] if cut == end else history[:index]
                copy = tmp_path / "cut"
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(crashed / "log", copy / "log")
                os.truncate(copy / "log" / "00000001.segment", cut)
                expected = {name: data for _, name, data in acknowledged}
                async with Device(copy) as store:
                    for name in ("0", "1", "2", "3"):
                        version, data = await got(store, name)
                        if name not in expected:
                            assert version is None
                        else:
                            assert version is not None
                            assert (None if version.deleted else data) == expected[name]

    run(body)


def test_a_file_without_a_record_is_swept_away(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d")
        async with device as store:
            await put_large(store, "kept", clock.now(), LARGE)
            await store.prepare(BlobPrepare(b"u" * 16, None), pieces(LARGE))
            upload = store._uploads._uploads[b"u" * 16]
            metadata = record.encode_file(key_of("lost"), clock.now(), 0, len(LARGE), upload.data_id, b"m")
            await upload.publish(metadata)  # the crash comes before the record
            await swept(store)
            assert len(files(tmp_path / "d")) == 2  # in use: left alone
            crashed = device.crash()
        assert len(files(tmp_path / "d")) == 1
        assert len(files(crashed)) == 2
        async with Device(crashed) as store:
            await swept(store)
            assert len(files(crashed)) == 1
            assert (await got(store, "kept"))[1] == LARGE
            assert store.stat(key_of("lost")) is None

    run(body)


def test_a_file_that_cannot_say_what_it_is_goes_unless_a_version_refers_to_it(tmp_path: Path) -> None:
    """A crash may undo its removal, and bring back its name without its attributes."""

    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            for name in ("kept", "other"):
                await put_large(store, name, clock.now(), LARGE)
            (tmp_path / "d/blobs/files/ab").mkdir(exist_ok=True)
            (tmp_path / "d/blobs/files/ab" / ("ab" * 16)).write_bytes(LARGE)
            kept = store.index.data_id(key_of("kept"))
            for attribute in os.listxattr(store._files.path(kept)):
                os.removexattr(store._files.path(kept), attribute)
            await swept(store)
            assert {path.name for path in files(tmp_path / "d")} == {
                store.index.data_id(key_of(name)).hex() for name in ("kept", "other")
            }

    run(body)


def files(path: Path) -> list[Path]:
    return list((path / "blobs" / "files").glob("*/*"))


async def swept(store: BlobStore) -> None:
    store._sweeping.cancel()
    await asyncio.sleep(0.01)
    store.sweep.restart()
    while not store.sweep.done:
        await store.sweep.step()


def test_temporary_files_are_removed_at_start(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d"):
            pass
        (tmp_path / "d" / "blobs" / "tmp" / "left").write_bytes(b"half")
        async with Device(tmp_path / "d"):
            assert list((tmp_path / "d" / "blobs" / "tmp").iterdir()) == []

    run(body)


@pytest.mark.parametrize("committed", [True, False])
def test_a_version_whose_record_was_lost_is_adopted_from_its_file(tmp_path: Path, committed: bool) -> None:
    async def body() -> None:
        options = {"segment_bytes": 4096}
        device = Device(tmp_path / "d", options)
        timestamp = clock.now()
        async with device as store:
            await put_large(store, "large", timestamp, LARGE, b"meta")
            entry = store.index.get(key_of("large"))
            assert entry is not None
            for n in range(10):
                await store.put(put(f"{n}", clock.now()), bytes(1000))
            if not committed:
                await store.delete(delete("large", clock.now()))
        with next((tmp_path / "d" / "log").glob("00000001.*")).open("r+b") as file:
            file.seek(offset_of(entry.position))
            file.write(bytes(40))
        shutil.rmtree(tmp_path / "d" / "blobs" / "index")
        async with Device(tmp_path / "d", options) as store:
            await swept(store)
            version, data = await got(store, "large")
            assert version is not None
            if committed:
                assert (version.timestamp, version.metadata, data) == (timestamp, b"meta", LARGE)
                assert store.sweep.adopted == 1
            else:
                assert version.deleted
                assert files(tmp_path / "d") == []

    run(body)


def test_what_could_not_be_adopted_goes_when_the_device_is_whole_again(tmp_path: Path) -> None:
    async def body() -> None:
        options = {"segment_bytes": 4096}
        device = Device(tmp_path / "d", options)
        async with device as store:
            await put_large(store, "large", clock.now(), LARGE, b"meta")
            entry = store.index.get(key_of("large"))
            assert entry is not None
            await store.promise(BlobPromise(key_of("large"), clock.now()))
            for n in range(10):
                await store.put(put(f"{n}", clock.now()), bytes(1000))
        with next((tmp_path / "d" / "log").glob("00000001.*")).open("r+b") as file:
            file.seek(offset_of(entry.position))
            file.write(bytes(40))
        shutil.rmtree(tmp_path / "d" / "blobs" / "index")
        async with Device(tmp_path / "d", options) as store:
            await swept(store)
            assert store.stat(key_of("large")) is None
            assert len(files(tmp_path / "d")) == 1, "its peers may have lost it"
            store.made_whole()
            await until(lambda: not files(tmp_path / "d"))

    run(body)


def test_dead_segments_are_dropped_and_mostly_dead_ones_rewritten(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d", {"segment_bytes": 16384})
        async with device as store:
            for n in range(100):
                await store.put(put(f"{n}", clock.now()), bytes([n]) * 1000)
            await store.delete(delete("99", clock.now()))
            store.confirm_rows([(key_of("0"), store.stat(key_of("0")).timestamp)])  # type: ignore[union-attr]
            for n in range(100):
                if n % 5:
                    await store.put(put(f"{n}", clock.now()), b"small")
            before = len(device.log.segments())
            versions = store.versions(b"", None, 1000)
            digests = store.digests(4, range(16))
            while await store.compaction.step():
                pass
            assert len(device.log.segments()) < before / 2
            assert store.versions(b"", None, 1000) == versions
            assert store.digests(4, range(16)) == digests
            listed = tables(store)
            crashed = device.crash()
        for boot in (None, "another"):
            async with Device(crashed, boot_id=boot) as store:
                assert store.versions(b"", None, 1000) == versions
                assert store.digests(4, range(16)) == digests
                assert tables(store)["unlisted"] == listed["unlisted"]
                for n in range(100):
                    assert (await got(store, f"{n}"))[1] == (b"small" if n % 5 else bytes([n]) * 1000)

    run(body)


def test_a_commit_in_flight_at_the_crash_is_whole_or_absent(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d")
        async with device as store:
            await store.prepare(BlobPrepare(b"u" * 16, None), pieces(LARGE))
            commit = store.commit(BlobCommit(b"u" * 16, key_of("a"), clock.now(), 0, b"m"))
            for turn in range(6):
                await asyncio.sleep(0.002 * turn)
                async with Device(device.crash()) as copy:
                    version, data = await got(copy, "a")
                    assert data == (b"" if version is None else LARGE)
            await commit

    run(body)


def versions_of(store: BlobStore) -> list[tuple[bytes, Timestamp]]:
    return [(key, timestamp) for key, timestamp, _deleted in store.versions(b"", None, 1000)]


def test_what_was_forgotten_was_never_here_after_any_crash(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "device")
        async with device as store:
            await some_history(device)
            before = versions_of(store)
            kept = [(key, timestamp) for key, timestamp in before if key[0] < 128]
            gone = [pair for pair in before if pair not in kept]
            assert kept
            assert gone
            await store.forget(gone)
            assert versions_of(store) == kept
            await asyncio.gather(*store._tasks, return_exceptions=True)  # their files are deleted
            digests, expected = store.digests(4, range(16)), tables(store)
            killed, rebuilt = device.crash("killed"), device.crash("rebuilt")
        shutil.rmtree(rebuilt / "blobs" / "index")
        for path in (tmp_path / "device", killed, rebuilt):
            async with Device(path) as store:
                assert versions_of(store) == kept
                assert store.digests(4, range(16)) == digests
                assert tables(store)["segments"].keys() == expected["segments"].keys()
                assert store.stat(gone[0][0]) is None
        assert digests[8:] == [bytes(16)] * 8

    run(body)


def test_what_is_being_forgotten_is_not_written_again_behind_that(tmp_path: Path) -> None:
    """A damaged version is put in place of itself by who heals it; behind the FORGET it would be back."""

    async def body() -> None:
        device = Device(tmp_path / "device")
        async with device as store:
            await store.put(put("a", clock.now()), b"data")
            version = await headed(store, "a")
            assert version is not None
            forgetting = asyncio.ensure_future(store.forget([(key_of("a"), version.timestamp)]))
            await asyncio.sleep(0)
            assert store.stat(key_of("a")) is not None
            await store.install(key_of("a"), version, b"data", replace=True)
            await forgetting
            assert store.stat(key_of("a")) is None

    run(body)


def test_a_version_is_being_forgotten_until_the_last_record_of_that_is_durable(tmp_path: Path) -> None:
    class Records:
        """A log of which somebody else says when its records are durable."""

        def __init__(self) -> None:
            self.futures: list[asyncio.Future[None]] = []

        def register(self, *_arguments: object) -> None:
            pass

        def append(self, *_arguments: object) -> asyncio.Future[None]:
            self.futures.append(asyncio.get_running_loop().create_future())
            return self.futures[-1]

    async def body() -> None:
        records = Records()
        index = BlobIndex(str(tmp_path))
        commits = Commits(records, index, lambda: 0.0, lambda _data_ids: None)  # type: ignore[arg-type]
        forgetting = [asyncio.ensure_future(commits.forget([(key_of("a"), clock.now())])) for _ in range(2)]
        await asyncio.sleep(0)
        records.futures[0].set_result(None)
        await forgetting[0]
        assert commits.is_forgetting(key_of("a"))
        records.futures[1].set_result(None)
        await forgetting[1]
        assert not commits.is_forgetting(key_of("a"))
        index.close()

    run(body)


def no_room(*_arguments: object) -> list[bytes]:
    """Stand in for a change of the index's tables when their file system is full."""
    raise NoRoom("no space left on device")


def test_a_segment_is_dropped_though_there_is_no_room_in_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To drop it is what makes room."""

    async def body() -> None:
        device = Device(tmp_path / "d", {"segment_bytes": 4096})
        async with device as store:
            for n in range(4):
                await store.put(put("a", clock.now()), bytes(3000 + n))
            before = [info.id for info in device.log.segments()]
            monkeypatch.setattr(Tables, "forget_segment", no_room)
            assert await store.compaction.step()
            assert [info.id for info in device.log.segments()] == before[1:]

    run(body)


def test_a_segment_whose_versions_the_tables_had_no_room_for_is_not_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their entries are in memory only, and say where they are: the sums of the tables do not know them."""

    async def body() -> None:
        device = Device(tmp_path / "d", {"segment_bytes": 4096})
        async with device as store:
            monkeypatch.setattr(Tables, "merge", no_room)
            for n in range(4):
                await store.put(put(f"{n}", clock.now()), bytes(4000))
            assert not await store.compaction.step()
            assert store.index.crowded
            before = dict(store.index.live_bytes)
            for n in range(4):
                assert (await got(store, f"{n}"))[1] == bytes(4000)
            await store.delete(delete("0", clock.now()))
            assert await store.compaction.step()  # what is dead goes also now
            assert (await got(store, "1"))[1] == bytes(4000)
            told = all_told(store)
            monkeypatch.undo()
            live = dict(store.index.live_bytes)
            assert not store.index.crowded
            assert {segment: live[segment] for segment in list(before)[1:]} == dict(list(before.items())[1:])
            assert all_told(store) == told

    run(body)


def test_what_the_tables_have_no_room_for_is_listed_and_summed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that is rebuilt takes the list for all that is here."""

    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            for n in range(0, 40, 2):
                await store.put(put(f"{n}", clock.now()), b"")
            store.index.merge()
            with monkeypatch.context() as patched:
                patched.setattr(Tables, "merge", no_room)
                for n in range(30, 60):
                    await store.put(put(f"{n}", clock.now()), b"")
                await store.delete(delete("7", clock.now()))
                await put_large(store, "large", clock.now(), LARGE)
                store.index.merge()
                assert store.index.crowded
                told = all_told(store)
                referred, _following = store.index.data_ids(b"", 1)
                assert store.index.data_id(key_of("large")) in referred
            store.index.merge()
            assert not store.index.crowded
            assert all_told(store) == told
            assert len(told[0]) == 15 + 30 + 2

    run(body)


def all_told(store: BlobStore) -> tuple[list[tuple[bytes, Timestamp, bool]], list[bytes], list[list[bytes]]]:
    """Return what peers are told of all that is here: in pages, and in sums."""
    found: list[tuple[bytes, Timestamp, bool]] = []
    while page := store.versions(found[-1][0] + b"\0" if found else b"", None, 3):
        found += page
    partitions = range(1 << PART_POWER)
    digests = store.digests(PART_POWER, partitions)
    return found, digests, [store.subdigests(PART_POWER, partition) for partition in partitions]


def test_an_index_that_had_no_room_to_forget_takes_versions_again_once_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            timestamp = clock.now()
            await store.put(put("a", timestamp), b"")
            with monkeypatch.context() as patched:
                patched.setattr(Tables, "forget", no_room)
                await store.forget([(key_of("a"), timestamp)])
            with pytest.raises(RemoteError):
                await store.put(put("b", clock.now()), b"")
            store._tick()
            await store.put(put("b", clock.now()), b"")

    run(body)


def test_why_data_was_lost_is_known_though_it_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "d" / "blobs" / "index").mkdir(parents=True)
    (tmp_path / "d" / "blobs" / "index" / "lost").write_bytes(b"\xff\xfe")

    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            assert store.lost_data

    run(body)


def test_what_was_replaced_meanwhile_is_not_forgotten(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path) as store:
            old, new = clock.now(), clock.now()
            await store.put(put("a", old), b"old")
            await store.put(put("a", new), b"new")
            await store.forget([(key_of("a"), old)])
            assert (await got(store, "a"))[1] == b"new"
            await store.forget([(key_of("a"), new)])
            assert await got(store, "a") == (None, b"")
            await store.put(put("a", old), b"again")
            assert (await got(store, "a"))[1] == b"again"

    run(body)


def test_a_forgotten_file_goes_and_is_not_held_by_an_index_that_is_made_anew_without_the_record(tmp_path: Path) -> None:
    """docs/blob-format.md: a FORGET is not kept when its segment goes."""

    async def body() -> None:
        device = Device(tmp_path / "device")
        async with device as store:
            await put_large(store, "large", clock.now(), LARGE)
            copy = device.crash()  # as the log would be without the FORGET
            await store.forget(versions_of(store))
            await asyncio.gather(*store._tasks - {store._sweeping}, return_exceptions=True)
            assert not list((tmp_path / "device" / "blobs" / "files").glob("*/*"))
        for path in (copy / "blobs" / "files").glob("*/*"):
            path.unlink()
        shutil.rmtree(copy / "blobs" / "index")
        async with Device(copy) as store:
            assert versions_of(store) == []
            assert store.digests(4, range(16)) == [bytes(16)] * 16

    run(body)
