"""storage.housekeeping: which versions a replica lacks, and where their keys are."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.clock import Timestamp, pack
from ring.hashing import partition_of
from storage.housekeeping.keyrange import subdivision_range
from storage.housekeeping.replicate import lacking


@given(st.binary(min_size=16, max_size=16), st.integers(1, 24))
def test_a_key_lies_in_the_range_of_its_subdivision_alone(key: bytes, part_power: int) -> None:
    partition = partition_of(key, part_power)
    index = partition_of(key, part_power + 8) & 0xFF
    start, end = subdivision_range(part_power, partition, index)
    assert start <= key
    assert end is None or key < end
    if index < 255:
        assert subdivision_range(part_power, partition, index + 1)[0] == end


def test_what_is_newer_or_absent_here_is_lacking() -> None:
    def at(number: int) -> Timestamp:
        return pack(number, 0, 1)

    mine = [(b"a", at(5), False), (b"b", at(5), False)]
    theirs = [(b"a", at(5), False), (b"b", at(6), True), (b"c", at(1), False)]
    assert lacking(mine, theirs) == [(b"b", at(6), True), (b"c", at(1), False)]
    assert lacking(theirs, mine) == []
