"""The command that tells how well the replicas of partitions are spread over failure domains."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from optparse import Option
from typing import Any

from ring.builder import RingBuilder
from ring.cli.call import Call, Exit, Outcome
from ring.cli.options import Parser
from ring.cli.table import table
from ring.errors import RingError
from ring.topology import DEVICE, TierName

_DISPERSION = Parser(Option("--recalculate", action="store_true"), Option("-v", "--verbose", action="store_true"))


@dataclass(frozen=True, slots=True)
class Words:
    """The words after `dispersion`."""

    pattern: str | None  # that the names of the tiers to look at begin with
    recalculate: bool
    verbose: bool


def dispersion(builder: RingBuilder, call: Call) -> Outcome:
    """Tell how well the replicas of partitions are spread over failure domains; a warning if one has too many."""
    asked = _parse(call.words)
    measured = builder.with_dispersion()
    tiers = _tier_facts(builder, asked.pattern)
    worst = max((tier for tier in tiers if tier["dispersion"]), key=_dispersion, default=None)
    facts = {
        "dispersion": measured.dispersion,
        "balance": builder.balance(),
        "overload": builder.overload,
        "required_overload": builder.required_overload(),
        "worst": worst,
        "tiers": tiers if asked.verbose else [],
    }
    return Outcome(
        text=_text(facts),
        facts=facts,
        exit_code=Exit.WARNING if worst else Exit.SUCCESS,
        builder=dataclasses.replace(measured, version=builder.version + 1) if asked.recalculate else None,
    )


def _parse(words: Sequence[str]) -> Words:
    options, rest = _DISPERSION.parse_args(list(words))
    return Words(rest[0] if rest else None, bool(options.recalculate), bool(options.verbose))


def _text(facts: dict[str, Any]) -> str:
    lines = [
        f"Dispersion {facts['dispersion']:.6f} %, balance {facts['balance']:.6f} %.",
        f"Overload {100 * facts['overload']:.2f} %; {100 * facts['required_overload']:.6f} % would disperse best.",
    ]
    worst = facts["worst"]
    if worst:
        lines.append(f"Worst is {worst['tier']}: {worst['dispersion']:.6f} % of its replicas should be elsewhere.")
    if facts["tiers"]:
        lines.append(_tier_table(facts["tiers"]))
    return "\n".join(lines)


def _tier_facts(builder: RingBuilder, pattern: str | None) -> list[dict[str, Any]]:
    """Return how far off the tiers are whose names match `pattern`, in the order of their places."""
    try:
        wanted = re.compile(pattern or "")
    except re.error as error:
        raise RingError(f"{pattern!r} is no regular expression: {error}") from error
    most, tiers = builder.most_by_tier(), []
    for tier, partitions in sorted(builder.dispersion_graph().items()):
        name, allowed = tier_name(builder, tier), most.get(tier, 0)
        placed = sum(count * times for count, times in enumerate(partitions))
        excess = sum(times * max(0, count - allowed) for count, times in enumerate(partitions))
        if placed and wanted.match(name):
            tiers.append(
                {
                    "tier": name,
                    "placed": placed,
                    "dispersion": 100 * excess / placed,
                    "most": allowed,
                    "partitions": partitions,  # with 0, 1, 2, … replicas there
                }
            )
    return tiers


def tier_name(builder: RingBuilder, tier: TierName) -> str:
    """Return the name of `tier`: r1, r1z2, r1z2-10.0.0.1 or r1z2-10.0.0.1/sdb1."""
    name = "".join(f"{sign}{part}" for sign, part in zip(("r", "z", "-"), tier, strict=False))
    return f"{name}/{builder.device(int(tier[-1])).device}" if len(tier) == DEVICE else name


def _tier_table(tiers: list[dict[str, Any]]) -> str:
    counts = range(len(tiers[0]["partitions"]))
    rows = [
        (
            tier["tier"],
            str(tier["placed"]),
            f"{tier['dispersion']:.2f}",
            str(tier["most"]),
            *map(str, tier["partitions"]),
        )
        for tier in tiers
    ]
    return table(("tier", "replicas", "%", "most", *map(str, counts)), rows, frozenset({"tier"}))


def _dispersion(tier: dict[str, Any]) -> float:
    return float(tier["dispersion"])
