"""ring.composite, also beside Swift's composite builder."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ring import swift_builder
from ring.builder import HOUR_S, RingBuilder
from ring.composite import Component, CompositeState, check_again, compose, dump, load
from ring.errors import DamagedFile, RingError, UnknownFormat
from tests.unit.ring.topologies import device

NOW_S = 1_000_000 * HOUR_S


def component(region: int, replicas: float = 2, hours: int = 1, part_power: int = 6, count: int = 4) -> RingBuilder:
    """Return a builder of devices in `region`, placed a day ago."""
    builder = RingBuilder.create(part_power, replicas, hours)
    for number in range(count):
        builder = builder.add(device(number, zone=number, region=region))
    placed = builder.rebalance(region, NOW_S - 24 * HOUR_S)[0]
    return dataclasses.replace(placed, id=f"component{region}")


def grown(builder: RingBuilder, count: int = 1) -> RingBuilder:
    """Return `builder` with `count` more devices, which hold nothing yet."""
    region = next(each.region for each in builder.devices if each is not None)
    for number in range(count):
        builder = builder.add(device(builder.free_id(), zone=10 + number, region=region))
    return builder


def test_a_composite_has_the_replicas_of_its_components_one_after_the_other() -> None:
    first, second = component(1), component(2, replicas=1)
    ring, state = compose([first, second])
    assert ring.replica_count == 3
    for partition in range(64):
        expected = [*first.to_ring().primaries(partition), *second.to_ring().primaries(partition)]
        assert [(each.region, each.device) for each in ring.primaries(partition)] == [
            (each.region, each.device) for each in expected
        ]
    assert state == CompositeState(
        1, (Component("component1", first.version, 2), Component("component2", second.version, 1))
    )


def test_device_ids_go_on_from_component_to_component() -> None:
    ring, _state = compose([component(1), component(2)])
    assert [each and each.id for each in ring.devices] == list(range(8))
    assert [each and each.region for each in ring.devices] == [1] * 4 + [2] * 4


def test_composing_again_counts_versions_and_tells_whether_anything_changed() -> None:
    first, second = component(1), component(2)
    ring, state = compose([first, second])
    assert not check_again(state, [first, second])
    newer = grown(second).rebalance(3, NOW_S)[0]
    assert check_again(state, [first, newer])
    again, later = compose([first, newer], state, require_change=True)
    assert (ring.version, again.version, later.version) == (1, 2, 2)
    with pytest.raises(RingError, match="none of the builders has changed"):
        compose([first, newer], later, require_change=True)


@pytest.mark.parametrize(
    ("builders", "sentence"),
    [
        ([component(1)], "needs two builders or more"),
        ([component(1), component(1)], "builders 1 and 2 are the same"),
        ([component(1), dataclasses.replace(component(2), id="")], "builder 2 has no id, save it first"),
        ([component(1), component(2, part_power=7)], "the part powers differ: 6, 7"),
        ([component(1), component(2).prepare_increase_partition_power()], "only some of the builders increase"),
        ([component(1), component(2, replicas=1.5)], "builder 2 has 1.5 replicas, which is no whole number"),
        ([component(1).remove(0), component(2)], "builder 1 must be rebalanced first"),
        ([component(1).set_replicas(3), component(2)], "builder 1 must be rebalanced first"),
        (
            [dataclasses.replace(component(1), id="x"), component(1)],
            "region 1 is in builder 1 and in builder 2; the device 10.1.0.1:6200/d0 is in builder 1 and in builder 2",
        ),
    ],
)
def test_builders_that_do_not_go_together_are_refused(builders: list[RingBuilder], sentence: str) -> None:
    """Swift, composite_builder.py, `pre_validate_all_builders`; `force` does not help."""
    for force in (False, True):
        with pytest.raises(RingError, match=sentence):
            compose(builders, force=force)


def test_other_builders_another_order_and_older_versions_need_force() -> None:
    first, second, third = component(1), component(2), component(3)
    _ring, state = compose([first, second])
    older = dataclasses.replace(first, version=first.version - 1)
    for builders, sentence in (
        ([second, first], "builder 1 is component2, and it was component1; builder 2 is component1"),
        ([first, second, third], "the ring was composed of 2 builders, not of 3"),
        ([older, second], "builder 1 is of version 4, and version 5 was used already"),
        ([component(1, replicas=3), second], "builder 1 has 3 replicas, and it had 2"),
    ):
        with pytest.raises(RingError, match=sentence):
            compose(builders, state)
        assert compose(builders, state, force=True)[1].version == 2


names = st.text(min_size=1, max_size=8)
components = st.lists(
    st.builds(Component, names, st.integers(0, 1 << 40), st.integers(1, 100), st.text()),
    unique_by=lambda each: each.id,
    max_size=4,
)


@given(st.builds(CompositeState, st.integers(0, 1 << 40), components.map(tuple)))
def test_the_file_of_a_state_gives_the_state(state: CompositeState) -> None:
    assert load(dump(state)) == state


def test_the_stored_sample_is_read_and_written_as_it_is() -> None:
    sample = (Path(__file__).parent / "samples/ring.composite").read_text()
    state = CompositeState(
        version=4,
        components=(
            Component("8e56f3b692d43d9a666440a3d945a03a", 3, 2, "/etc/rings/region1.builder"),
            Component("96085923c2b644999dbfd74664f4301b", 5, 1, "/etc/rings/region2.builder"),
        ),
    )
    assert load(sample) == state
    assert dump(state, "/etc/rings/object.composite") == sample


GOOD = json.loads(dump(compose([component(1), component(2)])[1]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        dump(CompositeState(1, ()))[:40],
        json.dumps(GOOD | {"version": None}),
        json.dumps(GOOD | {"components": [1, 2]}),
        json.dumps(GOOD | {"component_builder_files": {}}),
        json.dumps(GOOD | {"components": [{"id": "component1", "version": 1.5, "replicas": 1}]}),
        json.dumps(GOOD | {"components": [{"id": ["component1"], "version": 1, "replicas": 1}]}),
        json.dumps(GOOD | {"version": float("inf")}),
    ],
)
def test_a_file_that_describes_no_composite_is_refused(text: str) -> None:
    with pytest.raises(DamagedFile):
        load(text)


def test_a_file_of_a_newer_release_is_refused_and_what_is_unknown_in_it_ignored() -> None:
    with pytest.raises(UnknownFormat, match="its format is 2, and this release knows 1"):
        load(json.dumps(GOOD | {"serialization_version": 2}))
    assert load(json.dumps(GOOD | {"colour": "blue"})) == load(json.dumps(GOOD))


def test_swift_composes_the_same_ring_of_the_same_builders(tmp_path: Path) -> None:
    """And reads the state that is kept here, as its own is read here."""
    composite_builder = pytest.importorskip("swift.common.ring.composite_builder")
    builders = [component(1), component(2, replicas=1)]
    paths = [str(tmp_path / f"{builder.id}.builder") for builder in builders]
    for builder, path in zip(builders, paths, strict=True):
        Path(path).write_bytes(swift_builder.dump(builder))
    ring, state = compose(builders, paths=paths)
    composite = composite_builder.CompositeRingBuilder(paths)
    composed = composite.compose()
    assert [list(row) for row in composed._replica2part2dev_id] == [list(row) for row in ring.replica_rows]
    assert [each["id"] for each in composed.devs] == [each and each.id for each in ring.devices]

    ours = tmp_path / "ours.composite"
    ours.write_text(dump(state, str(ours)))
    again = composite_builder.CompositeRingBuilder.load(str(ours))
    assert (again.version, again.components) == (1, composite.components)
    composite.save(str(tmp_path / "theirs.composite"))
    assert load((tmp_path / "theirs.composite").read_text()) == state
