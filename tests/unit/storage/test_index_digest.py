"""storage/indexes/digest.py."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.clock import ZERO
from storage.indexes import digest
from storage.messages import Row
from tests.unit.storage.index_fixtures import account_rows, at, object_rows, row

_rows = st.lists(st.one_of(object_rows, account_rows), max_size=6)


def _sum(rows: list[Row]) -> int:
    total = 0
    for item in rows:
        total = digest.add(total, item)
    return total


@given(_rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[Row], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert _sum(rows) == _sum(shuffled)


@given(_rows, object_rows)
def test_a_row_taken_away_leaves_no_trace(rows: list[Row], extra: Row) -> None:
    assert digest.subtract(_sum([extra, *rows]), extra) == _sum(rows)


def test_whatever_decides_between_versions_counts() -> None:
    base = Row("x", at(1), False, 1)
    others = [
        base._replace(name="y"),
        base._replace(timestamp=at(2)),
        base._replace(deleted=True),
        base._replace(stats_timestamp=at(1)),
        base._replace(stats_timestamp=at(1), object_count=1),
        base._replace(stats_timestamp=at(1), size=2),
    ]
    hashes = {digest.hash_of_row(item) for item in [base, *others]}
    assert len(hashes) == len(others) + 1


def test_what_the_database_knows_of_itself_counts() -> None:
    variants = [
        (at(1), ZERO, 1, {}),
        (at(2), ZERO, 1, {}),
        (at(1), at(1), 1, {}),
        (at(1), ZERO, 2, {}),
        (at(1), ZERO, 1, {"acl": ("x", at(1))}),
        (at(1), ZERO, 1, {"acl": ("x", at(2))}),
    ]
    rows = digest.hash_of_row(row("x", 1))
    digests = {digest.of_database(rows, *variant) for variant in variants}
    assert len(digests) == len(variants)
    assert all(len(item) == digest.DIGEST_SIZE for item in digests)


def test_it_goes_through_storage() -> None:
    total = digest.hash_of_row(row("x", 1))
    assert digest.from_bytes(digest.to_bytes(total)) == total
