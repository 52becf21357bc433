"""What the index store needs from outside, besides the device's log (`storage.log.interface.Log`)."""

from collections.abc import Awaitable, Callable

from storage.messages import Changes, DatabaseKind, IndexChanges

Pull = Callable[[int, IndexChanges, DatabaseKind], Awaitable[Changes | None]]
# Ask the device with this id, of the ring of this kind, for a page of changes. None: it has no such
# database. Raises PeerUnavailable or RemoteError, by a deadline of its own.
