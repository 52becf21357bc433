"""Lets rows of a database in at a rate, for a while: one that is being split must not outgrow the copying. Pure."""

_BURST_S = 0.1  # what was not used for longer than this is not made up for


class Brake:
    """Counts rows against time, which is an argument: seconds of the loop's clock."""

    __slots__ = ("_paid_until", "_rows_per_s", "_until")

    def __init__(self, rows_per_s: int, until: float) -> None:
        self._rows_per_s = rows_per_s
        self._until = until
        self._paid_until = 0.0

    def __repr__(self) -> str:
        return f"Brake({self._rows_per_s} rows/s until {self._until:.1f})"

    def holds(self, now: float) -> bool:
        """Tell whether it slows anybody down still."""
        return now < self._until

    def admits(self, row_count: int, now: float) -> bool:
        """Tell whether rows may come in now. They are paid for after the fact: many at once are let in, too."""
        if not self.holds(now):
            return True
        if self._paid_until > now:
            return False
        self._paid_until = max(self._paid_until, now - _BURST_S) + row_count / self._rows_per_s
        return True
