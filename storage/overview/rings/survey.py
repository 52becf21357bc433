"""How the rings of a cluster are: what is in force, what is under way, who works by what. Asked, not remembered.

Without numpy: what only builders know (balance, dispersion) is added by `holdfast ring`.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from cluster.clock import wall_us
from ring.lookup import Ring
from storage.overview.rings.pace import pace
from storage.overview.rings.reach import holdings
from storage.overview.words import bytes_shown, duration
from storage.rings.conductor import Situation, waiting_for
from storage.rings.document import RingDocument, Stage
from storage.rings.moves import moves_of
from storage.rings.reports import UseReport
from storage.rings.store import RingStore

_BAR_WIDTH = 30
_ANNOUNCED = "the last that work by the stage before are being waited for"
_STAGES = {
    Stage.STABLE: "nothing is under way",
    Stage.JOINING: "data are copied to where they shall be; writes go to the old places and the new, reads to the old",
    Stage.SERVING: "the new places have all data and are read from; writes go to the old places as well",
}


class Role(Enum):
    """What a device is to the rings. The value is shown to people."""

    USED = "in use"
    JOINING = "joining"  # it is to hold data, and serves none yet
    DRAINING = "draining"  # it has weight 0 and still holds data
    DRAINED = "drained"  # it has weight 0 and holds nothing
    LEAVING = "leaving"  # in the rings that come it is no more
    UNUSED = "unused"  # in the configuration, and in no ring
    MISSING = "missing"  # in a ring, and not in the configuration


@dataclass(frozen=True, slots=True)
class Share:
    """What a device has in the rings: those that come, while there is a change, and those in force."""

    weight: float
    wanted_ratio: float  # of all replicas, as weights say
    coming_ratio: float  # of all replicas, when the change is over
    held_ratio: float  # now
    leaving: bool = False


def situation_of(store: RingStore) -> Situation:
    """Return all that there is to know of the change under way. Raise RingsError."""
    document = store.document()
    rings = store.rings_of(document)
    return Situation(document, moves_of(rings.current, rings.target), store.uses(), store.progress(), wall_us())


def stage_in_words(document: RingDocument) -> str:
    """Return how far a change is."""
    if document.enforced:
        return _STAGES[document.stage]
    if document.stage is Stage.STABLE:
        return f"the change is through; {_ANNOUNCED}"
    return f"{_STAGES[document.stage]}; {_ANNOUNCED}"


def change_facts(situation: Situation, down: Collection[int]) -> dict[str, Any] | None:
    """Return the change under way, None when there is none."""
    document = situation.document
    if document.settled:
        return None
    how_far = pace(situation)
    return {
        "note": document.note,
        "stage": document.stage.value,
        "enforced": document.enforced,
        "stage_in_words": stage_in_words(document),
        "started": document.started_us / 1e6,
        "done_ratio": round(how_far.done_ratio, 4),
        "bytes_copied": how_far.bytes_copied,
        "objects_copied": how_far.objects_copied,
        "left_s": None if how_far.left_s is None else round(how_far.left_s, 1),
        "waiting_for": waiting_for(situation, down),
    }


def progress_line(facts: Mapping[str, Any]) -> str:
    """Return how far the change of `change_facts` is, in one line."""
    ratio = facts["done_ratio"]
    filled = int(ratio * _BAR_WIDTH)
    bar = "#" * filled + "-" * (_BAR_WIDTH - filled)
    copied = bytes_shown(facts["bytes_copied"])
    if facts["stage"] != Stage.JOINING.value:
        rest = "copied; going over to the new places"
    elif facts["left_s"] is None:
        rest = next(iter(facts["waiting_for"]), "beginning")
    else:
        rest = f"about {duration(facts['left_s'])} left"
    return f"[{bar}] {ratio:4.0%}  {copied}  {rest}"


def use_facts(document: RingDocument, uses: Mapping[str, UseReport], expected: Sequence[str]) -> list[dict[str, Any]]:
    """Return which version each of the `expected` processes uses."""
    return [_use(document, name, uses.get(name)) for name in expected]


def _use(document: RingDocument, name: str, use: UseReport | None) -> dict[str, Any]:
    if use is None:
        return {"process": name, "newest": None, "oldest": None, "behind": None, "at": None}
    return {
        "process": name,
        "newest": use.newest,
        "oldest": use.oldest,
        "behind": max(0, document.version - use.oldest),
        "at": use.at_us / 1e6,
    }


def use_lines(uses: Sequence[Mapping[str, Any]], version: int) -> Iterator[str]:
    """Yield who works by `version`, and who does not."""
    current = [use["process"] for use in uses if use["behind"] == 0]
    if len(current) == len(uses):
        yield f"All {len(uses)} processes work by version {version}."
        return
    if current:
        yield f"By version {version} work {', '.join(current)}."
    for use in uses:
        if use["behind"]:
            yield f"{use['process']} works by version {use['oldest']}, {use['behind']} behind."
        elif use["behind"] is None:
            yield f"{use['process']} has not reported a version."


def shares(store: RingStore, document: RingDocument) -> dict[int, Share]:
    """Return what the devices of all rings have, by id. Raise RingsError."""
    rings = store.rings_of(document)
    now, coming = _held(rings.current), _held(rings.target or rings.current)
    weights = _weights(rings.target or rings.current)
    all_weight = sum(weights.values())
    return {
        device_id: Share(
            weight=weights.get(device_id, 0.0),
            wanted_ratio=weights.get(device_id, 0.0) / all_weight if all_weight else 0.0,
            coming_ratio=coming[device_id] / coming.total(),
            held_ratio=now[device_id] / now.total(),
            leaving=device_id not in weights,
        )
        for device_id in sorted(_weights(rings.current).keys() | weights.keys())
    }


def _held(rings: Mapping[str, Ring]) -> Counter[int]:
    return sum((holdings(ring) for ring in rings.values()), Counter())


def _weights(rings: Mapping[str, Ring]) -> dict[int, float]:
    return {device.id: device.weight for ring in rings.values() for device in ring.devices if device is not None}


def role(share: Share | None, is_configured: bool) -> Role:
    """Return what a device is."""
    if share is None:
        return Role.UNUSED
    if not is_configured:
        return Role.MISSING
    if share.leaving:
        return Role.LEAVING
    if share.weight == 0:
        return Role.DRAINING if share.held_ratio or share.coming_ratio else Role.DRAINED
    return Role.JOINING if share.coming_ratio and not share.held_ratio else Role.USED


def share_shown(what: Role, share: Share | None) -> str:
    """Return what a device has, in short."""
    if share is None:
        return what.value
    held = f"{share.held_ratio:.1%} of the data"
    if share.coming_ratio != share.held_ratio:
        held += f", {share.coming_ratio:.1%} to come"
    prefix = "" if what is Role.USED else f"{what.value}, "
    return what.value if what is Role.DRAINED else f"{prefix}weight {share.weight:g}, {held}"
