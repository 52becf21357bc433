"""How long a call takes, as far as that is known: whether it is better made at once than handed to a thread. Pure.

A trip to a thread and back costs more than a sync of a few KiB does on a fast device (measured: 250 us of CPU time and
as much delay, for a sync of 160 us); on a slow device the loop must not stand still for it. A call that takes a little
longer counts as much as one that is faster; one that is really slow is believed at once, and forgotten slowly.
"""

BRIEF_S = 0.002  # longer: the loop stands still for longer; shorter: more trips
SLOW_S = 5 * BRIEF_S
_WEIGHT = 0.1  # of a call that is not slow
_UNKNOWN_S = 0.01  # before the first is measured: some are, in a thread


class Pace:
    """Of one kind of call."""

    __slots__ = ("expected_s",)

    def __init__(self) -> None:
        self.expected_s = _UNKNOWN_S

    def __repr__(self) -> str:
        return f"Pace({self.expected_s * 1e6:.0f} us)"

    @property
    def is_brief(self) -> bool:
        """Tell whether the next call will be short, in all likelihood."""
        return self.expected_s < BRIEF_S

    def note(self, took_s: float) -> None:
        """Take note of how long a call took."""
        slow = took_s > max(SLOW_S, self.expected_s)
        self.expected_s = took_s if slow else self.expected_s + _WEIGHT * (took_s - self.expected_s)
