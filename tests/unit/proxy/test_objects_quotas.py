"""What is believed of quotas, and for how long, on virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cluster.clock import ZERO
from proxy.objects.errors import NoSuchContainer, QuotaExceeded, Unavailable
from proxy.objects.model import AccountInfo, ContainerInfo, ObjectName
from proxy.objects.quotas import (
    ACCOUNT_COUNT,
    CONTAINER_BYTES,
    LIMITED_S,
    PATIENCE_S,
    SLACK_BYTES,
    UNLIMITED_S,
    Quotas,
    of_account,
    of_container,
)
from tests.sim.loop import SimulatedLoop

NAME = ObjectName("AUTH_a", "c", "o")
READING_S = 0.01


class State:
    """One account with one container, and how often each was read."""

    def __init__(self) -> None:
        self.container = ContainerInfo("AUTH_a", "c", ZERO, 0, 0, 0, {})
        self.account = AccountInfo("AUTH_a", 0, 1, 0, 0, {})
        self.container_reads = self.account_reads = 0
        self.error: Exception | None = None
        self.reading_s = READING_S
        self.quotas = Quotas(self._container, self._container, self._account)

    def limit(self, size: int, used: int) -> None:
        """Give the container a quota, behind the back of whoever believes to know."""
        self.container = ContainerInfo("AUTH_a", "c", ZERO, 0, 0, used, {CONTAINER_BYTES: str(size)})

    async def _container(self, account: str, container: str) -> ContainerInfo:
        self.container_reads += 1
        found = self.container
        await asyncio.sleep(self.reading_s)
        if self.error is not None:
            raise self.error
        return found

    async def _account(self, account: str) -> AccountInfo:
        self.account_reads += 1
        await asyncio.sleep(self.reading_s)
        if self.error is not None:
            raise self.error
        return self.account

    async def took_s(self, size: int = 1) -> float:
        """Ask for room; return how long it took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self.quotas.require_room(NAME, size)
        return loop.time() - began


def virtually(scenario: Callable[[State], Awaitable[None]]) -> None:
    """Run a scenario on virtual time; what a task raises and nobody looks at is a failure."""
    loop = SimulatedLoop()
    try:
        loop.run_until_complete(scenario(State()))  # type: ignore[arg-type]
        assert loop.errors == []
    finally:
        loop.close()


def test_steady_writers_to_what_has_no_quota_wait_once() -> None:
    async def scenario(state: State) -> None:
        assert await state.took_s() > 0
        for _ in range(100):
            await asyncio.sleep(UNLIMITED_S / 10)
            assert await state.took_s() == 0
        assert 8 <= state.container_reads <= 12
        assert abs(state.container_reads - state.account_reads) <= 1

    virtually(scenario)


def test_a_new_quota_is_known_within_twice_the_time_that_none_is_believed() -> None:
    async def scenario(state: State) -> None:
        await state.took_s()
        state.limit(size=10, used=10)
        await asyncio.sleep(2 * UNLIMITED_S + 1)
        with pytest.raises(QuotaExceeded):
            await state.took_s()
        state.container = ContainerInfo("AUTH_a", "c", ZERO, 0, 0, 0, {})
        state.quotas.forget("AUTH_a", "c")
        await state.took_s()

    virtually(scenario)


def test_far_from_its_limit_a_quota_is_read_now_and_then() -> None:
    async def scenario(state: State) -> None:
        state.limit(size=3 * SLACK_BYTES, used=SLACK_BYTES)
        await state.took_s()
        await asyncio.sleep(READING_S)
        for _ in range(10):  # what was believed is read anew
            assert await state.took_s() == 0
        await asyncio.sleep(2 * READING_S)
        assert state.container_reads == 2
        await asyncio.sleep(LIMITED_S * 1.5)
        assert await state.took_s() == 0
        await asyncio.sleep(2 * READING_S)
        assert state.container_reads == 3

    virtually(scenario)


def test_near_its_limit_each_write_sees_those_before_and_many_share_a_reading() -> None:
    async def scenario(state: State) -> None:
        state.limit(size=10, used=8)
        await state.took_s(2)
        state.limit(size=10, used=9)
        with pytest.raises(QuotaExceeded):
            await state.took_s(2)
        before = state.container_reads
        await asyncio.gather(*(state.took_s() for _ in range(50)))
        assert state.container_reads - before <= 3

    virtually(scenario)


def test_a_quota_that_cannot_be_read_refuses_nothing_and_holds_nobody_up() -> None:
    async def scenario(state: State) -> None:
        state.error = Unavailable("")
        await state.took_s()
        assert await state.took_s() == 0
        state.quotas.forget("AUTH_a", "c")
        state.quotas.forget("AUTH_a")
        state.error, state.reading_s = None, 60.0
        assert await state.took_s() < 3 * PATIENCE_S
        assert await state.took_s() == 0
        await asyncio.sleep(61)

    virtually(scenario)


def test_a_container_that_is_not_there_is_told_of() -> None:
    async def scenario(state: State) -> None:
        state.error = NoSuchContainer("c")
        with pytest.raises(NoSuchContainer):
            await state.took_s()
        state.error = None
        state.limit(size=1, used=1)
        with pytest.raises(QuotaExceeded):
            await state.took_s()

    virtually(scenario)


def test_what_was_being_read_when_a_quota_was_set_is_not_believed() -> None:
    async def scenario(state: State) -> None:
        writing = asyncio.ensure_future(state.took_s())
        await asyncio.sleep(READING_S / 2)
        state.limit(size=10, used=10)
        state.quotas.forget("AUTH_a", "c")
        await writing
        with pytest.raises(QuotaExceeded):
            await state.took_s()

    virtually(scenario)


def test_the_account_s_quota_binds_all_but_resellers() -> None:
    async def scenario(state: State) -> None:
        state.account = AccountInfo("AUTH_a", 0, 1, 5, 0, {ACCOUNT_COUNT: "5"})
        with pytest.raises(QuotaExceeded):
            await state.took_s()
        await state.quotas.require_room(NAME, 1, unbound=True)

    virtually(scenario)


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "²"])
def test_what_is_no_number_is_no_quota(value: str) -> None:
    assert not of_container(ContainerInfo("a", "c", ZERO, 0, 9, 9, {CONTAINER_BYTES: value})).limits


def test_of_an_account_s_quotas_the_least_counts_and_a_container_has_one() -> None:
    quotas = {ACCOUNT_COUNT: "9", f"{ACCOUNT_COUNT}-policy-gold": "5", CONTAINER_BYTES: "1"}
    assert of_account(AccountInfo("a", 0, 1, 0, 0, quotas)).count == 5
    more = {CONTAINER_BYTES: "9", f"{CONTAINER_BYTES}-was": "5"}
    assert of_container(ContainerInfo("a", "c", ZERO, 0, 0, 0, more)).size == 9
