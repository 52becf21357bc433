"""Writes that are decided upon what is there, whatever else happens to the name: what became of a try. Pure.

A conditional write is a round of single-decree Paxos among the primaries of a name (Lamport, "Paxos Made Simple",
2001), with the version's timestamp as ballot: a read quorum promises to take nothing below it any more and tells what
it has (phase 1); the newest of that is what the condition is checked on; then the version is committed under that
timestamp (phase 2). As in CASPaxos (Rystsov, 2018) every decision is made upon the last one.

A try that did not find its quorum may be on a replica or two, and somebody who found it there may have brought it to a
quorum under a newer timestamp. So every version says where it comes from (its *lineage*): under which timestamp it was
written first, and which versions were there immediately before it, as far as it was decided upon them. From
that, who tries again can nearly always tell whether an earlier try of his has happened.
"""

from dataclasses import dataclass, field
from enum import Enum

from cluster.clock import Timestamp
from storage.lineage import lineage_of
from storage.messages import Version
from storage.metadata import LINEAGE_LENGTH
from storage.quorum import timestamp_of


@dataclass(slots=True)
class Tries:
    """Timestamps under which a write was sent without finding its quorum; some replica may have taken them."""

    timestamps: set[Timestamp] = field(default_factory=set)
    asked: Timestamp | None = None  # the newest above which nothing was complete when it was sent

    def add(self, timestamp: Timestamp, asked: bool) -> None:
        """Note a try; `asked`: nothing above its timestamp was complete, a quorum has told."""
        self.timestamps.add(timestamp)
        if asked:
            self.asked = timestamp


class Fate(Enum):
    """Of earlier tries."""

    NOTHING = 1  # none has happened: decide upon the newest version
    NEWEST = 2  # the newest version is one of them
    OVERWRITTEN = 3  # one has happened, and something newer has replaced it
    UNKNOWN = 4


def fate(newest: Version | None, tries: Tries, conditional: bool) -> Fate:
    """Return what became of `tries`, from the newest version on a quorum that takes none of them any more.

    A write without a condition that is followed by another one like it, which was not complete when the first was sent,
    may be said to have happened immediately before that: nobody can tell the difference.
    """
    if not tries.timestamps:
        return Fate.NOTHING
    before, origin = lineage_of(newest)
    if origin in tries.timestamps:
        return Fate.NEWEST
    if not tries.timestamps.isdisjoint(before):
        return Fate.OVERWRITTEN
    first, oldest = min(tries.timestamps), (origin, *before)[-1]
    if timestamp_of(newest) < first or oldest < first:
        return Fate.NOTHING
    blind = not conditional and len(before) < LINEAGE_LENGTH  # then `oldest` was written whatever was there
    if blind and tries.asked is not None and oldest > tries.asked:
        return Fate.OVERWRITTEN
    return Fate.UNKNOWN
