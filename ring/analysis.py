"""Scenarios for the builder: what operators do over the years, in rounds, and how well it fares.

A scenario is a JSON object as of OpenStack Swift's swift-ring-builder-analyzer:
`{"part_power": 12, "replicas": 3, "overload": 0.1, "random_seed": 7, "rounds": [[COMMAND, …], …]}`. A command is
`["add", "r1z2-10.0.0.1:6200/sda", 8000]`, `["remove", 3]`, `["set_weight", 3, 4000]` or `["save", "file.builder"]`.
Each round carries out its commands and rebalances until that changes little more.

Pure: what a round saves is handed out, and the time is made up.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ring.builder import PART_POWER_LIMIT, WORST_BALANCE, Report, RingBuilder
from ring.device import Device
from ring.errors import RingError
from ring.notation import parse_add

_NOW_S = 1_000_000_000  # of every rebalance: all of them may move whatever they like
_SETTLED_PERCENT = 1.0  # of balance: a rebalance that changes it by less is the last of its round
_REBALANCES = 100  # of a round, at most


class BadScenario(RingError):
    """What was given is no scenario: correct it."""


@dataclass(frozen=True, slots=True)
class Add:
    """A device comes; its id is the next that is free."""

    device: Device

    def apply(self, builder: RingBuilder) -> RingBuilder:
        """Return the builder with the device."""
        return builder.add(replace(self.device, id=builder.free_id()))


@dataclass(frozen=True, slots=True)
class Remove:
    """A device goes."""

    device_id: int

    def apply(self, builder: RingBuilder) -> RingBuilder:
        """Return the builder about to lose the device."""
        return builder.remove(self.device_id)


@dataclass(frozen=True, slots=True)
class SetWeight:
    """A device gets another weight."""

    device_id: int
    weight: float

    def apply(self, builder: RingBuilder) -> RingBuilder:
        """Return the builder with that weight."""
        return builder.set_weight(self.device_id, self.weight)


@dataclass(frozen=True, slots=True)
class Save:
    """The builder, as it is at this command, is to be kept in a file."""

    path: str


Command = Add | Remove | SetWeight | Save


@dataclass(frozen=True, slots=True)
class Scenario:
    """A history of commands."""

    part_power: int
    replicas: float
    overload: float
    random_seed: int
    rounds: tuple[tuple[Command, ...], ...]


@dataclass(frozen=True, slots=True)
class Round:
    """What came of one round."""

    number: int  # from 1
    rebalances: tuple[Report, ...]
    saved: tuple[tuple[str, RingBuilder], ...]  # path and what is to be written there, in order


def parse(text: str | bytes) -> Scenario:
    """Return the scenario in a JSON `text`. Raise BadScenario, saying where."""
    try:
        scenario = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadScenario(f"it is no JSON: {error}") from error
    if not isinstance(scenario, dict):
        raise BadScenario("a scenario is a JSON object")
    rounds = scenario.get("rounds")
    if not isinstance(rounds, list):
        raise BadScenario("rounds must be an array of arrays of commands")
    return Scenario(
        part_power=_whole(scenario, "part_power", 1, PART_POWER_LIMIT),
        replicas=_number(scenario, "replicas", 1),
        overload=_number(scenario, "overload", 0),
        random_seed=_whole(scenario, "random_seed", 0),
        rounds=tuple(_round(number, commands) for number, commands in enumerate(rounds, 1)),
    )


def _number(fields: Mapping[str, Any], name: str, least: float, most: float = math.inf) -> float:
    """Return a field that is a number, or text of one, as Swift takes it too."""
    if name not in fields:
        raise BadScenario(f"{name} is missing")
    try:
        number = float(fields[name])
    except (TypeError, ValueError, OverflowError):
        raise BadScenario(f"{name} must be a number, not {fields[name]!r}") from None
    if not least <= number <= most or not math.isfinite(number):
        limits = f"from {least:g} up" if math.isinf(most) else f"from {least:g} to {most:g}"
        raise BadScenario(f"{name} must be {limits}, not {fields[name]!r}")
    return number


def _whole(fields: Mapping[str, Any], name: str, least: int, most: float = math.inf) -> int:
    number = _number(fields, name, least, most)
    if not number.is_integer():
        raise BadScenario(f"{name} must be a whole number, not {fields[name]!r}")
    return int(number)


def _round(number: int, commands: Any) -> tuple[Command, ...]:
    if not isinstance(commands, list):
        raise BadScenario(f"round {number} must be an array of commands")
    parsed = []
    for index, command in enumerate(commands, 1):
        try:
            parsed.append(_command(command))
        except RingError as error:
            raise BadScenario(f"round {number}, command {index}: {error}") from error
    return tuple(parsed)


def _command(command: Any) -> Command:
    if not isinstance(command, list) or not command or not isinstance(command[0], str):
        raise BadScenario(f"a command is an array that begins with its name, not {command!r}")
    name, *arguments = command
    if name not in _COMMANDS:
        raise BadScenario(f"{name!r} is no command: they are {', '.join(_COMMANDS)}")
    names, parse_arguments = _COMMANDS[name]
    if len(arguments) != len(names):
        raise BadScenario(f"write it as {json.dumps([name, *names])}, not {json.dumps(command)}")
    return parse_arguments(dict(zip(names, arguments, strict=True)))


def _add(arguments: Mapping[str, Any]) -> Command:
    device, _region_given = parse_add(str(arguments["device"]), _number(arguments, "weight", 0))
    return Add(device)


def _remove(arguments: Mapping[str, Any]) -> Command:
    return Remove(_whole(arguments, "device id", 0))


def _set_weight(arguments: Mapping[str, Any]) -> Command:
    return SetWeight(_whole(arguments, "device id", 0), _number(arguments, "weight", 0))


def _save(arguments: Mapping[str, Any]) -> Command:
    return Save(str(arguments["path"]))


_COMMANDS: Mapping[str, tuple[tuple[str, ...], Callable[[Mapping[str, Any]], Command]]] = {
    "add": (("device", "weight"), _add),
    "remove": (("device id",), _remove),
    "set_weight": (("device id", "weight"), _set_weight),
    "save": (("path",), _save),
}


def run(scenario: Scenario) -> Iterator[Round]:
    """Yield what comes of each round, as soon as it is over. Raise RingError when one cannot be carried out."""
    builder = RingBuilder.create(scenario.part_power, scenario.replicas).set_overload(scenario.overload)
    for number, commands in enumerate(scenario.rounds, 1):
        saved = []
        for index, command in enumerate(commands, 1):
            if isinstance(command, Save):
                saved.append((command.path, builder))
                continue
            try:
                builder = command.apply(builder)
            except RingError as error:
                raise RingError(f"round {number}, command {index}: {error}") from error
        builder, reports = _settle(builder, scenario.random_seed)
        yield Round(number, reports, tuple(saved))


def _settle(builder: RingBuilder, seed: int) -> tuple[RingBuilder, tuple[Report, ...]]:
    reports: list[Report] = []
    while len(reports) < _REBALANCES and not _is_settled(reports):
        builder, report = builder.pretend_min_part_hours_passed().rebalance(seed, _NOW_S)
        reports.append(report)
    return builder.pretend_min_part_hours_passed(), tuple(reports)


def _is_settled(reports: Sequence[Report]) -> bool:
    """Tell whether the last rebalance did nothing, or nearly nothing for balance, besides the first."""
    if len(reports) < 2:
        return False
    before, last = reports[-2:]
    if last.moved == 0 and last.removed == 0:
        return True
    is_stuck = before.balance == last.balance == WORST_BALANCE
    return abs(last.balance - before.balance) < _SETTLED_PERCENT and not is_stuck


def describe(of: Round) -> str:
    """Return a round for people."""
    lines = [f"Round {of.number}"]
    for number, report in enumerate(of.rebalances, 1):
        lines.append(
            f"\tRebalance {number}: moved {report.moved} replicas, balance is {report.balance:.6f}, "
            f"dispersion is {report.dispersion:.6f}, {report.removed} removed devices"
        )
    return "\n".join(lines)


def facts(of: Round) -> dict[str, Any]:
    """Return a round for programs."""
    rebalances = [asdict(report) for report in of.rebalances]
    return {"round": of.number, "rebalances": rebalances, "saved": [path for path, _builder in of.saved]}
