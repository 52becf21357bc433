"""storage/rings/follower.py: versions taken over, what is reported of them, and when."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.coordination import embedded
from cluster.coordination.errors import Unavailable
from storage.client import Rings
from storage.rings import follower as followers
from storage.rings.errors import NoRings
from storage.rings.follower import RingFollower
from storage.rings.reports import UseReport
from storage.rings.store import RingStore
from tests.unit.storage.rings.fixtures import background, coordination, ring, three

BEFORE, AFTER = three(ring((0, 1, 2), (0, 1, 2))), three(ring((0, 1, 3), (0, 1, 3)))


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "POLL_S", 0.005)
    monkeypatch.setattr(followers, "LAG_S", 0.005)
    monkeypatch.setattr(followers, "RETRY_S", 0.01)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


class Process:
    """A daemon, as far as it follows rings."""

    def __init__(self, directory: Path, name: str) -> None:
        self.background = background(directory)
        self.follower = RingFollower(coordination(directory), name, self.background)
        self.versions = [self.follower.load().version]
        self.oldest: int | None = None

    def apply(self, rings: Rings) -> None:
        self.versions.append(rings.version)

    def oldest_in_use(self) -> int:
        return self.versions[-1] if self.oldest is None else self.oldest

    def start(self) -> None:
        self.follower.start(self.apply, self.oldest_in_use)

    async def close(self, *, forget: bool = True) -> None:
        await self.follower.close(forget=forget)
        await self.background.close()


def test_what_is_published_is_taken_over_and_reported(tmp_path: Path) -> None:
    async def play() -> None:
        store = RingStore(coordination(tmp_path))
        store.create(BEFORE)
        process = Process(tmp_path, "proxy-0")
        process.start()
        await until(lambda: "proxy-0" in store.uses())
        assert store.uses()["proxy-0"] == UseReport(1, 1, 0, store.uses()["proxy-0"].at_us)
        store.begin(AFTER, "", 1)
        await until(lambda: process.versions[-1] == 2)
        await until(lambda: store.uses()["proxy-0"].oldest == 2)
        assert process.follower.rings.target
        await process.close()
        assert store.uses() == {}

    asyncio.run(play())


def test_the_oldest_version_is_reported_until_its_last_request_has_ended(tmp_path: Path) -> None:
    async def play() -> None:
        store = RingStore(coordination(tmp_path))
        store.create(BEFORE)
        process = Process(tmp_path, "proxy-0")
        process.start()
        process.oldest = 1
        store.begin(AFTER, "", 1)
        await until(lambda: "proxy-0" in store.uses() and store.uses()["proxy-0"].newest == 2)
        await asyncio.sleep(0.05)
        assert store.uses()["proxy-0"].oldest == 1
        process.oldest = None
        await until(lambda: store.uses()["proxy-0"].oldest == 2)
        await process.close()

    asyncio.run(play())


def test_while_nothing_changes_nothing_is_written_and_no_timer_runs(tmp_path: Path) -> None:
    async def play() -> None:
        store = RingStore(coordination(tmp_path))
        store.create(BEFORE)
        process = Process(tmp_path, "proxy-0")
        process.start()
        await until(lambda: "proxy-0" in store.uses())
        keys = coordination(tmp_path)
        before = keys.range("ring")
        await asyncio.sleep(0.05)
        assert keys.range("ring") == before
        assert process.follower._timer is None
        await process.close()

    asyncio.run(play())


def test_a_newer_version_is_read_at_once_when_somebody_knows_of_it(tmp_path: Path) -> None:
    async def play() -> None:
        store = RingStore(coordination(tmp_path))
        store.create(BEFORE)
        process = Process(tmp_path, "storage-0")
        process.start()
        store.begin(AFTER, "", 1)
        assert process.follower.refresh().version == 2
        assert process.versions == [1, 2]
        await until(lambda: "storage-0" in store.uses() and store.uses()["storage-0"].newest == 2)
        await process.close(forget=False)
        assert store.uses()["storage-0"].newest == 2

    asyncio.run(play())


def test_a_device_reports_its_floor_when_what_it_let_in_before_has_settled(tmp_path: Path) -> None:
    async def play() -> None:
        store = RingStore(coordination(tmp_path))
        store.create(BEFORE)
        process, settled = Process(tmp_path, "storage-0"), asyncio.Event()

        async def settle() -> None:
            await settled.wait()

        process.follower.start(process.apply, process.oldest_in_use, settle)
        store.begin(AFTER, "", 1)
        at, document = store.read() or (0, store.document())
        store.advance(at, document.enforce(2))
        await until(lambda: "storage-0" in store.uses() and store.uses()["storage-0"].newest == 3)
        await asyncio.sleep(0.02)
        assert store.uses()["storage-0"].floor == 0
        settled.set()
        await until(lambda: store.uses()["storage-0"].floor == 2)
        await process.close()

    asyncio.run(play())


def test_a_version_whose_files_are_not_there_yet_is_taken_over_when_they_are(tmp_path: Path) -> None:
    async def play() -> None:
        keys = coordination(tmp_path)
        store = RingStore(keys)
        store.create(BEFORE)
        process = Process(tmp_path, "proxy-0")
        process.start()
        store.begin(AFTER, "", 1)
        (name,) = {entry.key for entry in keys.range("ring-file/") if store.document().target["object-0"] in entry.key}
        entry = keys.get(name)
        assert entry is not None
        keys.delete(name)
        assert process.follower.refresh().version == 1
        keys.put(name, entry.data)
        await until(lambda: process.versions[-1] == 2)
        await process.close()

    asyncio.run(play())


def test_a_report_that_cannot_be_written_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        store = RingStore(coordination(tmp_path))
        store.create(BEFORE)
        process = Process(tmp_path, "proxy-0")

        def fail(*_arguments: object, **_more: object) -> None:
            raise Unavailable("busy")

        with monkeypatch.context() as patch:
            patch.setattr(RingStore, "report_use", fail)
            process.start()
            await asyncio.sleep(0.02)
        await until(lambda: "proxy-0" in store.uses())
        await process.close()

    asyncio.run(play())


def test_a_daemon_does_not_start_without_rings(tmp_path: Path) -> None:
    keys = coordination(tmp_path)
    with pytest.raises(NoRings):
        RingFollower(keys, "proxy-0", background(tmp_path)).load()
