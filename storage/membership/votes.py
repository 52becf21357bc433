"""Which requests a device does not answer while it does not know what it should have.

A read asks a quorum, and relies on it that each of those who answer remembers what it acknowledged. A device that lost
data does not. So of a partition that is not whole it refuses what would be a vote: the version of a name, the rows of
a database, a promise, that a container is empty. Rows are refused too, for to take one is to say that its container
has neither been deleted nor moved it elsewhere. It goes on taking all other writes, which it remembers, and copies.

Of chunks it takes copies only, whichever partitions are whole: it may have lost the fences that keep out a volume's
former writers, and those are not of a partition.

`restricted` is all that a request costs a device that has all its data.
"""

from collections.abc import Mapping

from cluster.wire import RemoteError, Request
from ring.hashing import partition_of
from storage.messages import DatabaseKind, IndexMove, Operation, Refusal, parse
from storage.rings.document import ACCOUNT, CONTAINER, OBJECT

# of a name, which is the first of their arguments; BLOB_UPDATE needs a version that may have been lost
_OBJECT_VOTES = frozenset(
    {
        Operation.BLOB_STAT,
        Operation.BLOB_HEAD,
        Operation.BLOB_GET,
        Operation.BLOB_UPDATE,
        Operation.BLOB_PROMISE,
    }
)
# of a database: its kind and its key are the first of their arguments
_INDEX_VOTES = frozenset(
    {
        Operation.INDEX_INFO,
        Operation.INDEX_ROWS,
        Operation.INDEX_LIST,
        Operation.INDEX_FREEZE,
    }
)


_RECLAIMS = frozenset({Operation.BLOB_RECLAIM, Operation.INDEX_RECLAIM})
# what a chunk's version is worth, and who may write it
_CHUNK_VOTES = frozenset(
    {
        Operation.CHUNK_STAT,
        Operation.CHUNK_FENCE,
        Operation.CHUNK_WRITE,
        Operation.CHUNK_WRITE_MANY,
        Operation.CHUNK_READ,
        Operation.CHUNK_EXTENTS,
    }
)


class Votes:
    """Of one device. At first it votes on everything."""

    __slots__ = ("_part_powers", "_whole", "restricted")

    def __init__(self) -> None:
        self.restricted = False
        self._part_powers: Mapping[str, int] = {}
        self._whole: dict[str, set[int]] = {}

    def __repr__(self) -> str:
        counts = {name: len(partitions) for name, partitions in self._whole.items()}
        return f"Votes(restricted to {counts})" if self.restricted else "Votes(all)"

    def restrict(self) -> None:
        """Vote on nothing any more, until told otherwise."""
        self.restricted = True
        self._part_powers, self._whole = {}, {}

    def allow(self, part_powers: Mapping[str, int], whole: Mapping[str, set[int]]) -> None:
        """Vote on the `whole` partitions, by ring, of rings with these part powers; the sets may grow later."""
        self._part_powers = part_powers
        self._whole = {name: whole[name] for name in part_powers.keys() & whole.keys()}

    def allow_all(self) -> None:
        """Vote on everything."""
        self.restricted = False

    def check(self, request: Request) -> None:
        """Raise RemoteError REBUILDING when an answer would be a vote that we have not."""
        operation, arguments = request.operation, request.metadata
        if operation in _RECLAIMS or operation in _CHUNK_VOTES:  # that there is nothing of a name
            raise RemoteError(Refusal.REBUILDING, "this device is being rebuilt")
        if operation in _OBJECT_VOTES:
            name, key = OBJECT, arguments[0]
        elif operation in _INDEX_VOTES or (operation == Operation.INDEX_MOVE and parse(IndexMove, arguments).token):
            name, key = CONTAINER if arguments[0] == DatabaseKind.CONTAINER else ACCOUNT, arguments[1]
        else:
            return
        power = self._part_powers.get(name)
        if power is None or partition_of(key, power) not in self._whole[name]:
            raise RemoteError(Refusal.REBUILDING, "this device is being rebuilt")
