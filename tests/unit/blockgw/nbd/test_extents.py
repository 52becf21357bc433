"""blockgw/nbd/extents.py."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockgw.nbd import extents
from blockgw.nbd.extents import fit


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 2)), min_size=1), st.integers(1, 100))
def test_what_is_fit_says_the_same_of_each_byte(given_extents: list[tuple[int, int]], length: int) -> None:
    plain = [flags for size, flags in given_extents for _ in range(size)][:length]
    fitted = fit(given_extents, length)
    assert [flags for size, flags in fitted for _ in range(size)] == plain
    assert all(before[1] != after[1] for before, after in pairwise(fitted))


def test_only_the_first_is_told_but_as_long_as_it_is() -> None:
    """doc/proto.md, NBD_CMD_FLAG_REQ_ONE."""
    assert fit([(5, 1), (5, 1), (5, 0), (5, 1)], 100, only_one=True) == [(10, 1)]


def test_an_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "EXTENTS_LIMIT", 3)
    assert fit([(1, index % 2) for index in range(10)], 10) == [(1, 0), (1, 1), (1, 0)]


@pytest.mark.parametrize("wrong", [[], [(0, 1)]])
def test_what_says_nothing_is_a_mistake_of_the_volume(wrong: list[tuple[int, int]]) -> None:
    with pytest.raises(AssertionError):
        fit(wrong, 10)
