"""tools.rings.wishes"""

import pytest

from ring.errors import RingError
from tests.unit.tools.ring_samples import NOW_S, builders, device
from tools.errors import OperatorError
from tools.rings.wishes import (
    Placed,
    adding,
    device_ids,
    drained,
    held,
    is_worth_another_round,
    nothing_more,
    place,
    removing,
    weighing,
)


def test_a_new_device_gets_its_share_of_every_ring() -> None:
    placed = place(builders(4), adding([device(4)]), NOW_S)
    assert placed.moved > 0
    for builder in placed.builders.values():
        assert builder.held(4) == pytest.approx(64 * 3 / 5, abs=2)
    assert device_ids(placed.builders) == {0, 1, 2, 3, 4}


def test_a_device_without_weight_is_emptied_in_as_many_rounds_as_it_takes() -> None:
    placed = place(builders(5), weighing({1: 0.0}), NOW_S)
    for _round in range(4):
        if not held(placed.builders, {1}):
            break
        placed = place(placed.builders, nothing_more, NOW_S)
    assert held(placed.builders, {1}) == 0
    assert drained(placed.builders) == {1}
    assert device_ids(placed.builders) == {0, 1, 2, 3, 4}


def test_a_device_that_is_removed_is_in_no_ring_afterwards() -> None:
    placed = place(builders(5), removing([1]), NOW_S)
    assert device_ids(placed.builders) == {0, 2, 3, 4}
    assert held(placed.builders, {1}) == 0


@pytest.mark.parametrize("wish", [weighing({0: 0.0}), removing([0])])
def test_as_many_devices_as_replicas_must_stay(wish: object) -> None:
    with pytest.raises(OperatorError, match="3 replicas need as many devices with weight, and 2 would be left"):
        place(builders(3), wish, NOW_S)  # type: ignore[arg-type]


def test_what_the_builder_refuses_is_refused() -> None:
    with pytest.raises(RingError):
        place(builders(4), adding([device(3)]), NOW_S)


def test_the_same_wish_comes_out_the_same_again() -> None:
    one, other = (place(builders(4), adding([device(4)]), NOW_S).builders for _time in range(2))
    for name, builder in one.items():
        assert builder.rows is not None
        assert all((row == same).all() for row, same in zip(builder.rows, other[name].rows or (), strict=True))


def test_another_round_is_for_what_it_improves() -> None:
    start = builders(5)
    before = Placed(start, 7, balance=2.0, dispersion=0.0)
    assert not is_worth_another_round(before, Placed(start, 0, 1.0, 0.0), ())
    assert is_worth_another_round(before, Placed(start, 1, 1.0, 0.0), ())
    assert not is_worth_another_round(before, Placed(start, 1, 2.0, 0.0), ())
    emptied = place(start, removing([1]), NOW_S)
    assert is_worth_another_round(before, Placed(emptied.builders, 1, 2.0, 0.0), {1})
