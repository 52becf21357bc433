"""The right to write a volume, as its holder sees it: an epoch, and until when it is certain. Pure.

Coordination gives a lease under an epoch that is larger each time. It may give it to somebody else once its time is
over, so the holder counts from the moment before it asked, by a clock that goes on while the process is stopped, and
ends a margin earlier. That is for honest clients; what keeps volumes safe is the fence: devices refuse older epochs.
"""

from dataclasses import dataclass, replace

TTL_S = 10.0  # then another gateway may take a volume whose gateway is gone
RENEW_S = 3.0  # between renewals
MARGIN_S = 1.0  # of two clocks that do not run equally fast
READ_ONLY_EPOCH = (1 << 63) - 1  # above every writer's: what is read only is changed by nobody


@dataclass(frozen=True, slots=True)
class Tenure:
    """Of one volume."""

    epoch: int
    ends_s: float  # by the holder's steady clock

    def holds(self, now_s: float) -> bool:
        """Tell whether nobody else can have the right to write."""
        return now_s < self.ends_s

    def renewed(self, asked_s: float) -> "Tenure":
        """Return the tenure after coordination has extended it, having been asked at `asked_s`."""
        return replace(self, ends_s=asked_s + TTL_S - MARGIN_S)


def begun(epoch: int, asked_s: float) -> Tenure:
    """Return the tenure that coordination has given, having been asked at `asked_s`."""
    return Tenure(epoch, asked_s + TTL_S - MARGIN_S)
