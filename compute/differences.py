"""What differs between a service's database and what there is of what it knows: for its audit, and `holdfast doctor`.

All sides are looked at while they change, so each difference is looked at a second time before it is told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Difference:
    """One of them, in words for the operator."""

    subject: str
    words: str
    mend: Callable[[], None] | None = field(default=None, compare=False)  # None: somebody has to decide

    def __str__(self) -> str:
        return f"{self.subject}: {self.words}"


def lasting(look: Callable[[], Sequence[Difference]]) -> list[Difference]:
    """Return what differs, and still differs when it is looked at again."""
    once = look()
    if not once:
        return []
    return [each for each in look() if each in once]


def mend(found: Sequence[Difference]) -> list[Difference]:
    """Mend what can be mended; return what could not."""
    for each in found:
        if each.mend is not None:
            each.mend()
    return [each for each in found if each.mend is None]
