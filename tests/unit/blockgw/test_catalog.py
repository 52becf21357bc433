"""blockgw.catalog: volumes, snapshots and clones in coordination, also when several change them at once."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from blockgw.catalog import record, volume
from blockgw.catalog.errors import InvalidRequest, NameTaken, NoSuchSnapshot, NoSuchVolume, SnapshotInUse
from blockgw.catalog.store import NAMES, VOLUMES, Catalog
from blockgw.catalog.volume import Volume
from cluster.clock import wall_us
from cluster.coordination.embedded import EmbeddedCoordination

GiB = 1 << 30


@pytest.fixture
def coordination(tmp_path: Path) -> Iterator[EmbeddedCoordination]:
    opened = EmbeddedCoordination(tmp_path / "coordination.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def catalog(coordination: EmbeddedCoordination) -> Catalog:
    return Catalog(coordination, os.urandom, wall_us)


def snapshot(catalog: Catalog, name: str, called: str) -> Volume:
    layer = catalog.new_layer()
    return catalog.change(name, lambda each: volume.with_snapshot(each, os.urandom(16).hex(), called, layer, wall_us()))


def test_a_volume_is_found_by_its_name_and_by_its_id(catalog: Catalog) -> None:
    made = catalog.create("disk", GiB, "of a guest")
    assert catalog.find("disk") == catalog.get(made.id) == made
    assert (made.size, len(made.chain), made.description) == (GiB, 1, "of a guest")
    with pytest.raises(NameTaken):
        catalog.create("disk", GiB)
    with pytest.raises(NoSuchVolume):
        catalog.find("other")
    with pytest.raises(NoSuchVolume):
        catalog.get("00" * 16)
    catalog.create("another", GiB)
    assert [each.name for each in catalog.all()] == ["another", "disk"]


@pytest.mark.parametrize("name", ["", "a/b", "a b", ".hidden", "-x", "a" * 201, "ä", "a\0"])
def test_names_that_would_be_trouble_elsewhere_are_refused(catalog: Catalog, name: str) -> None:
    with pytest.raises(InvalidRequest):
        catalog.create(name, GiB)
    assert catalog.all() == []


@pytest.mark.parametrize("size", [0, -512, 511, 513, (1 << 50) + 512])
def test_sizes_that_there_cannot_be_are_refused(catalog: Catalog, size: int) -> None:
    with pytest.raises(InvalidRequest):
        catalog.create("disk", size)


def test_a_snapshot_keeps_the_chain_and_puts_a_layer_before_it(catalog: Catalog) -> None:
    made = catalog.create("disk", GiB)
    taken = snapshot(catalog, "disk", "monday")
    assert taken.snapshot("monday").chain == made.chain
    assert taken.chain[1:] == made.chain
    with pytest.raises(InvalidRequest):
        snapshot(catalog, "disk", "monday")
    with pytest.raises(NoSuchSnapshot):
        taken.snapshot("tuesday")


def test_a_chain_has_an_end(catalog: Catalog) -> None:
    catalog.create("disk", GiB)
    for number in range(volume.CHAIN_LIMIT - 1):
        snapshot(catalog, "disk", f"s{number}")
    with pytest.raises(InvalidRequest, match="flatten"):
        snapshot(catalog, "disk", "one-more")


def test_a_clone_shares_the_family_and_keeps_its_snapshot(catalog: Catalog) -> None:
    parent = catalog.create("golden", GiB)
    taken = snapshot(catalog, "golden", "v1").snapshot("v1")
    clone = catalog.clone("golden", "v1", "guest")
    assert (clone.family, clone.size, clone.chain[1:]) == (parent.family, GiB, taken.chain)
    assert [each.name for each in catalog.clones(parent)] == ["guest"]
    with pytest.raises(SnapshotInUse, match="guest"):
        catalog.delete_snapshot("golden", "v1")
    assert not catalog.find("golden").snapshot("v1").deleting
    catalog.remove(clone)
    assert catalog.delete_snapshot("golden", "v1").snapshots == ()
    with pytest.raises(NoSuchSnapshot):
        catalog.clone("golden", "v1", "late")


def test_a_snapshot_that_is_going_is_not_cloned_and_nothing_is_left_of_the_try(catalog: Catalog) -> None:
    catalog.create("golden", GiB)
    snapshot(catalog, "golden", "v1")
    catalog.change("golden", lambda each: volume.marked_for_deletion(each, "v1"))
    with pytest.raises(SnapshotInUse):
        catalog.clone("golden", "v1", "guest")
    assert [each.name for each in catalog.all()] == ["golden"]
    catalog.create("guest", GiB)


def test_a_clone_that_a_deletion_has_overtaken_is_taken_back(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.create("golden", GiB)
    snapshot(catalog, "golden", "v1")
    add = catalog._add

    def add_late(made: Volume) -> None:
        catalog.delete_snapshot("golden", "v1")
        add(made)

    monkeypatch.setattr(catalog, "_add", add_late)
    with pytest.raises(NoSuchSnapshot):
        catalog.clone("golden", "v1", "guest")
    assert [each.name for each in catalog.all()] == ["golden"]


def test_a_name_whose_volume_was_never_made_is_free(
    catalog: Catalog, coordination: EmbeddedCoordination
) -> None:
    coordination.put(NAMES + "disk", b"ab" * 16)
    assert catalog.find(catalog.create("disk", GiB).name).size == GiB


def test_of_two_who_take_a_name_one_has_it(catalog: Catalog, coordination: EmbeddedCoordination) -> None:
    """One is between its two steps when the other comes."""
    put = coordination.put
    other = Catalog(coordination, os.urandom, wall_us)

    def interrupted(key: str, data: bytes, expect: int | None = None) -> int:
        if key.startswith(VOLUMES):
            coordination.put = put  # type: ignore[method-assign]
            other.create("disk", 2 * GiB)
        return put(key, data, expect)

    coordination.put = interrupted  # type: ignore[method-assign]
    with pytest.raises(NameTaken):
        catalog.create("disk", GiB)
    assert [(each.name, each.size) for each in catalog.all()] == [("disk", 2 * GiB)]
    assert catalog.find("disk").size == 2 * GiB


def test_a_change_is_made_upon_what_others_have_made(catalog: Catalog) -> None:
    catalog.create("disk", GiB)
    asked: list[int] = []

    def decide(each: Volume) -> Volume:
        asked.append(each.size)
        if len(asked) == 1:
            catalog.change("disk", lambda inner: volume.resized(inner, 2 * GiB, False))
        return replace(each, description="new")

    changed = catalog.change("disk", decide)
    assert asked == [GiB, 2 * GiB]
    assert (changed.size, changed.description) == (2 * GiB, "new")


def test_only_who_says_so_cuts_data_off() -> None:
    disk = Volume("v", "disk", GiB, "f", (1,), 0)
    with pytest.raises(InvalidRequest, match="--shrink"):
        volume.resized(disk, GiB // 2, may_shrink=False)
    assert volume.resized(disk, GiB // 2, may_shrink=True).size == GiB // 2
    assert volume.resized(disk, 2 * GiB, may_shrink=False).size == 2 * GiB


def test_rolling_back_keeps_the_snapshots(catalog: Catalog) -> None:
    catalog.create("disk", GiB)
    first = snapshot(catalog, "disk", "s1").snapshot("s1")
    snapshot(catalog, "disk", "s2")
    catalog.change("disk", lambda each: volume.resized(each, 2 * GiB, False))
    back = catalog.change("disk", lambda each: volume.rolled_back(each, "s1", 77))
    assert back.chain == (77, *first.chain)
    assert back.size == GiB
    assert [each.name for each in back.snapshots] == ["s1", "s2"]


def test_documents_survive_the_way_to_bytes_and_rubbish_is_called_so(catalog: Catalog) -> None:
    catalog.create("golden", GiB)
    snapshot(catalog, "golden", "v1")
    clone = catalog.clone("golden", "v1", "guest")
    for each in (catalog.find("golden"), clone, volume.trashed(clone)):
        assert record.decode(record.encode(each)) == each
    for rubbish in (b"", b"\x80", b"\xc1", record.encode(clone)[:-3], b"\x81\xa6format\x02"):
        with pytest.raises(record.Unreadable):
            record.decode(rubbish)
