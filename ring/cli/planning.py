"""The commands that tell what placing would do, and change nothing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from optparse import Option

from ring import analysis, plan_report
from ring.analysis import BadScenario
from ring.builder import RingBuilder
from ring.cli.call import Call, Outcome
from ring.cli.options import Misuse, Parser
from ring.cli.selection import refuse_while_increasing
from ring.errors import RingError
from ring.formats import Format, dump_builder
from ring.notation import parse_whole
from ring.plan import Usage, plan

_UNITS = ("", *"KMGTPE")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTPE]?)(i?)B?", re.IGNORECASE)
_PLAN = Parser(
    Option("-s", "--seed"),
    Option("-b", "--bytes-used", action="append"),
    Option("--bytes-per-s"),
)
_ANALYZE = Parser(Option("-c", "--check", action="store_true"))


@dataclass(frozen=True, slots=True)
class PlanWords:
    """The words after `plan`."""

    seed: str | None
    usage: Usage  # of the devices


@dataclass(frozen=True, slots=True)
class AnalyzeWords:
    """The words after `analyze`."""

    path: str | None  # of the scenario
    check: bool  # and no more


def plan_rebalance(builder: RingBuilder, call: Call) -> Outcome:
    """Tell what a rebalance would move, how much that is and what would be thin meanwhile; change nothing."""
    asked = _parse_plan(call.words)
    seed = call.seed(asked.seed)
    refuse_while_increasing(builder, "rebalancing")
    placed, _report = builder.rebalance(seed, call.now_s, call.progress)
    planned = plan(builder, placed, asked.usage)
    text = f"{plan_report.describe(planned)}\n\nTo do just this, if nothing else is changed: rebalance --seed {seed}"
    return Outcome(text, plan_report.facts(planned) | {"seed": seed})


def analyze(call: Call) -> Outcome:
    """Carry out a scenario of changes on a builder that is made for it, and tell how each rebalance goes."""
    asked = _parse_analyze(call.words)
    path = asked.path or call.builder_path
    try:
        scenario = analysis.parse(call.files.text(path))
    except BadScenario as error:
        raise RingError(f"{path} is no scenario: {error}") from error
    if asked.check:
        return Outcome(f"{path} is a scenario of {len(scenario.rounds)} rounds.", {"rounds": len(scenario.rounds)})
    rounds = list(analysis.run(scenario))
    saved = {path: dump_builder(builder, Format.SWIFT) for each in rounds for path, builder in each.saved}
    text = "\n".join(map(analysis.describe, rounds))
    return Outcome(text, {"rounds": list(map(analysis.facts, rounds))}, files=saved)


def parse_size(text: str) -> int:
    """Return the number of bytes that is written as `text`: 512, 10G, 10GB or 4.5TiB. Raise RingError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise RingError(f"{text!r} is no number of bytes: write it as 1000000, 512MiB or 4TB")
    number, letter, binary = match.groups()
    base = 1024 if binary else 1000
    return int(float(number) * base ** _UNITS.index(letter.upper()))


def _parse_plan(words: Sequence[str]) -> PlanWords:
    options, rest = _PLAN.parse_args(list(words))
    total, of_devices = 0, {}
    for used in options.bytes_used or ():
        device_id, named, size = used.rpartition("=")
        if named:
            of_devices[parse_whole(device_id.removeprefix("d"), "a device id")] = parse_size(size)
        else:
            total = parse_size(size)
    if total and of_devices:
        raise Misuse("--bytes-used is given for all devices together or for each, not both")
    usage = Usage(of_devices or total)
    if options.bytes_per_s is not None:
        usage = replace(usage, bytes_per_s=parse_size(options.bytes_per_s))
    return PlanWords(options.seed or (rest[0] if rest else None), usage)


def _parse_analyze(words: Sequence[str]) -> AnalyzeWords:
    options, rest = _ANALYZE.parse_args(list(words))
    return AnalyzeWords(rest[0] if rest else None, bool(options.check))
