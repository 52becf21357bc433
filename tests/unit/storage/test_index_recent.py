from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.clock import ZERO, Timestamp, pack
from storage.indexes.recent import KEPT, SECOND_US, Recent

ROWS = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 4)), max_size=400)  # second, which of the names


def at(second: int) -> Timestamp:
    return pack(second * SECOND_US + 17, 0, 1)


@dataclass
class Plain:
    """The same, as all rows that are there."""

    rows: dict[int, tuple[int, int, int]] = field(default_factory=dict)  # name -> second, hash, sequence

    def since(self, second: int) -> tuple[int, int | None]:
        found = [row for row in self.rows.values() if row[0] >= second]
        return sum(row[1] for row in found), min((row[2] for row in found), default=None)


@given(ROWS, st.integers(1, 301))
@settings(max_examples=300, deadline=None)
def test_what_is_younger_than_a_second_is_summed_up_and_begins_where_it_says(
    rows: list[tuple[int, int]], second: int
) -> None:
    recent, plain = Recent(ZERO), Plain()
    for sequence, (made, name) in enumerate(rows, 1):
        if name in plain.rows:
            old_second, value, _ = plain.rows.pop(name)
            recent.subtract(value, at(old_second))
        plain.rows[name] = (made, sequence * 1001, sequence)
        recent.add(sequence * 1001, at(made), sequence)
    found = recent.since(second)
    if found is None:
        assert len({made for made, _ in rows}) > KEPT, "it was not so much that something was forgotten"
        return
    value, first = plain.since(second)
    assert found[0] == value
    assert first is None or (found[1] is not None and found[1] <= first), "none of them is below it"


def test_of_what_was_there_before_nothing_is_known() -> None:
    recent = Recent(at(100))
    recent.add(5, at(100), 1)
    recent.add(7, at(101), 2)
    assert recent.since(100) is None
    assert recent.since(101) == (7, 2)
    assert recent.since(102) == (0, None)


def test_the_oldest_seconds_are_forgotten() -> None:
    recent = Recent(ZERO)
    for second in range(1, KEPT + 3):
        recent.add(1, at(second), second)
    assert recent.since(2) is None
    assert recent.since(3) == (KEPT, 3)
    recent.add(1, at(1), 999)
    recent.subtract(1, at(1))
    assert recent.since(3) == (KEPT, 3)
