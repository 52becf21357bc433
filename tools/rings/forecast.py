"""What a change of all rings would do, told before it begins. Pure.

Objects are what there is to copy; containers and accounts are small, and their rings are told in a line.
"""

from collections.abc import Collection
from typing import Any

from ring.builder import RingBuilder
from ring.plan import Plan, Usage, plan
from ring.plan_report import describe, facts
from storage.rings.document import OBJECT
from tools.rings.builders import Builders


def forecast(
    before: Builders, after: Builders, usage: Usage, down: Collection[int]
) -> tuple[str, dict[str, Any]]:
    """Return what it means to go from `before` to `after`, for people and for programs. Raise RingError.

    `usage` is of objects; `down`: devices that cannot be read.
    """
    plans = {name: _plan(before[name], after[name], usage if name == OBJECT else Usage(), down) for name in before}
    ordered = sorted(plans, key=lambda name: (name != OBJECT, name))
    main, *others = ordered
    text = "\n".join([f"Objects: {describe(plans[main])}", "", *(_line(name, plans[name]) for name in others)])
    return text, {name: facts(plans[name]) for name in ordered}


def _plan(before: RingBuilder, after: RingBuilder, usage: Usage, down: Collection[int]) -> Plan:
    present = {device.id for device in before.devices if device is not None}
    return plan(before, after, usage, lost=present.intersection(down))


def _line(name: str, plan: Plan) -> str:
    return f"Ring {name}: {len(plan.moves):,} replicas move."
