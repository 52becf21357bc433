"""storage.housekeeping: which versions a replica lacks, where their keys are, who compares what, and how fast."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from cluster.clock import Timestamp, pack
from ring.hashing import partition_of
from storage.client import Rings
from storage.housekeeping.keyrange import partition_range, subdivision_range
from storage.housekeeping.pull import lacking
from storage.housekeeping.shares import Shares
from storage.housekeeping.throttle import Throttle
from storage.rings.document import OBJECT, Stage
from tests.unit.storage.rings.fixtures import ring


@given(st.binary(min_size=16, max_size=16), st.integers(1, 24))
def test_a_key_lies_in_the_range_of_its_subdivision_alone(key: bytes, part_power: int) -> None:
    partition = partition_of(key, part_power)
    index = partition_of(key, part_power + 8) & 0xFF
    start, end = subdivision_range(part_power, partition, index)
    assert start <= key
    assert end is None or key < end
    if index < 255:
        assert subdivision_range(part_power, partition, index + 1)[0] == end


@given(st.integers(1, 24), st.data())
def test_the_parts_of_a_partition_are_all_of_it(part_power: int, data: st.DataObject) -> None:
    partition = data.draw(st.integers(0, (1 << part_power) - 1))
    start, end = partition_range(part_power, partition)
    assert start == subdivision_range(part_power, partition, 0)[0]
    assert end == subdivision_range(part_power, partition, 255)[1]


def test_who_compares_what_follows_the_stages() -> None:
    before, after = {OBJECT: ring((0, 1), (1, 2))}, {OBJECT: ring((0, 3), (1, 2))}
    shares = {device: Shares(OBJECT, device) for device in range(4)}

    def shared(rings: Rings) -> list[dict[int, list[int]]]:
        return [{other: list(own) for other, own in shares[device].of(rings).items()} for device in range(4)]

    stable = [{1: [0]}, {0: [0], 2: [1]}, {1: [1]}, {}]
    assert shared(Rings(1, 0, Stage.STABLE, before)) == stable
    assert shared(Rings(2, 0, Stage.JOINING, before, after)) == stable
    assert shared(Rings(4, 2, Stage.SERVING, before, after)) == [
        {1: [0], 3: [0]},
        {0: [0], 3: [0], 2: [1]},
        {1: [1]},
        {0: [0], 1: [0]},
    ]
    assert shared(Rings(6, 4, Stage.STABLE, after)) == [{3: [0]}, {2: [1]}, {1: [1]}, {0: [0]}]


def test_a_throttle_lets_as_much_through_as_it_says_and_saves_up_little() -> None:
    now = 100.0

    async def sleep(delay_s: float) -> None:
        nonlocal now
        now += delay_s

    async def take(throttle: Throttle, count: int) -> float:
        started = now
        for _ in range(count):
            await throttle.took(100)
        return now - started

    throttle = Throttle(1000, lambda: now, sleep)
    assert abs(asyncio.run(take(throttle, 50)) - 4.9) < 1e-6
    now += 1000.0
    assert abs(asyncio.run(take(throttle, 50)) - 4.9) < 1e-6
    assert asyncio.run(take(Throttle(0, lambda: now, sleep), 50)) == 0


def test_what_is_newer_or_absent_here_is_lacking() -> None:
    def at(number: int) -> Timestamp:
        return pack(number, 0, 1)

    mine = [(b"a", at(5), False), (b"b", at(5), False)]
    theirs = [(b"a", at(5), False), (b"b", at(6), True), (b"c", at(1), False)]
    assert lacking(mine, theirs) == [(b"b", at(6), True), (b"c", at(1), False)]
    assert lacking(theirs, mine) == []
