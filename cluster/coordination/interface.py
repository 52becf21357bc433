"""What coordination offers, whatever keeps it. All backends pass one suite of tests.

Calls are synchronous and short: a local transaction or one round trip. A version is the number of
the change, counted over all keys, that gave a key its value: it only grows, also over a deletion.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from cluster.coordination.lease import Lease

ABSENT = 0  # the version of a key that is not there; real ones begin with 1
KEY_LIMIT = 512  # bytes of UTF-8
DATA_LIMIT = 16 << 20  # bytes


class Value(NamedTuple):
    """What a key has."""

    version: int
    data: bytes


class Entry(NamedTuple):
    """A key and what it has."""

    key: str
    version: int
    data: bytes


class Change(NamedTuple):
    """The newest state of a key that changed; `data` None: deleted."""

    key: str
    version: int
    data: bytes | None


WatchCallback = Callable[[Sequence[Change]], None]


class Watch(Protocol):
    """A running watch."""

    def cancel(self) -> None:
        """Call back no more. Cancelling twice is fine."""


class Coordination(Protocol):
    """Versioned keys, leases, watches. Any call may raise `errors.Unavailable`."""

    def get(self, key: str) -> Value | None:
        """Return what `key` has, or None when it is not there."""

    def put(self, key: str, data: bytes, expect: int | None = None) -> int:
        """Store durably and return the new version.

        `expect`: the version that the key must be at (ABSENT: it must not be there), or Conflict; None:
        any. Raise ValueError for a key or data beyond the limits.
        """

    def delete(self, key: str, expect: int | None = None) -> bool:
        """Delete `key` and tell whether it was there. `expect` as for `put`."""

    def range(self, prefix: str, after: int = 0) -> list[Entry]:
        """Return what is there under `prefix`, in byte order of keys; only versions above `after`."""

    def watch(self, prefix: str, callback: WatchCallback) -> Watch:
        """Call `callback` on the running event loop for changes that are made from now on, soon after.

        To follow a prefix, watch first, then read it. Several changes of one key may come as the last of
        them; own changes come too. The order is that of versions.
        """

    def acquire(self, name: str, holder: str, ttl_s: float) -> Lease:
        """Take the lease `name` under a new, larger epoch. Raise LeaseHeld while another holds it.

        A holder may take it again; that fences off what it did before.
        """

    def renew(self, lease: Lease, ttl_s: float) -> Lease:
        """Extend `lease` to `ttl_s` from now, with the same epoch. Raise LeaseLost when it has ended."""

    def release(self, lease: Lease) -> None:
        """Give up `lease`. Nothing happens when it has already ended."""

    def close(self) -> None:
        """End watches and let go of files and sockets."""
