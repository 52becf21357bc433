"""ring.analysis, also beside Swift's swift-ring-builder-analyzer."""

import json
from typing import Any

import pytest

from ring.analysis import Add, BadScenario, Remove, Save, SetWeight, describe, facts, parse, run
from ring.builder import WORST_BALANCE
from ring.errors import RingError

ROUNDS: list[list[list[Any]]] = [
    [["add", f"r1z{number % 3 + 1}-10.0.0.{number}:6200/sda", 1000] for number in range(8)],
    [["add", "z4-10.0.4.1:6200/sda", "500"], ["save", "grown.builder"]],
    [["remove", 3], ["set_weight", 0, 1500.5]],
    [["set_weight", 8, 1000]],
]
SCENARIO = {"part_power": 8, "replicas": 3, "overload": 0.1, "random_seed": 203488, "rounds": ROUNDS}


def scenario(**changes: Any) -> str:
    return json.dumps(SCENARIO | changes)


def test_a_scenario_is_rounds_of_commands() -> None:
    parsed = parse(scenario())
    assert (parsed.part_power, parsed.replicas, parsed.overload, parsed.random_seed) == (8, 3.0, 0.1, 203488)
    added, saved = parsed.rounds[1]
    assert isinstance(added, Add)
    assert (added.device.region, added.device.zone, added.device.weight) == (1, 4, 500.0)
    assert saved == Save("grown.builder")
    assert parsed.rounds[2] == (Remove(3), SetWeight(0, 1500.5))


def test_every_round_goes_on_until_it_settles() -> None:
    rounds = list(run(parse(scenario())))
    assert [each.number for each in rounds] == [1, 2, 3, 4]
    for each in rounds:
        assert len(each.rebalances) >= 2
        assert each.rebalances[-1].balance < WORST_BALANCE
    assert rounds[0].rebalances[0].moved == 3 * 256
    assert rounds[2].rebalances[0].removed == 1
    assert rounds[2].rebalances[-1].removed == 0


def test_the_same_scenario_comes_out_the_same() -> None:
    assert [facts(each) for each in run(parse(scenario()))] == [facts(each) for each in run(parse(scenario()))]


def test_a_builder_is_saved_as_it_is_at_that_command() -> None:
    rounds = list(run(parse(scenario())))
    [(path, saved)] = rounds[1].saved
    assert path == "grown.builder"
    assert len(saved.devices) == 9
    assert saved.held(8) == 0
    assert not rounds[0].saved


def test_a_round_is_told_in_swifts_words() -> None:
    first = next(run(parse(scenario())))
    lines = describe(first).splitlines()
    assert lines[0] == "Round 1"
    assert lines[1].startswith("\tRebalance 1: moved 768 replicas, balance is ")
    assert json.loads(json.dumps(facts(first)))["rebalances"][0]["moved"] == 768


def test_a_command_that_cannot_be_carried_out_is_named() -> None:
    rounds = run(parse(scenario(rounds=[ROUNDS[0], [["set_weight", 1, 5], ["remove", 99]]])))
    next(rounds)
    with pytest.raises(RingError, match="round 2, command 2: there is no device 99"):
        next(rounds)


WRONG = [
    ("{", "it is no JSON"),
    ("[" * 100_000, "it is no JSON"),
    ("[]", "a scenario is a JSON object"),
    (scenario(rounds="many"), "rounds must be an array"),
    (scenario(part_power=0), "part_power must be from 1 to"),
    (scenario(part_power=99), "part_power must be from 1 to"),
    (scenario(part_power="eight"), "part_power must be a number, not 'eight'"),
    (scenario(replicas=0.5), "replicas must be from 1 up"),
    (scenario(replicas=None), "replicas must be a number"),
    (scenario(overload=-1), "overload must be from 0 up"),
    (scenario(random_seed="x"), "random_seed must be a number"),
    (json.dumps({name: value for name, value in SCENARIO.items() if name != "overload"}), "overload is missing"),
    (scenario(rounds=[7]), "round 1 must be an array"),
    (scenario(rounds=[[], [["explode", 1]]]), "round 2, command 1: 'explode' is no command: they are add, remove"),
    (scenario(rounds=[[["add", "z1-10.0.0.1:6200/sda"]]]), r'command 1: write it as \["add", "device", "weight"\]'),
    (scenario(rounds=[[["add", "somewhere", 1]]]), "round 1, command 1: 'somewhere' is no device"),
    (scenario(rounds=[[["add", "r1z1-10.0.0.1:6200/sda", -1]]]), "weight must be from 0 up, not -1"),
    (scenario(rounds=[[["remove", "sda"]]]), "device id must be a number, not 'sda'"),
    (scenario(rounds=[[["set_weight", 0, "heavy"]]]), "weight must be a number, not 'heavy'"),
    (scenario(rounds=[[["save"]]]), "write it as"),
]


@pytest.mark.parametrize(("text", "sentence"), WRONG)
def test_what_is_no_scenario_is_refused_with_its_place(text: str, sentence: str) -> None:
    with pytest.raises(BadScenario, match=sentence):
        parse(text)


@pytest.mark.parametrize("text", [text for text, _sentence in WRONG])
def test_swift_refuses_what_is_refused_here(text: str) -> None:
    """Or dies of it."""
    analyzer = pytest.importorskip("swift.cli.ring_builder_analyzer")
    with pytest.raises((ValueError, TypeError, RecursionError)):
        analyzer.parse_scenario(text)


def test_swift_takes_what_is_taken_here() -> None:
    analyzer = pytest.importorskip("swift.cli.ring_builder_analyzer")
    assert [len(commands) for commands in analyzer.parse_scenario(scenario())["rounds"]] == [8, 2, 2, 1]
