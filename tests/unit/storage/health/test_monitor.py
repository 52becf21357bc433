"""storage.health.monitor: what it makes of heartbeats that fail, hang and come back."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from storage.health import monitor as monitors
from storage.health.condition import Condition, Health
from storage.health.heartbeat import Place
from storage.health.judgement import Beat, Limits
from storage.health.marker import Marker
from storage.health.monitor import Monitor, Signs

PLACE = Place("/nowhere", Marker(0, ""))
LIMITS = Limits(hang_after_s=0.3)
GOOD = Beat(Condition.OK)
BAD = Beat(Condition.FAILING, "writing: Input/output error")
INTERVAL_S = 0.05


class Disk:
    """Answers heartbeats as it is told."""

    def __init__(self) -> None:
        self.answer = GOOD
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.signs = Signs()
        self.told: list[Condition] = []
        self.pause_s = 0.0

    def pulse(self, _place: Place, _number: int) -> Beat:
        self.may_answer.wait(10)
        return self.answer

    def follow(self, health: Health) -> None:
        self.told.append(health.condition)


def watched(scenario: Callable[[Disk, Monitor], Awaitable[None]]) -> None:
    async def run() -> None:
        disk = Disk()
        monitor = Monitor(
            PLACE, LIMITS, INTERVAL_S, lambda: disk.signs, disk.follow, pause_s=lambda: disk.pause_s, pulse=disk.pulse
        )
        monitor.start()
        try:
            async with asyncio.timeout(10):
                await scenario(disk, monitor)
        finally:
            disk.may_answer.set()
            await monitor.close()

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 (what is waited for knows nothing of tests)
        await asyncio.sleep(0.01)


def test_a_disk_that_hangs_is_out_until_it_answers() -> None:
    async def scenario(disk: Disk, monitor: Monitor) -> None:
        await asyncio.sleep(0.2)
        assert disk.told == []
        disk.may_answer.clear()
        await until(lambda: monitor.health.condition is Condition.HANGING)
        disk.may_answer.set()
        await until(lambda: monitor.health.condition is Condition.OK)
        assert disk.told == [Condition.HANGING, Condition.OK]
        assert not monitor.ended.done()

    watched(scenario)


def test_few_threads_are_left_behind_at_a_disk_that_hangs() -> None:
    async def scenario(disk: Disk, _monitor: Monitor) -> None:
        before = threading.active_count()
        disk.may_answer.clear()
        await asyncio.sleep(2.5)
        assert threading.active_count() - before <= 4

    watched(scenario)


def test_a_failure_is_final_and_the_process_leaves_when_the_disk_is_well() -> None:
    async def scenario(disk: Disk, monitor: Monitor) -> None:
        disk.answer = BAD
        await until(lambda: monitor.health.condition is Condition.FAILING)
        await asyncio.sleep(0.3)
        assert not monitor.ended.done()
        disk.answer = GOOD
        await monitor.ended
        assert disk.told == [Condition.FAILING]  # it has not served in between

    watched(scenario)


def test_what_the_log_met_is_final_and_waits_for_its_pause() -> None:
    async def scenario(disk: Disk, monitor: Monitor) -> None:
        disk.pause_s = 0.8
        disk.signs = Signs(log_failure="fdatasync: Input/output error")
        await until(lambda: monitor.health.condition is Condition.FAILING)
        await asyncio.sleep(0.5)
        assert not monitor.ended.done()
        await monitor.ended

    watched(scenario)


def test_a_file_system_that_has_gone_ends_the_process_at_once() -> None:
    """Its open files would keep the disk from being replaced."""

    async def scenario(disk: Disk, monitor: Monitor) -> None:
        disk.pause_s = 60.0
        disk.answer = Beat(Condition.VANISHED, "gone")
        await monitor.ended

    watched(scenario)


def test_a_process_that_was_stopped_does_not_blame_its_disk() -> None:
    async def scenario(disk: Disk, monitor: Monitor) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.15)
        disk.signs = Signs(batch_since_s=loop.time())
        threading.Event().wait(1.0)  # nothing runs, as after SIGSTOP
        loop.call_soon(setattr, disk, "signs", Signs())
        await asyncio.sleep(monitors.LOOK_S * 3)
        assert disk.told == []

    watched(scenario)


def test_the_watch_goes_on_though_no_thread_can_be_had_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoThread(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    async def scenario(disk: Disk, monitor: Monitor) -> None:
        with monkeypatch.context() as patched:
            patched.setattr("storage.health.monitor.threading.Thread", NoThread)
            await asyncio.sleep(3 * monitors.LOOK_S)
        assert disk.told == []
        disk.answer = BAD
        await until(lambda: monitor.health.condition is Condition.FAILING)

    watched(scenario)
