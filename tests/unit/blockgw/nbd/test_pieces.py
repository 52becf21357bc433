"""blockgw/nbd/pieces.py."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from blockgw.interfaces import Pieces
from blockgw.nbd.pieces import ZEROES, filled, runs, size_of

some_pieces = st.lists(st.one_of(st.binary(max_size=20), st.integers(0, 50)), max_size=10)


@given(some_pieces)
def test_runs_hold_the_same_bytes_in_order_and_change_kind_each_time(pieces: Pieces) -> None:
    expected = b"".join(bytes(piece) for piece in pieces)
    found = list(runs(pieces))
    assert b"".join(b"".join(run.data) or bytes(run.length) for run in found) == expected == b"".join(filled(pieces))
    assert [run.offset for run in found] == [sum(run.length for run in found[:index]) for index in range(len(found))]
    assert all(bool(before.data) != bool(after.data) for before, after in pairwise(found))
    assert all(run.length for run in found)
    assert size_of(pieces) == len(expected)


def test_a_hole_of_any_size_needs_no_memory() -> None:
    buffers = filled([10 * len(ZEROES) + 5])
    assert sum(map(len, buffers)) == 10 * len(ZEROES) + 5
    assert all(isinstance(buffer, memoryview) and buffer.obj is ZEROES.obj for buffer in buffers)
