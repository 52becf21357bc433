"""storage.membership.membership: crashes between the steps of a start, coordination that is away, operators."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cluster.clock import ZERO, Timestamp, microseconds_of
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.coordination.errors import Unavailable
from cluster.coordination.interface import Coordination
from cluster.threads import WaiterThreads
from storage.disk import RealDisk
from storage.membership import decision, roster, store
from storage.membership.local import LocalFile
from storage.membership.membership import FLOOR_MARGIN_US, Membership
from storage.membership.position import TellPosition
from storage.membership.record import Local, Member
from storage.rings.background import BackgroundStore
from tests.loopback import until

IDENTITY = b"\x01" * 16


class Place:
    """Where a device and its coordination are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.coordination = EmbeddedCoordination(path / "coordination.db")
        self.background = BackgroundStore(
            lambda: EmbeddedCoordination(path / "coordination.db"), WaiterThreads(1)
        )
        self.local = LocalFile(RealDisk(), str(path))
        self.now_us = 1_000_000

    def member(self) -> Membership:
        """Return a device that has not entered."""
        return Membership(7, self.coordination, self.background, self.local, lambda: self.now_us, os.urandom)

    def entered(self, position: int = 0, lost: str = "") -> Membership:
        """Return one that has."""
        member = self.member()
        member.enter(IDENTITY, position, lost)
        return member


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.coordination.close()


class Crash(Exception):
    """The process ends here."""


def test_a_crash_after_any_step_of_any_start_costs_a_healthy_device_nothing(place: Place) -> None:
    written = 0
    write, change = place.local.write, store.change

    def counted(work: object) -> object:
        def step(*arguments: object) -> object:
            nonlocal written
            if not left[0]:
                raise Crash
            left[0] -= 1
            written += 1
            return work(*arguments)  # type: ignore[operator]

        return step

    left = [100]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place.local, "write", counted(write))
        patch.setattr("storage.membership.store.change", counted(change))
        for steps in (1, 2, 3, 1, 2, 0, 1, 3, 2, 2, 1, 4):
            left[0] = steps
            member = place.member()
            try:
                member.enter(IDENTITY, 0, "")
            except Crash:
                assert steps < 4
            else:
                assert not member.rebuilding
                assert steps == 4
    assert written == 24 - 2
    assert not place.entered().rebuilding


def test_a_loss_that_recovery_found_is_not_forgotten_by_a_crash_in_between(place: Place) -> None:
    place.entered()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("storage.membership.store.change", _crash)
        with pytest.raises(Crash):
            place.entered(lost="12 records are gone")
    again = place.entered()  # recovery finds nothing any more: it has mended what it could
    assert again.rebuilding
    assert again.member.reason == "12 records are gone"


def _crash(*_arguments: object) -> None:
    raise Crash


def test_without_coordination_nobody_enters(place: Place) -> None:
    def unavailable(*_arguments: object) -> None:
        raise Unavailable("it is away")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place.coordination, "get", unavailable)
        with pytest.raises(Unavailable):
            place.entered()
    assert place.local.read() == Local()


def test_a_file_that_is_damaged_counts_as_a_loss(place: Place) -> None:
    place.entered()
    (place.path / "membership").write_bytes(b"\0\0\0")
    assert place.entered().member.reason == decision.UNKNOWN_SELF
    assert place.entered().rebuilding


def test_a_record_in_coordination_that_is_damaged_is_nobodys(place: Place) -> None:
    place.entered()
    place.coordination.put(store.key_of(7), b"?")
    assert place.entered().member.reason == decision.EMPTY


def test_a_log_that_has_become_shorter_is_noticed(place: Place) -> None:
    async def serve() -> None:
        member = place.entered(position=50)
        task = TellPosition(member, lambda: 80)
        await task.step()
        await task.step()
        await member.close(90)
        await place.background.close()

    asyncio.run(serve())
    assert not place.entered(position=90).rebuilding
    assert place.entered(position=89).member.reason == decision.SHORT_LOG


def test_what_was_lost_while_it_serves_is_told_and_outlives_the_process(place: Place) -> None:
    async def serve() -> None:
        member = place.entered()
        floors: list[Timestamp] = []
        member.on_floor = floors.append
        assert member.floor == ZERO
        place.now_us = 5_000_000
        member.lost_data("first")
        member.lost_data("second")
        assert member.votes.restricted
        assert [microseconds_of(floor) for floor in floors] == [5_000_000 + FLOOR_MARGIN_US] * 2
        assert not await member.become_whole(2), "coordination must know first"
        while member._telling is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        known = store.read(place.coordination, 7).member
        assert known is not None
        assert (known.reason, known.votes) == ("second", False)
        assert not await member.become_whole(1)
        assert await member.become_whole(2)
        assert not member.votes.restricted
        await member.close()
        await place.background.close()

    asyncio.run(serve())
    again = place.entered()
    assert not again.rebuilding
    assert microseconds_of(again.floor) == 5_000_000 + FLOOR_MARGIN_US


def test_an_operators_word_is_heard(place: Place) -> None:
    async def serve() -> None:
        place.entered()
        heard: list[int] = []
        member = Membership(
            7, place.coordination, place.background, place.local, lambda: 9, os.urandom, lambda: heard.append(1)
        )
        member.enter(b"\x02" * 16, 0)
        member.start()
        assert member.rebuilding
        assert not member.roster.votes(7)
        assert member.roster.votes(8), "nobody has heard of it"
        store.change(place.coordination, 7, lambda known: known and decision.accepted(known, 10))
        async with asyncio.timeout(5):
            while member.rebuilding:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert heard
        assert member.roster.votes(7)
        assert (await member.members())[7].reason == f"loss accepted: {decision.EMPTY}"
        await member.close()
        await place.background.close()

    asyncio.run(serve())


def test_members_that_could_not_be_read_are_read_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "RETRY_S", 0.01)
    left = 2
    read_all = store.read_all

    def failing(coordination: Coordination) -> Mapping[int, Member]:
        nonlocal left
        left -= 1
        if left >= 0:
            raise Unavailable("away")
        return read_all(coordination)

    async def body() -> None:
        place.entered()
        followed = roster.Roster(place.coordination)
        followed.start()
        assert followed.members == {}
        await until(lambda: bool(followed.members))
        followed.close()

    monkeypatch.setattr(store, "read_all", failing)
    asyncio.run(body())
