"""storage/rings/conductor.py: decisions as tables, and the task that carries them out."""

import asyncio
from pathlib import Path

import pytest

from storage.rings import conductor
from storage.rings.conductor import Conductor, Situation, next_document, waiting_for
from storage.rings.document import OBJECT, RingDocument, Stage, first
from storage.rings.moves import Moves
from storage.rings.reports import Progress, UseReport
from storage.rings.store import RingStore
from tests.unit.storage.rings.fixtures import background, coordination, ring, three

ANNOUNCED = first({OBJECT: "a" * 64}, 0).begin({OBJECT: "b" * 64}, "", 0)  # version 2
COPYING = ANNOUNCED.enforce(0)  # version 3, floor 2
SERVING = COPYING.advance(0)
BOTH = SERVING.enforce(0)  # version 5, floor 4
STABLE = BOTH.advance(0)
MOVES = Moves({3: {OBJECT: (0, 1)}}, frozenset({(0, 1, 2)}))
S = 1_000_000


def uses(*versions: tuple[str, int, int, int]) -> dict[str, UseReport]:
    """Return reports: process, oldest, newest, floor."""
    return {process: UseReport(oldest, newest, floor) for process, oldest, newest, floor in versions}


def devices(floors: tuple[int, ...], version: int) -> dict[str, UseReport]:
    return uses(*((f"storage-{device_id}", version, version, floor) for device_id, floor in enumerate(floors)))


@pytest.mark.parametrize(
    ("document", "reports", "age_s", "due"),
    [
        (ANNOUNCED, uses(("proxy-0", 2, 2, 0), ("storage-0", 2, 2, 0)), 2, True),
        (ANNOUNCED, uses(("proxy-0", 2, 2, 0)), 0.5, False),  # everybody shall have heard of it
        (ANNOUNCED, uses(("proxy-0", 1, 2, 0)), 20, False),  # a request of the version before is under way
        (ANNOUNCED, uses(("proxy-0", 1, 1, 0)), 20, False),
        (ANNOUNCED, uses(("proxy-0", 1, 1, 0)), 31, True),  # asleep: the floor will refuse it
        (SERVING, uses(("proxy-0", 3, 3, 0)), 20, False),
        (SERVING, uses(("proxy-0", 1, 1, 0)), 2, True),  # asleep since a stage ago: nobody waits for it again
        (SERVING, uses(("proxy-0", 4, 4, 0)), 2, True),
        (STABLE, {}, 2, True),
        (STABLE.enforce(0), {}, 2, False),
    ],
)
def test_an_announced_version_is_enforced_when_all_who_keep_up_go_by_it(
    document: RingDocument, reports: dict[str, UseReport], age_s: float, due: bool
) -> None:
    found = next_document(Situation(document, MOVES, reports, {}, int(age_s * S)))
    assert (found is not None) is due
    if found is not None:
        assert (found.stage, found.floor, found.version) == (document.stage, document.version, document.version + 1)


@pytest.mark.parametrize(
    ("progress", "due"),
    [
        ({}, False),
        ({3: Progress(3, 1, 2)}, False),
        ({3: Progress(3, 2, 2)}, True),
        ({3: Progress(1, 2, 2)}, False),  # of another change
        ({2: Progress(3, 2, 2)}, False),
    ],
)
def test_serving_begins_when_all_have_copied(progress: dict[int, Progress], due: bool) -> None:
    found = next_document(Situation(COPYING, MOVES, {}, progress, 2 * S))
    assert (found is not None) is due
    if found is not None:
        assert (found.stage, found.floor) == (Stage.SERVING, COPYING.floor)


@pytest.mark.parametrize(
    ("floors", "progress", "due"),
    [
        ((4, 4, 0), {3: Progress(5, 2, 2)}, True),
        ((4, 2, 2), {3: Progress(5, 2, 2)}, False),  # two may still answer those who read by the old rings alone
        ((4, 4, 4), {3: Progress(3, 2, 2)}, False),  # it has not copied what such readers may have shown
    ],
)
def test_the_change_ends_when_nobody_reads_by_the_old_rings_alone(
    floors: tuple[int, ...], progress: dict[int, Progress], due: bool
) -> None:
    found = next_document(Situation(BOTH, MOVES, devices(floors, 5), progress, 2 * S))
    assert (found is not None) is due
    if found is not None:
        assert (found.stage, found.current) == (Stage.STABLE, {OBJECT: "b" * 64})


def test_what_a_change_waits_for_is_said_in_words() -> None:
    reports = uses(("proxy-1", 1, 1, 0))
    progress = {3: Progress(3, 1, 2)}

    def words(
        document: RingDocument,
        down: tuple[int, ...] = (),
        uses: dict[str, UseReport] = reports,
        progress: dict[int, Progress] = progress,
    ) -> list[str]:
        return waiting_for(Situation(document, MOVES, uses, progress, 10 * S), down)

    assert words(ANNOUNCED) == ["waiting for proxy-1 to take over version 2, for another 20 s at most"]
    assert words(COPYING) == ["waiting for device 3: 1 of 2 partitions copied"]
    assert words(COPYING, progress={}) == ["waiting for device 3: it has not begun to copy"]
    assert words(COPYING, down=(3,)) == ["waiting for device 3: down"]
    stuck = {3: Progress(3, 0, 2, waiting="2 partitions wait: device 1 is down")}
    assert words(COPYING, progress=stuck) == [
        "waiting for device 3: 0 of 2 partitions copied; 2 partitions wait: device 1 is down"
    ]
    assert words(BOTH, progress={3: Progress(5, 2, 2)}, uses=devices((4, 2, 2), 5)) == [
        "waiting for device 1: it must take over version 5",
        "waiting for device 2: it must take over version 5",
    ]
    assert words(STABLE.enforce(0)) == []


class Clock:
    now_us = 10 * S

    def __call__(self) -> int:
        self.now_us += 2 * S
        return self.now_us


def report(store: RingStore, document: RingDocument) -> None:
    """Do what daemons do."""
    for device_id in range(4):
        store.report_use(f"storage-{device_id}", document.version, document.version, document.floor)
    store.report_use("proxy-0", document.version, document.version)
    if document.enforced and document.stage is not Stage.STABLE:
        store.report_progress(3, Progress(document.version, 2, 2))


def test_a_change_ends_by_itself_also_when_conductors_die(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conductor, "LEASE_TTL_S", 0.01)

    async def play() -> None:
        keys = coordination(tmp_path)
        store, clock = RingStore(keys), Clock()
        store.create(three(ring((0, 1, 2), (0, 1, 2))))
        store.report_use("proxy-gone", 1, 1)
        store.begin(three(ring((0, 1, 3), (0, 1, 3))), "", clock())
        for turn in range(10):
            document = store.document()
            if document.settled:
                break
            report(store, document)
            thread = background(tmp_path)
            fresh = Conductor(thread, f"storage-{turn}", clock)
            clock.now_us += 40 * S
            await asyncio.sleep(0.02)  # the one before has died: its lease ends
            await fresh.step()
            await thread.close()
            assert store.document().version == document.version + 1
        assert store.document().settled
        assert len(keys.range("ring-file/")) == 1
        assert store.progress() == {}
        assert "proxy-gone" not in store.uses()
        assert "storage-0" in store.uses()

    asyncio.run(play())


def test_a_change_begun_by_a_clock_ahead_of_ours_does_not_wait_for_ours_to_get_there(tmp_path: Path) -> None:
    async def play() -> None:
        store, clock = RingStore(coordination(tmp_path)), Clock()
        store.create(three(ring((0, 1, 2), (0, 1, 2))))
        store.begin(three(ring((0, 1, 3), (0, 1, 3))), "", clock() + 600 * S)
        thread = background(tmp_path)
        ours = Conductor(thread, "storage-0", clock)
        await ours.step()
        assert store.document().version == 2
        clock.now_us -= 3600 * S  # and set back on top
        await ours.step()
        clock.now_us += 2 * S
        await ours.step()
        assert store.document().version == 3
        await ours.close()
        await thread.close()

    asyncio.run(play())


def test_one_conducts_and_the_others_wait(tmp_path: Path) -> None:
    async def play() -> None:
        store, clock = RingStore(coordination(tmp_path)), Clock()
        store.create(three(ring((0, 1, 2), (0, 1, 2))))
        threads = [background(tmp_path), background(tmp_path)]
        one, other = (Conductor(thread, f"storage-{number}", clock) for number, thread in enumerate(threads))
        assert await one.step() == conductor.IDLE_S
        store.begin(three(ring((0, 1, 3), (0, 1, 3))), "", 0)
        assert await one.step() == conductor.PACE_S
        assert store.document().version == 3
        assert await other.step() == conductor.RETRY_S
        assert store.document().version == 3
        await one.close()
        assert await other.step() == conductor.PACE_S
        for thread in threads:
            await thread.close()

    asyncio.run(play())
