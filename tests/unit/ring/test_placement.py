"""ring.first, ring.gather, ring.place, ring.relay: from grid to grid."""

import itertools

import numpy as np
import pytest

from ring.first import place_first
from ring.gather import gather
from ring.grid import Grid, beyond, held, held_by_leaf, ranks_of, row_lengths, slots_of, tiers_of
from ring.place import place
from ring.placement import check
from ring.relay import relay
from ring.targets import Quota, most_by_tier, quotas, target
from ring.topology import DEPTHS, DEVICE, NOWHERE, Topology, survey
from tests.unit.ring.topologies import device

A, B, C, D = range(4)


def quota_of(topology: Topology, replicas: float, partition_count: int) -> tuple[Quota, ...]:
    levels = target(topology, replicas, 0.0)
    nothing = topology.sums(np.zeros(len(topology.weights)))
    slot_count = sum(row_lengths(replicas, partition_count))
    return quotas(topology, levels, slot_count, partition_count, nothing, most_by_tier(topology, replicas))


def first_of(topology: Topology, replicas: float, partition_count: int) -> Grid:
    lengths = row_lengths(replicas, partition_count)
    quota, most = quota_of(topology, replicas, partition_count), most_by_tier(topology, replicas)
    return place_first(lengths, topology, quota, most, np.random.default_rng(1))


def grid_of(*columns: tuple[int, ...]) -> Grid:
    return np.array(columns, np.int32).T


TOPOLOGIES = [
    survey(
        [
            device(number, 1 + number % zones, f"10.0.{number % zones}.{number % nodes}", 1.0 + number % weights)
            for number in range(count)
        ]
    )
    for zones, nodes, weights, count in [(1, 1, 1, 5), (3, 3, 2, 12), (5, 10, 4, 40), (2, 7, 3, 23)]
]


@pytest.mark.parametrize(("topology", "replicas"), list(itertools.product(TOPOLOGIES, [1.0, 2.0, 2.5, 3.0, 4.25])))
def test_the_first_placement_meets_every_quota_exactly(topology: Topology, replicas: float) -> None:
    quota, grid = quota_of(topology, replicas, 64), first_of(topology, replicas, 64)
    check(grid, slots_of(row_lengths(replicas, 64)))
    for depth, has in zip(DEPTHS, held(grid, topology)[1:], strict=True):
        assert (has == quota[depth].wanted).all()
        tiers = tiers_of(grid, topology, depth)
        for tier in range(topology.tier_count(depth)):
            of_partition = (tiers == tier).sum(axis=0)
            assert quota[depth].least[tier] <= of_partition.min()
            assert of_partition.max() <= quota[depth].most[tier]


def test_the_partitions_of_a_device_have_their_other_replicas_on_nearly_all_others() -> None:
    topology = survey([device(number, zone=number % 5) for number in range(50)])
    grid = first_of(topology, 3.0, 4096)
    own = (grid == 0).any(axis=0)
    assert len(np.unique(grid[:, own])) > 40


def test_every_replica_number_is_dealt_to_every_device() -> None:
    topology = survey([device(number, zone=number) for number in range(4)])
    grid = first_of(topology, 3.0, 1024)
    firsts = np.bincount(grid[0], minlength=4)
    assert firsts == pytest.approx(256, rel=0.2)


def test_a_placement_as_wanted_gives_up_nothing() -> None:
    for topology in TOPOLOGIES:
        grid, quota = first_of(topology, 3.0, 64), quota_of(topology, 3.0, 64)
        lifted = gather(grid, topology, quota, np.ones(64, np.bool_), np.random.default_rng(1))
        assert not lifted.any()


def test_a_crowded_partition_gives_up_one_replica_and_only_when_it_may() -> None:
    topology = survey([device(number, zone=1 + number // 2) for number in range(6)])
    quota = quota_of(topology, 3.0, 4)
    grid = grid_of((0, 1, 2), (0, 2, 4), (1, 3, 5), (3, 4, 5))
    movable = np.array([True, True, True, False])
    lifted = gather(grid, topology, quota, movable, np.random.default_rng(1))
    assert lifted[:, 0].sum() == 1
    assert lifted[:2, 0].any()
    assert not lifted[:, 3].any()


def test_holes_are_filled_where_there_is_room_and_the_partition_is_not() -> None:
    topology = survey([device(number, zone=number) for number in range(4)])
    grid = first_of(topology, 3.0, 256)
    holes = grid == D
    homes = np.full_like(grid, NOWHERE)
    again = place(
        np.where(holes, NOWHERE, grid), holes, homes, topology, quota_of(topology, 3.0, 256), np.random.default_rng(1)
    )
    assert (again == grid).all(), "they fit nowhere else"


def test_who_finds_no_place_goes_home() -> None:
    topology = survey([device(number, zone=number) for number in range(3)])
    grid = grid_of((A, B, C), (B, C, A))
    holes = grid == A
    again = place(
        np.where(holes, NOWHERE, grid), holes, grid, topology, quota_of(topology, 3.0, 2), np.random.default_rng(1)
    )
    assert (again == grid).all()


def test_the_homeless_go_to_a_device_that_lacks_the_partition_even_without_room() -> None:
    topology = survey([device(number, zone=number) for number in range(4)])
    grid = grid_of((A, B, NOWHERE), (A, C, NOWHERE), (B, C, NOWHERE))
    holes, homes = grid == NOWHERE, np.full_like(grid, NOWHERE)
    placed = place(grid, holes, homes, topology, quota_of(topology, 3.0, 3), np.random.default_rng(1))
    check(placed, np.ones(grid.shape, np.bool_))


def test_a_replica_that_fits_nowhere_goes_by_way_of_a_third_device() -> None:
    """A has one too many and C room, but C has all that A has; B passes one on."""
    topology = survey([device(number, node="10.0.0.1") for number in range(4)])
    grid = grid_of((A, C), (A, C), (B, D), (B, D))
    whole = Quota(np.array([8]), np.array([2]), np.array([2]))
    wanted = np.array([1, 2, 3, 2])
    quota = (whole, whole, whole, whole, Quota(wanted, wanted // 4, -(-wanted // 4)))
    relayed = relay(grid, topology, quota, np.ones(4, np.bool_), np.random.default_rng(1))
    assert held_by_leaf(relayed, 4).tolist() == wanted.tolist()
    assert (relayed != grid).any(axis=0).sum() == 2
    check(relayed, np.ones(grid.shape, np.bool_))
    resting = relay(grid, topology, quota, np.array([False, False, True, True]), np.random.default_rng(1))
    assert (resting == grid).all()


def test_replicas_beyond_a_limit_are_counted_at_the_depth_where_they_are_most() -> None:
    topology = survey([device(number, zone=1 + number // 2, node=f"10.0.0.{number // 2}") for number in range(4)])
    limits = most_by_tier(topology, 2)
    assert beyond(grid_of((0, 1), (0, 2), (2, 3)), topology, limits) == 2
    assert ranks_of(grid_of((0, 0), (1, 2))).tolist() == [[0, 0], [1, 0]]
    assert held_by_leaf(grid_of((0, NOWHERE), (0, 2)), 4).tolist() == [2, 0, 1, 0]
    assert len(topology.parents[DEVICE]) == 4


def test_a_fraction_of_a_replica_covers_the_first_partitions() -> None:
    assert row_lengths(2.25, 64) == (64, 64, 16)
    assert row_lengths(3.0, 64) == (64, 64, 64)
    assert row_lengths(1.001, 64) == (64,)
