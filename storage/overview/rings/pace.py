"""How far a change is, and how long it will take. Pure; time is an argument."""

from dataclasses import dataclass

from storage.rings.conductor import Situation
from storage.rings.document import Stage

_LEAST_S = 3.0  # before this a rate says nothing


@dataclass(frozen=True, slots=True)
class Pace:
    """Of the copying, which is what takes time."""

    done_ratio: float  # of the partitions that must be copied
    bytes_copied: int
    objects_copied: int
    left_s: float | None  # None: it cannot be told yet


def pace(situation: Situation) -> Pace:
    """Return how far a change is. The device that takes longest decides how long it takes."""
    stage = situation.document.stage
    if stage is not Stage.JOINING:
        return Pace(1.0, *_copied(situation), 0.0)
    done = total = 0
    longest: float | None = 0.0
    for device_id in situation.moves.joiners:
        own, own_total, left_s = _device(situation, device_id)
        done, total = done + own, total + own_total
        longest = None if longest is None or left_s is None else max(longest, left_s)
    return Pace(done / total if total else 1.0, *_copied(situation), longest)


def _device(situation: Situation, device_id: int) -> tuple[int, int, float | None]:
    """Return what a device has copied, of how much, and how long it still takes."""
    total = situation.moves.partition_count(device_id)
    progress = situation.progress.get(device_id)
    if progress is None or progress.version != situation.document.version:
        return 0, total, None
    done = min(progress.partitions_done, total)
    elapsed_s = (situation.now_us - progress.started_us) / 1e6
    if done >= total:
        return total, total, 0.0
    if not done or elapsed_s < _LEAST_S:
        return done, total, None
    return done, total, elapsed_s / done * (total - done)


def _copied(situation: Situation) -> tuple[int, int]:
    known = [situation.progress[each] for each in situation.moves.joiners if each in situation.progress]
    return sum(progress.bytes for progress in known), sum(progress.objects for progress in known)
