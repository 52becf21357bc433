"""blockgw.catalog.family and volume: which layers a volume may do without. Pure."""

import pytest

from blockgw.catalog import record
from blockgw.catalog import volume as module
from blockgw.catalog.errors import InvalidRequest, NoSuchSnapshot
from blockgw.catalog.family import Family
from blockgw.catalog.volume import Limits, Parent, Snapshot, Volume

FAMILY = "f" * 32


def disk(chain: tuple[int, ...], snapshots: dict[str, tuple[int, ...]] | None = None, **about: object) -> Volume:
    kept = tuple(Snapshot(name, name, 512, layers, 0) for name, layers in (snapshots or {}).items())
    values: dict[str, object] = {"id": "1", "name": "disk", "snapshots": kept, **about}
    return Volume(size=512, family=FAMILY, chain=chain, created_us=0, **values)  # type: ignore[arg-type]


def test_a_layer_is_merged_when_nobody_needs_it_by_itself() -> None:
    volume = disk((4, 3, 2, 1), {"c": (3, 2, 1)})
    assert Family([volume]).mergeable(volume) == [(1, 2), (2, 3)]
    kept = disk((4, 3, 2, 1), {"a": (1,), "c": (3, 2, 1)})
    assert Family([kept]).mergeable(kept) == [(2, 3)]
    assert Family([disk((1,))]).mergeable(disk((1,))) == []


def test_a_layer_with_two_above_it_stays() -> None:
    rolled_back = disk((5, 1), {"b": (2, 1), "c": (3, 2, 1)})
    assert Family([rolled_back]).mergeable(rolled_back) == []


def test_a_layer_is_merged_by_the_volume_that_wrote_it_and_not_by_clones() -> None:
    parent = disk((4, 3, 2, 1), {"c": (3, 2, 1)})
    clone = disk((9, 8, 3, 2, 1), id="2", name="clone", parent=Parent("1", "c"))
    assert Family([parent, clone]).mergeable(parent) == [(1, 2), (2, 3)]
    assert Family([parent, clone]).mergeable(clone) == [(8, 9)], "3 is the top of a snapshot, and the parent's"
    assert Family([clone]).mergeable(clone) == [], "whose layers these are is not known"


def test_a_clone_shares_what_its_parents_snapshot_reads() -> None:
    parent = disk((4, 3, 2, 1), {"c": (3, 2, 1)})
    clone = disk((9, 3, 2, 1), {"s": (8, 3, 2, 1)}, id="2", parent=Parent("1", "c"), flattening=True)
    shared = Family([parent, clone]).shared_with_parent(clone)
    assert shared == {3, 2, 1}
    flat = module.flattened(clone, shared)
    assert (flat.chain, flat.flattening) == ((9,), False)
    assert flat.parent == clone.parent, "its snapshot still reads there"
    assert module.independent(module.without_snapshot(flat, "s"), shared).parent is None
    assert Family([parent]).shared_with_parent(parent) == frozenset()
    with pytest.raises(NoSuchSnapshot):
        Family([clone]).shared_with_parent(clone)
    with pytest.raises(InvalidRequest):
        module.to_be_flattened(parent)


def test_a_layer_leaves_all_chains_of_a_volume() -> None:
    volume = disk((4, 3, 2, 1), {"b": (2, 1), "c": (3, 2, 1)})
    cut = module.without_layers(volume, {1})
    assert cut.chains == ((4, 3, 2), (2,), (3, 2))
    assert module.given_up(volume, cut) == [1]
    assert module.given_up(volume, module.without_snapshot(volume, "b")) == []
    assert module.given_up(volume, module.rolled_back(volume, "b", 5)) == [4]


def test_limits_are_changed_one_by_one_and_written_down() -> None:
    limited = module.limited(disk((1,)), {"iops": 100.0, "burst_s": 5})
    assert limited.limits == Limits(iops=100, burst_s=5.0)
    again = module.limited(limited, {"read_bandwidth": 1 << 20})
    assert again.limits == Limits(iops=100, read_bandwidth=1 << 20, burst_s=5.0)
    assert record.decode(record.encode(again)) == again
    for wanted in ({"iops": -1}, {"burst_s": 0}, {"burst_s": 1e9}):
        with pytest.raises(InvalidRequest):
            module.limited(limited, wanted)
