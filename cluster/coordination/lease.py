"""Leases: the right to do something alone for a while. Pure; time is an argument.

Invariant: each acquisition of a name has a larger epoch than all before it, for ever. The expiry only
says when others may try; safety comes from whoever is written to, which refuses older epochs.
Times are seconds of a clock that all who ask share: on one host the time since it started. When that clock began
anew, or was set back, an expiry may lie further ahead than the lease's own ttl: such a lease counts as ended, so that
nobody waits for much longer than a ttl.
"""

from dataclasses import dataclass, replace
from typing import TypeGuard

from cluster.coordination.errors import LeaseHeld, LeaseLost

_CLOCK_STEP_S = 1.0  # a clock set back by no more than this, as time synchronisation does, ends no lease


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as it was granted last. `holder` empty: it was released."""

    name: str
    holder: str
    epoch: int
    ttl_s: float
    expires_s: float

    def remaining_s(self, now_s: float) -> float:
        """Return for how long it is still held; 0 when it has ended."""
        remaining = self.expires_s - now_s
        return remaining if self.holder and 0 < remaining <= self.ttl_s + _CLOCK_STEP_S else 0.0


def acquired(current: Lease | None, name: str, holder: str, ttl_s: float, now_s: float) -> Lease:
    """Return the lease that `holder` gets after `current`. Raise LeaseHeld."""
    if not holder or ttl_s <= 0:
        raise ValueError("a lease needs a holder and a time to live")
    if current is None:
        return Lease(name, holder, 1, ttl_s, now_s + ttl_s)
    remaining_s = current.remaining_s(now_s)
    if remaining_s and current.holder != holder:
        raise LeaseHeld(name, current.holder, remaining_s)
    return Lease(name, holder, current.epoch + 1, ttl_s, now_s + ttl_s)


def renewed(current: Lease | None, lease: Lease, ttl_s: float, now_s: float) -> Lease:
    """Return `lease` extended. Raise LeaseLost when `current` is another one or has ended."""
    if not _is_same(current, lease) or not current.remaining_s(now_s):
        raise LeaseLost(lease.name, lease.epoch)
    return replace(current, ttl_s=ttl_s, expires_s=now_s + ttl_s)


def released(current: Lease | None, lease: Lease) -> Lease | None:
    """Return what is to be kept of `lease` (its epoch), or None when it is no longer the current one."""
    return replace(current, holder="") if _is_same(current, lease) else None


def _is_same(current: Lease | None, lease: Lease) -> TypeGuard[Lease]:
    return current is not None and (current.epoch, current.holder) == (lease.epoch, lease.holder)
