"""What of a database has changed of late, so that two replicas can compare all that is older while rows come in.

Under load the digests of two replicas hardly ever agree: the newest rows are on their way. The digest of the rows that
are older than some seconds does. So a replica need not be given what it has anyway: it asks on from the first row that
is younger (storage.indexes.store). Kept is, for each of the last seconds, the sum of the hashes of its rows, and the
sequence that was the first of them. A row belongs to the second of its newest timestamp.

In memory only, by the database thread. After a start, and for what is older than is kept, nothing is known.
"""

from cluster.clock import Timestamp, microseconds_of

SECOND_US = 1_000_000
KEPT = 120  # seconds in which something changed


def second_of(timestamp: Timestamp) -> int:
    """Return the second, since 1970, that a row of this timestamp belongs to."""
    return microseconds_of(timestamp) // SECOND_US


class Recent:
    """The last seconds of one database."""

    __slots__ = ("_begins", "_known_from", "_seconds")

    def __init__(self, newest: Timestamp) -> None:
        """`newest` of all rows that the database has ever had: of the seconds up to that nothing is known."""
        self._seconds: dict[int, tuple[int, int]] = {}  # second -> sum of hashes, first sequence
        self._know_from(second_of(newest) + 1)

    def __repr__(self) -> str:
        return f"Recent({len(self._seconds)} seconds, from {self._known_from})"

    def _know_from(self, second: int) -> None:
        self._known_from = second
        self._begins = (second * SECOND_US).to_bytes(8, "big")  # its timestamps are not below it

    def add(self, value: int, newest: Timestamp, sequence: int) -> None:
        """Take in a row that has entered the table, of hash `value`."""
        if newest < self._begins:
            return
        second = second_of(newest)
        found = self._seconds.get(second)
        if found is not None:
            self._seconds[second] = (found[0] + value, found[1])
            return
        self._seconds[second] = (value, sequence)
        if len(self._seconds) > KEPT:
            oldest = min(self._seconds)
            del self._seconds[oldest]
            self._know_from(oldest + 1)

    def subtract(self, value: int, newest: Timestamp) -> None:
        """Take out a row that has left the table."""
        found = self._seconds.get(second_of(newest))
        if found is not None:
            self._seconds[second_of(newest)] = (found[0] - value, found[1])

    def since(self, second: int) -> tuple[int, int | None] | None:
        """Return the sum of the hashes of all rows of `second` and later, and a sequence below which none of them is.

        No sequence: there are no such rows. None: it is not known.
        """
        if second < self._known_from:
            return None
        found = [pair for known, pair in self._seconds.items() if known >= second]
        return sum(value for value, _ in found), min((sequence for _, sequence in found), default=None)
