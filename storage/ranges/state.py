"""What a database knows of its own split: names in its metadata that no client sees. Pure.

    MOVED         pointers. Decided: it merges as all metadata does, the newest timestamp wins
    ACCEPTED      [timestamp of MOVED before it, put timestamp of this life, pointers], under the ballot; without
                  pointers: a deletion. None: it was abandoned, and nothing is accepted below that ballot any more.
                  Of this replica alone: it is neither pulled nor in the digest
    COUNT + id    [objects, bytes] of a range database that MOVED points to, under the timestamp of what is counted
    RECLAIMED     True, of a range database: it is closed. Tombstones may have been given up, so no rows of long ago are
                  moved into it any more (storage.indexes.reclaim)
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from cluster.clock import ZERO, Timestamp, is_timestamp
from storage.quorum import Quorum
from storage.ranges.pointers import Pointer, checked

INTERNAL = "\0"  # names in the metadata that begin so are not the clients'
MOVED = "\0moved"
ACCEPTED = "\0accepted"
COUNT = "\0count/"
RECLAIMED = "\0reclaimed"

Metadata = Mapping[str, tuple[Any, Timestamp]]


class Accepted(NamedTuple):
    """What a replica has accepted, and does not know to be decided."""

    ballot: Timestamp
    base: Timestamp  # of MOVED, in which state of the database it was proposed
    life: Timestamp  # put timestamp of the database then
    pointers: list[Pointer]

    @property
    def deletes(self) -> bool:
        """Whether it is that a database is deleted that has its rows itself (storage.ranges.deletion)."""
        return not self.pointers and self.base == ZERO


class Refused(NamedTuple):
    """Why a replica takes no rows and lists none: the detail of Refusal.SPLIT."""

    timestamp: Timestamp  # of MOVED, or the ballot
    decided: bool
    pointers: list[Pointer]


def moved_of(metadata: Metadata) -> tuple[Timestamp, list[Pointer]] | None:
    """Return since when rows are elsewhere, and where; None: they are here."""
    found = metadata.get(MOVED)
    return None if found is None or not found[0] else (found[1], [Pointer(*pair) for pair in found[0]])


def accepted_of(metadata: Metadata) -> Accepted | None:
    """Return what was accepted and has not been settled."""
    found = metadata.get(ACCEPTED)
    if found is None or found[0] is None:
        return None
    (base, life, pointers), ballot = found
    return Accepted(ballot, base, life, [Pointer(*pair) for pair in pointers])


def counts_of(metadata: Metadata) -> dict[str, tuple[Timestamp, int, int]]:
    """Return (timestamp, objects, bytes) by the id of a range database."""
    return {
        name.removeprefix(COUNT): (timestamp, value[0], value[1])
        for name, (value, timestamp) in metadata.items()
        if name.startswith(COUNT)
    }


def refusal_of(metadata: Metadata) -> Refused | None:
    """Return why rows are refused; None: they are not."""
    moved = moved_of(metadata)
    if moved is not None:
        return Refused(moved[0], True, moved[1])
    accepted = accepted_of(metadata)
    return None if accepted is None else Refused(accepted.ballot, False, accepted.pointers)


def settle(metadata: dict[str, tuple[Any, Timestamp]], delete_timestamp: Timestamp) -> None:
    """Remove what no longer counts: acceptances for a state that was left, counters of what is not pointed to."""
    moved = moved_of(metadata)
    accepted = accepted_of(metadata)
    if accepted is not None:
        base = ZERO if moved is None else moved[0]
        if accepted.base != base or accepted.life <= delete_timestamp:
            del metadata[ACCEPTED]
    known = set() if moved is None else {COUNT + pointer.range_id for pointer in moved[1]}
    for name in [name for name in metadata if name.startswith(COUNT) and name not in known]:
        del metadata[name]


def shared(metadata: Metadata) -> dict[str, tuple[Any, Timestamp]]:
    """Return the part of the metadata that all replicas share."""
    return {name: pair for name, pair in metadata.items() if name != ACCEPTED}


def visible(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the metadata that is the clients'."""
    return {name: value for name, value in metadata.items() if not name.startswith(INTERNAL)}


def check(metadata: Metadata) -> None:
    """Raise ValueError when what came from a peer could not be understood later."""
    for name, (value, timestamp) in metadata.items():
        if not name.startswith(INTERNAL) or value is None:
            continue
        if name == MOVED:
            checked(value)
        elif name == ACCEPTED:
            base, life, pointers = value
            if pointers:  # none: a deletion
                checked(pointers)
            if not (is_timestamp(base) and is_timestamp(life)):
                raise ValueError("an acceptance names two timestamps")
        elif name.startswith(COUNT):
            objects, size = value
            if type(objects) is not int or type(size) is not int or not is_timestamp(timestamp):
                raise ValueError("counters are two numbers")


def parse_refusal(detail: Any) -> Refused:
    """Return the detail of a refusal by a peer. Raise ValueError."""
    try:
        timestamp, decided, pointers = detail
    except (TypeError, ValueError):
        raise ValueError(f"not the detail of SPLIT: {detail!r:.100}") from None
    return Refused(timestamp, decided, checked(pointers) if pointers else [])


def decided_by(refusals: Mapping[int, Refused], quorum: Quorum) -> list[Pointer] | None:
    """Return the pointers that the refusals, by device, show to be decided; None: they don't.

    One who knows is enough; so is a quorum that has accepted the same. Of several that are known the newest counts.
    """
    known = [refused for refused in refusals.values() if refused.decided]
    if known:
        return max(known, key=lambda refused: refused.timestamp).pointers
    by_ballot: dict[Timestamp, list[int]] = {}
    for device_id, refused in refusals.items():
        by_ballot.setdefault(refused.timestamp, []).append(device_id)
    for devices in by_ballot.values():
        if quorum.reached(devices):
            return refusals[devices[0]].pointers
    return None
