"""storage/rings/moves.py: who must copy, compared with the plain definition, and that it is enough."""

from itertools import combinations
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from storage.quorum import quorum_of
from storage.rings.document import OBJECT
from storage.rings.moves import copying, enough_refuse, held_partitions, moves_of
from tests.unit.storage.rings.fixtures import ring

SETS = st.lists(st.integers(0, 7), min_size=1, max_size=5, unique=True).map(tuple)


@given(st.integers(), st.floats(0, 1))
def test_moves_are_what_differs(seed: int, moving: float) -> None:
    chance = Random(seed)
    befores = [chance.sample(range(7), 3) for _partition in range(128)]
    pairs = [(before, chance.sample(range(7), 3) if chance.random() < moving else before) for before in befores]
    current, target = ring(*(before for before, _after in pairs)), ring(*(after for _before, after in pairs))
    moves = moves_of({OBJECT: current}, {OBJECT: target})
    for device_id in range(7):
        expected = tuple(
            partition
            for partition, (before, after) in enumerate(pairs)
            if device_id in after and device_id not in before
        )
        assert moves.joiners.get(device_id, {}).get(OBJECT, ()) == expected
        assert moves.partition_count(device_id) == len(expected)
        assert held_partitions(current, device_id) == [
            partition for partition, (before, _after) in enumerate(pairs) if device_id in before
        ]
    assert moves.current_sets == {tuple(sorted(before)) for before, after in pairs if set(before) != set(after)}


def test_nothing_moves_without_a_target() -> None:
    moves = moves_of({OBJECT: ring((0, 1), (1, 2))}, {})
    assert not moves.joiners
    assert not moves.current_sets


def test_an_order_that_changes_is_no_move() -> None:
    moves = moves_of({OBJECT: ring((0, 1), (1, 2))}, {OBJECT: ring((1, 0), (2, 1))})
    assert not moves.joiners
    assert not moves.current_sets


@given(SETS, SETS)
def test_what_a_quorum_had_meets_every_quorum_of_those_that_copied(
    before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    """The arithmetic of the module's docstring, by trying all quorums."""
    copied = set(copying(before, after))
    for had in combinations(before, quorum_of(len(before))):
        have = copied | (set(had) & set(after))
        assert all(have & set(asked) for asked in combinations(after, quorum_of(len(after))))


@given(SETS)
def test_enough_refuse_when_the_rest_is_no_quorum(primaries: tuple[int, ...]) -> None:
    for refusing in range(len(primaries) + 1):
        rest = len(primaries) - refusing
        assert enough_refuse(primaries, refusing) == (rest < quorum_of(len(primaries)))
