"""The commands that place replicas, and check how they are placed."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from optparse import Option

from ring.builder import WORST_BALANCE, Report, RingBuilder
from ring.cli.call import Call, Exit, Outcome
from ring.cli.options import FORMAT_VERSION, Parser, format_warnings
from ring.cli.selection import refuse_while_increasing
from ring.cli.table import duration, table

_WORTHWHILE = 1.0  # percent by which balance or dispersion must change if no device did
_GOOD_BALANCE = 5.0  # percent
_REBALANCE = Parser(
    Option("-f", "--force", action="store_true"),
    Option("-s", "--seed"),
    Option("-d", "--debug", action="store_true"),
    FORMAT_VERSION,
)


@dataclass(frozen=True, slots=True)
class Words:
    """The words after `rebalance`."""

    seed: str | None
    force: bool
    debug: bool
    warnings: tuple[str, ...]


def rebalance(builder: RingBuilder, call: Call) -> Outcome:
    """Place the replicas as weights and failure domains ask for, and write builder and ring."""
    asked = _parse(call.words)
    seed = call.seed(asked.seed)
    refuse_while_increasing(builder, "rebalancing")
    before = builder.balance()
    placed, report = builder.rebalance(seed, call.now_s, call.progress)
    facts = dataclasses.asdict(report) | {"seed": seed, "version": builder.version, "saved": False}
    reason = None if asked.force else _reason_to_leave(builder, before, placed, report, call.now_s)
    if reason is not None:
        return Outcome(f"Nothing is changed: {reason}.", facts, Exit.WARNING)
    placed.validate()
    warning = _shortcoming(placed, report)
    return Outcome(
        _rebalanced(builder, placed, report, asked),
        facts | {"version": placed.version, "saved": True},
        Exit.WARNING if warning else Exit.SUCCESS,
        warnings=(*asked.warnings, *filter(None, [warning])),
        builder=placed,
        ring=placed.to_ring(),
        backed_up=True,
    )


def validate(builder: RingBuilder, _call: Call) -> Outcome:
    """Check that the placement can be used."""
    builder.validate()
    return Outcome("The placement is valid.", {"valid": True})


def _parse(words: Sequence[str]) -> Words:
    options, rest = _REBALANCE.parse_args(list(words))
    seed = options.seed or (rest[0] if rest else None)
    return Words(seed, bool(options.force), bool(options.debug), format_warnings(options.format_version))


def _reason_to_leave(
    builder: RingBuilder, balance: float, placed: RingBuilder, report: Report, now_s: float
) -> str | None:
    """Return why the new placement is not worth writing, if it is not; `balance` is the one before it."""
    if not (report.moved or report.removed or _slot_count(placed) != _slot_count(builder)):
        left_s = builder.seconds_left(now_s)
        if left_s:
            return (
                f"partitions rest for {builder.min_part_hours} hours after a move (min_part_hours), "
                f"and the last are free in {duration(left_s)}"
            )
        return "replicas are where they should be"
    hopeless = balance == report.balance == WORST_BALANCE  # it may be better all the same
    balance_changed = hopeless or abs(balance - report.balance) >= _WORTHWHILE
    dispersion_changed = abs(builder.dispersion - report.dispersion) >= _WORTHWHILE
    if builder.devices_changed or balance_changed or dispersion_changed:
        return None
    return f"balance and dispersion would change by less than {_WORTHWHILE:g} %; --force does it"


def _shortcoming(placed: RingBuilder, report: Report) -> str | None:
    """Return what is left to be desired of a placement, and what helps."""
    if report.dispersion > 0:
        return (
            f"{report.dispersion:.2f} % of the replicas are not spread as well as they might be: change weights, or "
            "raise the overload, as the command dispersion says"
        )
    if report.balance > _GOOD_BALANCE and report.balance / 100 > placed.overload:
        return (
            f"balance is {report.balance:.2f} %: give this ring to all nodes, wait for {placed.min_part_hours} hours, "
            "then rebalance again"
        )
    return None


def _rebalanced(builder: RingBuilder, placed: RingBuilder, report: Report, asked: Words) -> str:
    share = 100 * report.moved / _slot_count(placed)
    text = (
        f"Moved {report.moved} replicas, {share:.2f} % of all. "
        f"Balance is {report.balance:.2f} % now, dispersion {report.dispersion:.2f} %."
    )
    if report.removed:
        text += f" Removed {report.removed} devices."
    return f"{text}\n{_held_before_and_after(builder, placed)}" if asked.debug else text


def _held_before_and_after(builder: RingBuilder, placed: RingBuilder) -> str:
    before, after = builder.held_counts(), placed.held_counts()
    rows = [
        (device.location, f"{before[device.id]}", f"{after[device.id]}" if placed.devices[device.id] else "removed")
        for device in builder.devices
        if device is not None
    ]
    return table(("device", "before", "after"), rows, frozenset({"device"}))


def _slot_count(builder: RingBuilder) -> int:
    return sum(map(len, builder.rows or ()))
