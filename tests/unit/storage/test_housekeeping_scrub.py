"""storage.housekeeping.scrub and storage.housekeeping.heal, on real devices in directories."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import msgpack
import pytest

from cluster.clock import Timestamp
from cluster.threads import WaiterThreads
from cluster.wire import PeerUnavailable, RemoteError
from storage.blobs.reader import FileReader
from storage.blobs.store import BlobStore
from storage.client import Replicas
from storage.disk import RealDisk
from storage.housekeeping.heal import Heal
from storage.housekeeping.scrub import Scrub
from storage.log.interface import offset_of
from storage.messages import BlobGet, Refusal
from storage.metadata import ObjectMetadata, pack
from tests.unit.storage.blob_stores import Device, clock, delete, got, key_of, put, put_large, run
from tests.unit.storage.damage import file_of, flip, place_of, spoil_identity

LARGE = random.Random(5).randbytes(2_500_000)
FAST = 1 << 40


def scrub_of(device: Device, rate: int = FAST, cycle_s: float = 1000.0, **more: Any) -> Scrub:
    store = device.store
    path = str(device.path / "scrub")
    return Scrub(store.areas, store.quarantine, RealDisk(), path, WaiterThreads(1), rate, cycle_s, **more)


async def passed(scrub: Scrub) -> Scrub:
    """Have a whole pass done."""
    assert scrub.request()
    await scrub.step()
    while scrub.current is not None:
        await scrub.step()
    return scrub


def names_in(store: BlobStore) -> set[bytes]:
    return {found.key for found in store.quarantined}


async def filled(device: Device, count: int = 40) -> None:
    store = device.store
    await asyncio.gather(*[store.put(put(f"s{n}", clock.now()), b"%d" % n * 500) for n in range(count)])
    for n in range(3):
        await put_large(store, f"l{n}", clock.now(), LARGE)
    await store.delete(delete("s0", clock.now()))


def test_a_pass_over_what_is_whole_finds_nothing_and_reads_every_byte(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d")
        async with device as store:
            await filled(device)
            scrub = await passed(scrub_of(device))
            assert scrub.last is not None
            assert (scrub.last.found, scrub.last.healed) == (0, 0)
            assert scrub.last.read >= 3 * len(LARGE) + 40 * 500
            assert scrub.pass_count == 1
            assert store.quarantined == []

    run(body)


@pytest.mark.parametrize("at", [0, 4, 20, 41, 60, 200])
def test_whatever_byte_of_a_record_is_changed_its_version_is_found(tmp_path: Path, at: int) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d")
        async with device as store:
            await filled(device)
            segment, offset = place_of(device, "s7")
            flip(segment, offset + at)
            scrub = await passed(scrub_of(device))
            assert names_in(store) == {key_of("s7")}
            assert scrub.found_count == 1
            await passed(scrub)
            assert scrub.found_count == 1  # it is known

    run(body)


def test_files_that_are_damaged_cut_off_or_gone_are_found(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d")
        async with device as store:
            await filled(device)
            files = [file_of(device, f"l{n}") for n in range(3)]
            flip(files[0], 1_300_000)
            with files[1].open("r+b") as file:
                file.truncate(1_000_000)
            files[2].unlink()
            await passed(scrub_of(device))
            assert names_in(store) == {key_of(f"l{n}") for n in range(3)}

    run(body)


def test_an_identity_that_cannot_be_read_is_written_anew_at_once(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d")
        async with device as store:
            await filled(device)
            spoil_identity(file_of(device, "l1"))
            scrub = await passed(scrub_of(device))
            assert (scrub.found_count, scrub.healed_count) == (1, 1)
            assert store._files.identity(store.index.data_id(key_of("l1"))) is not None
            await passed(scrub)
            assert scrub.found_count == 1

    run(body)


def test_segments_that_are_cut_off_or_gone_are_found_by_what_is_missing(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d", {"segment_bytes": 8192})
        async with device as store:
            await filled(device)
            first, _ = place_of(device, "s3")
            second, cut = place_of(device, "s20")
            assert first != second
            first.unlink()
            with second.open("r+b") as file:
                file.truncate(cut)
            places = {f"s{n}": place_of(device, f"s{n}") for n in range(1, 40)}
            lost = {name for name, at in places.items() if at[0] == first or (at[0] == second and at[1] >= cut)}
            await passed(scrub_of(device))
            assert names_in(store) >= {key_of(name) for name in lost}
            assert key_of("s39") not in names_in(store)

    run(body)


def test_the_header_of_a_segment_is_mended(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d", {"segment_bytes": 8192})
        async with device as store:
            await filled(device)
            segments = sorted((tmp_path / "d" / "log").glob("*.segment"))
            before = segments[1].read_bytes()[:64]
            flip(segments[1], 20)
            scrub = await passed(scrub_of(device))
            assert segments[1].read_bytes()[:64] == before
            assert (scrub.found_count, scrub.healed_count) == (1, 1)
            assert store.quarantined == []

    run(body)


def test_a_whole_record_at_the_wrong_place_is_no_answer(tmp_path: Path) -> None:
    """A misdirected write: the checksums of the record match, and it is another's."""

    async def body() -> None:
        device = Device(tmp_path / "d")
        async with device as store:
            await asyncio.gather(*[store.put(put(f"s{n}", clock.now()), b"x" * 100) for n in range(9)])
            (segment, source), (_, target) = place_of(device, "s7"), place_of(device, "s3")
            data = bytearray(segment.read_bytes())
            length = place_of(device, "s4")[1] - target
            data[target : target + length] = data[source : source + length]
            segment.write_bytes(data)
            for ask in (lambda: store.get(BlobGet(key_of("s3"))), lambda: store.head(key_of("s3"))):
                with pytest.raises(RemoteError) as caught:
                    ask()
                assert caught.value.code == Refusal.CORRUPT
            store.quarantine._found.clear()
            await passed(scrub_of(device))
            assert names_in(store) == {key_of("s3")}

    run(body)


def test_an_index_that_does_not_add_up_is_made_anew_by_the_next_start(tmp_path: Path) -> None:
    async def body() -> None:
        told: list[bool] = []
        device = Device(tmp_path / "d", on_index_damaged=lambda: told.append(True))
        async with device as store:
            await filled(device)
            before = store.index.dump()["entries"]
            store.index.merge()
            tables = store.index._tables
            tables._write(lambda txn: txn.delete(key_of("s5"), db=tables._entries))
            await passed(scrub_of(device))
            assert told == [True]
            assert store.status()["index_damaged"]
        again = Device(tmp_path / "d")
        async with again as store:
            assert store.status()["index_rebuilt"]
            assert store.index.dump()["entries"] == before

    run(body)


def test_a_pass_goes_on_where_it_was_after_a_restart(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d", {"segment_bytes": 8192})
        async with device as store:
            await filled(device)
            scrub = scrub_of(device)
            scrub.request()
            await scrub.step()
            while scrub.share < 0.3:
                await scrub.step()
            assert scrub.current is not None
            area, position = scrub.current.area, scrub.current.position
            await scrub.close()
            again = scrub_of(device)
            assert again.current is not None
            assert (again.current.area, again.current.position) == (area, position)
            flip(file_of(device, "l0"), 5)
            while again.current is not None:
                await again.step()
            assert names_in(store) == {key_of("l0")}
            assert again.last is not None
            assert again.last.read >= 2 * len(LARGE)

    run(body)


def test_a_position_that_cannot_be_read_costs_no_more_than_a_pass(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d")
        async with device:
            (tmp_path / "d" / "scrub").write_bytes(b"\x00nonsense")
            assert (await passed(scrub_of(device))).pass_count == 1

    run(body)


def test_passes_begin_once_a_cycle_and_never_when_paused(tmp_path: Path) -> None:
    async def body() -> None:
        now_us = 10**15
        device = Device(tmp_path / "d")
        async with device:
            await filled(device, 3)
            scrub = scrub_of(device, cycle_s=100.0, wall=lambda: now_us)
            while scrub.pass_count == 0:
                await scrub.step()
            assert await scrub.step() == 100.0
            now_us += 99 * 10**6
            assert await scrub.step() == 1.0
            now_us += 2 * 10**6
            while scrub.pass_count == 1:
                await scrub.step()
            paused = scrub_of(device, rate=0)
            assert not paused.request()
            await paused.step()
            assert paused.read_bytes == 0

    run(body)


def test_what_is_read_stays_within_the_rate(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d")
        async with device:
            await filled(device, 3)
            scrub = scrub_of(device, rate=10_000_000)
            begin = asyncio.get_running_loop().time()
            await passed(scrub)
            assert asyncio.get_running_loop().time() - begin > 0.8 * scrub.read_bytes / 10_000_000
            assert not scrub.progress()["too_slow"]
            assert scrub_of(device, rate=10, cycle_s=100.0).progress()["too_slow"] is False  # it does not know yet
            slow = scrub_of(device, rate=10, cycle_s=100.0)
            await slow._measure()
            assert slow.progress()["too_slow"]

    run(body)


# healing


class _Peer:
    def __init__(self, up: bool = True) -> None:
        self.up = up


class Pair:
    """A device, and others that hold the same."""

    def __init__(self, path: Path, others: int = 2, **options: Any) -> None:
        self.device = Device(path / "0", **options)
        self.others = {number: Device(path / f"{number}") for number in range(1, others + 1)}
        self.peers = {number: _Peer() for number in self.others}
        self.asked: list[tuple[bytes, int]] = []

    async def __aenter__(self) -> "Pair":
        for device in self.devices:
            await device.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for device in self.devices:
            await device.__aexit__()

    @property
    def devices(self) -> list[Device]:
        return [self.device, *self.others.values()]

    @property
    def store(self) -> BlobStore:
        return self.device.store

    async def everywhere(self, write: Callable[[BlobStore], Awaitable[object]]) -> None:
        for device in self.devices:
            await write(device.store)

    async def fetch_again(self, key: bytes, timestamp: Timestamp, source: int) -> None:
        self.asked.append((key, source))
        if not self.peers[source].up:
            raise PeerUnavailable("down")
        answer = self.others[source].store.get(BlobGet(key))
        version, data = answer if isinstance(answer, tuple) else await answer
        if version is None or version.timestamp < timestamp:
            raise RemoteError(Refusal.NOT_FOUND, "older")
        data = data.read if isinstance(data, FileReader) else data  # type: ignore[assignment]
        await self.store.install(key, version, data, replace=True)  # type: ignore[arg-type]

    def heal(self) -> Heal:
        def replicas(_key: bytes) -> Replicas:
            class Members:
                members = ((0, _Peer()), *self.peers.items())

            return cast(Replicas, Members)

        return Heal(0, self.store, self.fetch_again, replicas)


async def healed(pair: Pair, heal: Heal | None = None) -> Heal:
    heal = heal or pair.heal()
    while await heal.step() == 0.0:
        pass
    return heal


def test_what_is_damaged_comes_from_a_replica_and_takes_the_place_of_itself(tmp_path: Path) -> None:
    async def body() -> None:
        async with Pair(tmp_path) as pair:
            small, large, gone = clock.now(), clock.now(), clock.now()
            await pair.everywhere(lambda store: store.put(put("small", small), b"s" * 300))
            await pair.everywhere(lambda store: put_large(store, "large", large, LARGE))
            await pair.everywhere(lambda store: store.delete(delete("gone", gone)))
            digest = pair.store.digests(4, range(16))
            for name in ("small", "gone"):
                segment, offset = place_of(pair.device, name)
                flip(segment, offset + 30)
            old = file_of(pair.device, "large")
            flip(old, 99)
            scrub = await passed(scrub_of(pair.device))
            assert len(pair.store.quarantined) == 3
            heal = await healed(pair)
            assert pair.store.quarantined == []
            assert (await got(pair.store, "small"))[1] == b"s" * 300
            assert (await got(pair.store, "large"))[1] == LARGE
            assert pair.store.stat(key_of("gone")).timestamp == gone  # type: ignore[union-attr]
            assert pair.store.digests(4, range(16)) == digest
            pair.store.index.merge()
            pair.store._commits.remove_dropped()
            await asyncio.gather(*pair.store._tasks - {pair.store._sweeping})
            assert not old.exists()
            assert (scrub.found_count, scrub.healed_count, heal.lost_count) == (3, 3, 0)
            await passed(scrub)
            assert scrub.last is not None
            assert (scrub.last.found, scrub.share) == (0, 1.0)

    run(body)


def test_what_was_healed_is_what_a_rebuilt_index_finds(tmp_path: Path) -> None:
    async def body() -> None:
        pair = Pair(tmp_path, boot_id="1")
        async with pair:
            small, large = clock.now(), clock.now()
            await pair.everywhere(lambda store: store.put(put("a", small), b"a" * 300))
            await pair.everywhere(lambda store: put_large(store, "b", large, LARGE))
            segment, offset = place_of(pair.device, "a")
            flip(segment, offset + 200)
            flip(file_of(pair.device, "b"), 7)
            await passed(scrub_of(pair.device))
            await healed(pair)
            copy = pair.device.crash()
        async with Device(copy, boot_id="2") as store:
            assert store.status()["index_rebuilt"]
            assert (await got(store, "a"))[1] == b"a" * 300
            assert (await got(store, "b"))[1] == LARGE
            assert len(list((copy / "blobs" / "files").glob("*/*"))) == 1

    run(body)


def test_a_segment_with_damage_goes_once_what_was_needed_of_it_is_healed(tmp_path: Path) -> None:
    async def body() -> None:
        async with Pair(tmp_path, 1) as pair:
            at = clock.now()
            await pair.everywhere(lambda store: store.put(put("a", at), b"a" * 300))
            segment, offset = place_of(pair.device, "a")
            flip(segment, offset + 5)
            await passed(scrub_of(pair.device))
            await healed(pair)
            await pair.device.log.close()  # the next opening begins a new segment
            await pair.store.stop()
            pair.store.close()
            pair.device = Device(tmp_path / "0", {"segment_bytes": 256})
            await pair.device.__aenter__()
            for _ in range(3):
                await pair.store.put(put("other", clock.now()), b"x" * 300)
            await pair.store.put(put("a", clock.now()), b"new")
            while await pair.store.compaction.step():
                pass
            assert not segment.exists()
            assert not any(damage.position >> 32 == 1 for damage in pair.device.log.damages)

    run(body)


def test_a_record_whose_file_is_whole_needs_no_replica(tmp_path: Path) -> None:
    async def body() -> None:
        async with Pair(tmp_path, 0) as pair:
            await put_large(pair.store, "l", clock.now(), LARGE)
            segment, offset = place_of(pair.device, "l")
            flip(segment, offset + 41)
            await passed(scrub_of(pair.device))
            heal = await healed(pair)
            assert (heal.mended_count, pair.asked, pair.store.quarantined) == (1, [], [])
            assert (await got(pair.store, "l"))[1] == LARGE

    run(body)


def test_what_nobody_has_is_named_and_stays_until_it_is_written_again(tmp_path: Path) -> None:
    metadata = ObjectMetadata("AUTH_a", "c", "holiday.jpg", 300, "", "", 0, {}, {}, {}, {})

    async def body() -> None:
        async with Pair(tmp_path) as pair:
            at = clock.now()
            await pair.store.put(put("x", at, pack(metadata)), b"x" * 300)
            await pair.others[1].store.put(put("x", at, pack(metadata)), b"x" * 300)
            flip(place_of(pair.device, "x")[0], place_of(pair.device, "x")[1] + 280)
            flip(place_of(pair.others[1], "x")[0], place_of(pair.others[1], "x")[1] + 300)
            await passed(scrub_of(pair.device))
            pair.peers[2].up = False
            heal = await healed(pair)
            assert (heal.lost_count, len(pair.store.quarantined)) == (0, 1)  # one could not be asked
            pair.peers[2].up = True
            heal.retry()
            await healed(pair, heal)
            assert heal.lost() == ["AUTH_a/c/holiday.jpg"]
            with pytest.raises(RemoteError):
                await got(pair.store, "x")
            await pair.store.put(put("x", clock.now(), pack(metadata)), b"new")
            await healed(pair, heal)
            assert (heal.lost(), pair.store.quarantined) == ([], [])

    run(body)


def test_a_tombstone_that_nobody_has_any_more_is_written_anew(tmp_path: Path) -> None:
    async def body() -> None:
        async with Pair(tmp_path) as pair:
            at = clock.now()
            await pair.store.delete(delete("x", at))
            pair.store.confirm_rows([(key_of("x"), at)])
            flip(place_of(pair.device, "x")[0], place_of(pair.device, "x")[1] + 50)
            await passed(scrub_of(pair.device))
            heal = await healed(pair)
            assert (heal.lost_count, pair.store.quarantined) == (0, [])
            assert pair.store.stat(key_of("x")).deleted  # type: ignore[union-attr]

    run(body)


def test_versions_that_the_fewest_can_give_back_come_first(tmp_path: Path) -> None:
    async def body() -> None:
        async with Pair(tmp_path, 1) as pair:
            for n in range(8):
                at = clock.now()
                await pair.everywhere(lambda store, n=n, at=at: store.put(put(f"{n}", at), b"x" * 100))  # type: ignore[misc]
                flip(place_of(pair.device, f"{n}")[0], place_of(pair.device, f"{n}")[1] + 100)
            await passed(scrub_of(pair.device))
            rare = {key_of("6"), key_of("7")}

            def replicas(key: bytes) -> Replicas:
                class Members:
                    members = ((1, pair.peers[1]), *(() if key in rare else ((2, _Peer()),)))

                return cast(Replicas, Members)

            heal = Heal(0, pair.store, pair.fetch_again, replicas)
            await heal.step()
            assert rare <= {key for key, _source in pair.asked[:4]}

    run(body)


@pytest.mark.parametrize("damaged", [[["no bytes", b"t" * 16, "", 1]], [[b"", b"t" * 16, "", 1]], [7], {"a": 1}])
def test_a_list_of_what_was_quarantined_that_is_damaged_itself_is_done_without(tmp_path: Path, damaged: object) -> None:
    (tmp_path / "d" / "blobs").mkdir(parents=True)
    (tmp_path / "d" / "blobs" / "quarantine").write_bytes(msgpack.packb(damaged))

    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            assert store.quarantined == []

    run(body)


def test_what_was_quarantined_is_known_after_a_restart(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d")
        async with device as store:
            await filled(device)
            segment, offset = place_of(device, "s7")
            flip(segment, offset + 50)
            with pytest.raises(RemoteError):
                await got(store, "s7")
            store.settle_quarantine()
        async with Device(tmp_path / "d") as store:
            assert names_in(store) == {key_of("s7")}

    run(body)


def test_healing_brings_nothing_back_that_was_forgotten_meanwhile(tmp_path: Path) -> None:
    async def body() -> None:
        async with Pair(tmp_path, 1) as pair:
            at = clock.now()
            await pair.everywhere(lambda store: store.put(put("x", at), b"x" * 100))
            flip(place_of(pair.device, "x")[0], place_of(pair.device, "x")[1] + 100)
            await pair.store.forget([(key_of("x"), at)])
            await pair.fetch_again(key_of("x"), at, 1)
            assert pair.store.stat(key_of("x")) is None

    run(body)


def test_offsets_of_records_are_those_of_the_index(tmp_path: Path) -> None:
    """What the helpers of these tests rely on."""

    async def body() -> None:
        device = Device(tmp_path / "d")
        async with device as store:
            await store.put(put("x", clock.now()), b"data")
            held = store.index.get(key_of("x"))
            assert held is not None
            segment, offset = place_of(device, "x")
            assert offset == offset_of(held.position)
            assert segment.read_bytes()[offset + 4 : offset + 8] == b"HFRD"

    run(body)


def test_a_damaged_forget_is_written_anew_so_that_nothing_comes_back(tmp_path: Path) -> None:
    """What it names lies dead in an older segment; an index that is made anew would find it there (graves)."""

    async def body() -> None:
        device = Device(tmp_path / "d", {"segment_bytes": 4096}, boot_id="1")
        async with device as store:
            await asyncio.gather(*[store.put(put(f"s{n}", clock.now()), b"x" * 300) for n in range(40)])
            at = clock.now()
            await store.delete(delete("s3", at))
            await asyncio.gather(*[store.put(put(f"t{n}", clock.now()), b"x" * 300) for n in range(20)])
            await store.forget([(key_of("s3"), at)])
            await asyncio.gather(*[store.put(put(f"u{n}", clock.now()), b"x" * 300) for n in range(20)])
            grave = store.index.grave(key_of("s3"))
            assert grave is not None
            segment = tmp_path / "d" / "log" / f"{grave.segment:08x}.segment"
            flip(segment, segment.read_bytes().index(key_of("s3") + at) + 5)
            scrub = await passed(scrub_of(device))
            assert (scrub.found_count, scrub.healed_count) == (1, 1)
            moved = store.index.grave(key_of("s3"))
            assert moved is not None
            assert moved.segment != grave.segment
            await passed(scrub)
            assert scrub.found_count == 1
            copy = device.crash()
        async with Device(copy, boot_id="2") as store:
            assert store.status()["index_rebuilt"]
            assert store.stat(key_of("s3")) is None

    run(body)
