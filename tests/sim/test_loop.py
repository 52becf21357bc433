"""tests.sim.loop and tests.sim.process: time, order, and what a process's death leaves."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.sim.loop import Deadlock, OutOfTime, SimulatedLoop
from tests.sim.process import Process


def play(main: Coroutine[Any, Any, Any], **options: Any) -> Any:
    loop = SimulatedLoop(**options)
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()
        asyncio.set_event_loop(None)


def test_an_hour_of_sleep_takes_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(3000)
        return asyncio.get_running_loop().time()

    assert play(main()) == pytest.approx(3000, abs=0.001)


def test_timers_go_off_in_order_and_those_of_one_moment_as_they_were_set() -> None:
    async def main() -> list[int]:
        loop, seen = asyncio.get_running_loop(), list[int]()
        at = loop.time() + 1
        for number, when in enumerate([at, at + 1, at, at]):
            loop.call_at(when, seen.append, number)
        loop.call_at(at, seen.append, 9).cancel()
        await asyncio.sleep(3)
        return seen

    assert play(main()) == [0, 2, 3, 1]


def test_calls_of_an_executor_run_in_order_on_the_loop() -> None:
    async def main() -> list[int]:
        loop, seen = asyncio.get_running_loop(), list[int]()
        calls = [loop.run_in_executor(None, seen.append, number) for number in range(3)]
        await asyncio.gather(*calls)
        return seen

    assert play(main()) == [0, 1, 2]


def test_waiting_for_what_nobody_does_is_a_deadlock() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock):
        play(main())


def test_a_program_that_goes_in_circles_is_ended() -> None:
    async def main() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    with pytest.raises(OutOfTime):
        play(main(), callbacks_limit=1000)


def test_a_stopped_process_goes_on_where_it_was() -> None:
    async def main() -> list[float]:
        loop, seen = asyncio.get_running_loop(), list[float]()

        async def tick() -> None:
            while True:
                await asyncio.sleep(1)
                seen.append(round(loop.time()))

        process = Process("h", "h.1")
        process.spawn(tick())
        await asyncio.sleep(2.5)
        process.stop()
        await asyncio.sleep(5)
        process.go_on()
        await asyncio.sleep(1.7)
        return seen

    assert play(main()) == [1, 2, 8, 9]


def test_of_a_killed_process_nothing_runs_not_even_finally() -> None:
    async def main() -> list[str]:
        seen: list[str] = []

        async def work() -> None:
            try:
                await asyncio.sleep(5)
            finally:
                seen.append("finally")

        process = Process("h", "h.1")
        process.on_death(lambda power_lost: seen.append(f"died, power lost: {power_lost}"))
        process.spawn(work())
        await asyncio.sleep(1)
        process.kill()
        await asyncio.sleep(10)
        return list(seen)

    assert play(main()) == ["died, power lost: False"]
