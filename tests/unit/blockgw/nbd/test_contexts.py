"""blockgw/nbd/contexts.py: doc/proto.md, "Metadata querying"."""

import pytest

from blockgw.nbd.contexts import chosen, listed

OFFERED = ["base:allocation", "holdfast:dirty-since/monday", "holdfast:dirty-since/tuesday"]


@pytest.mark.parametrize(
    ("queries", "ids"),
    [
        ([], [0, 1, 2]),
        (["base:"], [0]),
        (["base:allocation"], [0]),
        (["holdfast:"], [1, 2]),
        (["holdfast:dirty-since/"], [1, 2]),
        (["holdfast:dirty-since/tuesday", "base:"], [0, 2]),
        (["holdfast:dirty-since/t"], []),
        (["qemu:dirty-bitmap:x", ""], []),
    ],
)
def test_a_list_shows_all_those_below_a_prefix_or_one(queries: list[str], ids: list[int]) -> None:
    assert [context.id for context in listed(queries, OFFERED)] == ids


@pytest.mark.parametrize(
    ("queries", "ids"),
    [([], []), (["base:"], []), (["base:allocation", "base:allocation", "unknown:x"], [0]), (OFFERED[::-1], [0, 1, 2])],
)
def test_a_choice_is_of_those_that_are_named(queries: list[str], ids: list[int]) -> None:
    assert [context.id for context in chosen(queries, OFFERED)] == ids
