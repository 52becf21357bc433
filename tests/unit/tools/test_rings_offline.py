"""tools.rings.offline"""

import dataclasses

import pytest

from ring.builder import RingBuilder
from tests.unit.tools.ring_samples import NOW_S, builders, device
from tools.errors import OperatorError
from tools.rings.offline import taken_over

BEFORE = builders(4)
OWN = BEFORE["object-0"]


def rebalanced(builder: RingBuilder) -> RingBuilder:
    return builder.rebalance(0, NOW_S)[0]


def test_other_weights_are_taken_over_for_one_ring() -> None:
    changed = dataclasses.replace(rebalanced(OWN.set_weight(0, 0.5)), version=1)
    placed = taken_over(BEFORE, "object-0", changed.set_min_part_hours(5))
    assert placed.moved > 0
    assert placed.builders["account"] is BEFORE["account"]
    taken = placed.builders["object-0"]
    assert taken.device(0).weight == 0.5
    assert taken.version > OWN.version
    assert taken.min_part_hours == 0
    assert placed.balance == max(each.balance() for each in placed.builders.values())


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (OWN, "nothing would change"),
        (RingBuilder.create(6, 3, 0), "nothing is placed"),
        (builders(4, part_power=7)["object-0"], "its part power is 7, and that of the ring is 6"),
        (builders(4, replicas=2)["object-0"], "it has 2 replicas, and the ring has 3"),
        (OWN.remove(1), "device 1 is being removed in it"),
        (builders(5)["object-0"], "it has device 4, which the rings have not"),
        (builders(3)["object-0"], "it lacks device 3"),
        (OWN.set_info(1, port=7), "its device 1 is r1z2-127.0.0.2:7/d1, and that of the ring is"),
        (rebalanced(OWN.remove(3).add(device(9))), "it has device 9"),
    ],
)
def test_what_does_not_fit_is_refused(changed: RingBuilder, why: str) -> None:
    with pytest.raises(OperatorError, match=why):
        taken_over(BEFORE, "object-0", changed)
