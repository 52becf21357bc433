"""ring.plan_report"""

import json

import pytest

from ring.builder import RingBuilder
from ring.plan import Usage, plan
from ring.plan_report import bytes_text, describe, duration_text, facts
from ring.topology import DEVICE
from tests.unit.ring.topologies import device, placed


def test_a_plan_says_what_moves_how_long_and_what_is_thin() -> None:
    before = placed(*(device(number, zone=number) for number in range(4))).remove(3).add(device(4, zone=4))
    text = describe(plan(before, before.rebalance(2, 0)[0], Usage(bytes_used=768 * 1024**3, bytes_per_s=1024**3)))
    assert text.splitlines()[:5] == [
        "192 of 768 replicas move (25.00 %), 192.0 GiB.",
        "What was on d3 is copied from the replicas that are left.",
        "It takes about 3 min 12 s if a device copies 1.0 GiB/s; d4 r1z4-10.1.4.1:6204/d4 has most to do.",
        "Balance: 999.99 % now, 0.00 % then.",
        "Dispersion: 25.00 % now, 0.00 % then.",
    ]
    assert "r1z3       r1z4          192  192.0 GiB" in text
    assert "replicas that can be read meanwhile  partitions" in text
    assert "Every partition keeps its quorum, as long as nothing else fails." in text
    assert "partitions below quorum if it fails  now  meanwhile  then" in text


def test_a_plan_that_keeps_every_quorum_says_so() -> None:
    before = placed(*(device(number, zone=number) for number in range(4)))
    text = describe(plan(before, before.set_weight(3, 0.5).rebalance(2, 0)[0], Usage()))
    assert "Every partition keeps its quorum, whichever zone or node fails." in text
    assert "bytes" not in text


def test_partitions_without_a_replica_are_named_first() -> None:
    before = placed(*(device(number, zone=number) for number in range(3)), replicas=1).remove(0)
    text = describe(plan(before, before.rebalance(2, 0)[0], Usage()))
    assert f"No replica is left of {before.held(0)} partitions" in text
    assert f"{before.held(0)} partitions are below their quorum until they are copied." in text


def test_a_first_placement_is_no_danger() -> None:
    builder = placed(*(device(number) for number in range(3)))
    text = describe(plan(RingBuilder.create(8, 3), builder, Usage()))
    assert text.startswith("768 of 768 replicas move (100.00 %).")
    assert "quorum" not in text


def test_nothing_to_do_is_said_in_a_line() -> None:
    builder = placed(*(device(number) for number in range(3))).to_ring()
    assert describe(plan(builder, builder, Usage())) == "0 of 768 replicas move (0.00 %)."


def test_a_long_table_is_cut() -> None:
    before = placed(*(device(number, zone=number % 5) for number in range(15))).add(device(15, zone=2))
    planned = plan(before, before.rebalance(2, 0)[0], Usage())
    assert f"and {len(planned.flows(DEVICE)) - 10} more" in describe(planned).splitlines()


def test_the_facts_are_json_and_add_up() -> None:
    before = placed(*(device(number, zone=number % 5) for number in range(10))).remove(4).add(device(10, zone=2))
    planned = plan(before, before.rebalance(2, 0)[0], Usage(10**12))
    said = json.loads(json.dumps(facts(planned)))
    assert said["moved"] == len(planned.moves)
    assert said["lost"] == [4]
    for flows in said["flows"].values():
        assert sum(flow["replicas"] for flow in flows) == said["moved"]
        assert sum(flow["bytes"] for flow in flows) == pytest.approx(said["bytes"], abs=len(flows))
    assert sum(each["takes"] for each in said["devices"]) == said["moved"]
    assert sum(each["written"] for each in said["devices"]) == pytest.approx(said["bytes"], abs=10)
    assert sum(said["meanwhile"]["readable"].values()) == 256
    assert set(said["meanwhile"]["in_one"]) == {"region", "zone", "node"}


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1.5 * 1024**2, "1.5 MiB"),
        (1024**2 - 1, "1.0 MiB"),
        (5e21, "4336.8 EiB"),
    ],
)
def test_bytes_are_written_with_a_unit(size: float, text: str) -> None:
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(0.2, "0 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (3600, "1 h 0 min"), (90000, "1 d 1 h")],
)
def test_durations_are_said_in_two_units(duration_s: float, text: str) -> None:
    assert duration_text(duration_s) == text
