"""A plan as text for people and as facts for programs. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ring.exposure import FAILURE_DOMAINS, Stages
from ring.moves import Flow
from ring.plan import Plan
from ring.topology import DEVICE, NODE, NOWHERE, REGION, ZONE, TierName

_DEPTH_NAMES = {REGION: "region", ZONE: "zone", NODE: "node", DEVICE: "device"}
_LISTED = 10  # lines of a table, or names in a sentence, before it is cut
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def facts(plan: Plan) -> dict[str, Any]:
    """Return the whole plan for programs."""
    exposure, bottleneck, quality = plan.exposure, plan.bottleneck, plan.quality
    return {
        "replicas": plan.replica_count,
        "moved": len(plan.moves),
        "dropped": plan.moves.dropped,
        "bytes": plan.bytes,
        "bytes_per_s": plan.bytes_per_s,
        "duration_s": round(plan.duration_s, 1),
        "bottleneck": None if bottleneck is None else bottleneck.id,
        "lost": [device.id for device in plan.lost],
        "quality": quality and {"before": asdict(quality[0]), "after": asdict(quality[1])},
        "devices": list(_loads(plan)),
        "flows": {name: [_flow(plan, flow) for flow in plan.flows(depth)] for depth, name in _DEPTH_NAMES.items()},
        "meanwhile": {
            "readable": {str(count): partitions for count, partitions in exposure.readable.items()},
            "below_quorum": exposure.below_quorum,
            "in_one": {_DEPTH_NAMES[depth]: asdict(stages) for depth, stages in exposure.in_one.items()},
            "at_fault": {_label(plan, tier): asdict(stages) for tier, stages in exposure.at_fault.items()},
        },
    }


def _loads(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield what each device that has to do with the plan gives, takes, reads and writes."""
    moves, leaf_count = plan.moves, len(plan.change.lost)
    gives = np.bincount(moves.sources[moves.sources != NOWHERE], minlength=leaf_count)
    takes = np.bincount(moves.targets, minlength=leaf_count)
    read, written = plan.copying.read, plan.copying.written
    for leaf in np.flatnonzero((gives > 0) | (takes > 0) | (read > 0)).tolist():
        device = plan.change.device(leaf)
        yield {
            "id": device.id,
            "device": device.location,
            "gives": int(gives[leaf]),
            "takes": int(takes[leaf]),
            "read": round(float(read[leaf])),
            "written": round(float(written[leaf])),
        }


def _flow(plan: Plan, flow: Flow) -> dict[str, Any]:
    return {
        "from": None if flow.source is None else _label(plan, flow.source),
        "to": _label(plan, flow.target),
        "replicas": flow.replicas,
        "bytes": flow.bytes,
    }


def _label(plan: Plan, tier: TierName) -> str:
    """Return a tier as r1, r1z2 or r1z2-10.0.0.1, or as d3 r1z2-10.0.0.1:6200/sdb1."""
    if len(tier) == DEVICE:
        device = plan.change.devices[int(tier[-1])]
        assert device is not None, "tiers are of devices"
        return f"d{device.id} {device.location}"
    return "".join(f"{sign}{part}" for sign, part in zip(("r", "z", "-"), tier, strict=False))


def describe(plan: Plan) -> str:
    """Return the plan for people: what moves, how long it takes, from where to where, and what is at risk."""
    paragraphs = [_summary(plan), *_flow_tables(plan), *_risks(plan)]
    return "\n\n".join("\n".join(lines) for lines in paragraphs)


def _summary(plan: Plan) -> Iterator[str]:
    moved = len(plan.moves)
    part = 100 * moved / max(plan.replica_count, 1)
    size = f", {bytes_text(plan.bytes)}" if plan.bytes else ""
    yield f"{moved:,} of {plan.replica_count:,} replicas move ({part:.2f} %){size}."
    if plan.moves.dropped:
        yield f"{plan.moves.dropped:,} replicas are given up."
    if plan.lost:
        names = _some([f"d{device.id}" for device in plan.lost])
        yield f"What was on {names} is copied from the replicas that are left."
    if plan.bottleneck is not None:
        yield (
            f"It takes about {duration_text(plan.duration_s)} if a device copies {bytes_text(plan.bytes_per_s)}/s; "
            f"d{plan.bottleneck.id} {plan.bottleneck.location} has most to do."
        )
    if plan.quality is not None:
        before, after = plan.quality
        yield f"Balance: {before.balance:.2f} % now, {after.balance:.2f} % then."
        yield f"Dispersion: {before.dispersion:.2f} % now, {after.dispersion:.2f} % then."


def _flow_tables(plan: Plan) -> Iterator[list[str]]:
    columns = 4 if plan.bytes else 3
    for depth in (*_domains(plan), DEVICE):
        rows = [
            (
                "new" if flow.source is None else _label(plan, flow.source),
                _label(plan, flow.target),
                f"{flow.replicas:,}",
                bytes_text(flow.bytes),
            )[:columns]
            for flow in plan.flows(depth)
        ]
        if rows:
            name = _DEPTH_NAMES[depth]
            yield _table((f"from {name}", f"to {name}", "replicas", "bytes")[:columns], rows)


def _domains(plan: Plan) -> list[int]:
    """Return the depths at which there is more than one failure domain: others tell nothing."""
    return [depth for depth in FAILURE_DOMAINS if plan.change.topology.tier_count(depth) > 1]


def _risks(plan: Plan) -> Iterator[list[str]]:
    """Yield what is thin while the old placement is left and the new one is not yet there."""
    exposure = plan.exposure
    if not len(plan.moves) or not exposure.readable:
        return
    rows = [(str(count), f"{partitions:,}") for count, partitions in sorted(exposure.readable.items(), reverse=True)]
    yield [*_table(("replicas that can be read meanwhile", "partitions"), rows), *_verdict(plan)]
    domains = _domains(plan)
    in_one = {_DEPTH_NAMES[depth]: exposure.in_one[depth] for depth in domains}
    yield from _stages_table("all replicas of a partition in one", in_one)
    at_fault = [(_label(plan, tier), stages) for tier, stages in exposure.at_fault.items() if len(tier) in domains]
    at_fault.sort(key=lambda fault: -fault[1].meanwhile)
    yield from _stages_table("partitions below quorum if it fails", dict(at_fault))


def _verdict(plan: Plan) -> Iterator[str]:
    exposure = plan.exposure
    domains = [_DEPTH_NAMES[depth] for depth in _domains(plan)]
    if gone := exposure.readable.get(0, 0):
        yield f"No replica is left of {gone:,} partitions: bring a lost device back before you go on."
    if exposure.below_quorum:
        yield f"{exposure.below_quorum:,} partitions are below their quorum until they are copied."
    elif not domains or any(len(tier) in _domains(plan) and of.meanwhile for tier, of in exposure.at_fault.items()):
        yield "Every partition keeps its quorum, as long as nothing else fails."
    else:
        yield f"Every partition keeps its quorum, whichever {' or '.join(domains)} fails."


def _stages_table(title: str, stages: Mapping[str, Stages]) -> Iterator[list[str]]:
    rows = [
        (name, f"{of.before:,}", f"{of.meanwhile:,}", f"{of.after:,}")
        for name, of in stages.items()
        if of != Stages(0, 0, 0)
    ]
    if rows:
        yield _table((title, "now", "meanwhile", "then"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; of a long one, only the first rows. Columns of numbers are aligned to the right."""
    columns = zip(*[head, *rows[:_LISTED]], strict=True)
    lines = zip(*map(_aligned, columns), strict=True)
    more = [f"and {len(rows) - _LISTED:,} more"] if len(rows) > _LISTED else []
    return ["  ".join(line).rstrip() for line in lines] + more


def _aligned(column: Sequence[str]) -> list[str]:
    width = max(map(len, column))
    pad = str.rjust if column[1][0].isdigit() else str.ljust
    return [pad(cell, width) for cell in column]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def bytes_text(size: float) -> str:
    """Return `size` as people write it: 1.5 GiB."""
    power = 0
    while size >= 1023.95 and power < len(_UNITS) - 1:  # beyond, it would be rounded to 1024.0
        size /= 1024
        power += 1
    return f"{size:.1f} {_UNITS[power]}" if power else f"{size:.0f} B"


def duration_text(duration_s: float) -> str:
    """Return `duration_s` as people say it: 3 h 20 min."""
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
