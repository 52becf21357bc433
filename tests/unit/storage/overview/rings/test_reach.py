"""storage.overview.rings.reach"""

import pytest

from ring.lookup import Ring
from storage.overview.rings.reach import holdings, partitions_short
from tests.unit.tools.ring_samples import builders, device


def ring(*rows: list[int], devices: int = 4) -> Ring:
    views = tuple(memoryview(b"".join(each.to_bytes(2, "little") for each in row)).cast("H") for row in rows)
    return Ring(1, tuple(device(each) for each in range(devices)), views)


@pytest.mark.parametrize(
    ("away", "short"), [((), 0), ((0,), 0), ((0, 1), 1), ((0, 1, 2), 2), ((3,), 0), ((3, 2), 1), ((9, 8), 0)]
)
def test_a_partition_is_short_when_fewer_than_a_quorum_are_left(away: tuple[int, ...], short: int) -> None:
    assert partitions_short({"x": ring([0, 1], [1, 2], [2, 3])}, away) == short


def test_the_partitions_of_all_rings_count() -> None:
    one = ring([0, 1], [1, 2], [2, 3])
    assert partitions_short({"x": one, "y": one}, (0, 1)) == 2


def test_with_half_a_replica_more_some_partitions_bear_less() -> None:
    """Of four devices a quorum is three."""
    partly = ring([0, 1], [1, 2], [2, 3], [3])
    assert partitions_short({"x": partly}, (0, 1)) == 1
    assert partitions_short({"x": partly}, (2, 3)) == 2
    assert partitions_short({"x": partly}, (1, 3)) == 2


def test_what_a_device_holds_is_counted() -> None:
    builder = builders()["account"]
    found = holdings(builder.to_ring())
    assert {each: found[each] for each in range(4)} == {each: builder.held(each) for each in range(4)}
