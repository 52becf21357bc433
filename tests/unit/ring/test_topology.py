"""ring.topology"""

import numpy as np

from ring.topology import DEPTHS, DEVICE, NODE, NOWHERE, REGION, ROOT, ZONE, survey
from tests.unit.ring.topologies import device

DEVICES = [
    device(0, zone=2),
    device(1, zone=1),
    None,
    device(3, zone=1, node="10.1.1.9", weight=0.0),
    device(4, zone=1, region=2),
]


def test_tiers_are_numbered_in_the_order_of_their_places() -> None:
    topology = survey(DEVICES)
    assert topology.device_ids.tolist() == [1, 3, 0, 4]
    assert topology.names[REGION] == ((1,), (2,))
    assert topology.names[ZONE] == ((1, 1), (1, 2), (2, 1))
    assert topology.names[NODE] == ((1, 1, "10.1.1.1"), (1, 1, "10.1.1.9"), (1, 2, "10.1.2.1"), (2, 1, "10.2.1.1"))
    assert topology.names[DEVICE][1] == (1, 1, "10.1.1.9", 3)


def test_a_leaf_knows_its_tiers_and_a_tier_its_parent() -> None:
    topology = survey(DEVICES)
    for leaf, device_id in enumerate(topology.device_ids.tolist()):
        there = DEVICES[device_id]
        assert there is not None
        name = (there.region, there.zone, there.ip, there.id)
        for depth in DEPTHS:
            tier = topology.ancestors[depth][leaf]
            assert topology.names[depth][tier] == name[:depth]
            assert topology.parents[depth][tier] == topology.ancestors[depth - 1][leaf]


def test_sums_add_up_at_every_depth() -> None:
    topology = survey(DEVICES)
    sums = topology.sums(np.array([1.0, 2.0, 4.0, 8.0]))
    assert [level.tolist() for level in sums] == [[15], [7, 8], [3, 4, 8], [1, 2, 4, 8], [1, 2, 4, 8]]
    assert topology.tier_count(ROOT) == 1


def test_leaves_of_ids_that_are_not_there_are_nowhere() -> None:
    leaves = survey(DEVICES).leaves()
    assert leaves.tolist() == [2, 0, NOWHERE, 1, 3, NOWHERE]
    assert leaves[NOWHERE] == NOWHERE


def test_no_devices_make_a_bare_root() -> None:
    assert [survey([]).tier_count(depth) for depth in (ROOT, *DEPTHS)] == [1, 0, 0, 0, 0]
