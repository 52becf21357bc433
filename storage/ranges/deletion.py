"""A database that has its rows itself is deleted by a decision, too, of replicas that are frozen and empty.

1. It is frozen on a quorum, which refuses rows from then on, and found empty on all of that.
2. Replicas that are frozen by the same token *accept* the deletion, durably, each if it is empty still: from then on
   it refuses rows and is asked for no listing. When a quorum has accepted, it is *decided*.
3. All are told; it is acknowledged when a quorum knows it. It spreads as a timestamp that merges.

Who deletes may die anywhere, so a replica may be left that has accepted. Nobody can take that up and propose it again,
as is done with pointers (storage.ranges): other replicas may have taken rows since. So a deletion that was left is
counted (`settle_deletion`), by a device that freezes all it can reach. That takes every token away, so that nobody
accepts under an older one any more:

- those who have accepted are a quorum: each of them was empty when it did, and has refused rows since. A row that is
  acknowledged meets them, so there is none. All are told. So they are when one was told before.
- those who have not keep it from ever being a quorum: it is abandoned, and those who have accepted take rows again.
  What they have missed meanwhile is copied as all else.
- neither, because too many are away: it waits. Rows are acknowledged by those who have not accepted, if they are a
  quorum; else none are.

A replica that is being rebuilt counts as one that has not accepted: it waits for the others to settle this. Whoever
deletes has given up long before anything is abandoned (`PATIENCE_S`).
"""

from collections.abc import Iterable, Mapping

from cluster.clock import ZERO, HybridClock, Timestamp
from storage.asking import ask, failures_of, refusals_of, replies_of
from storage.client import Placement, Replicas
from storage.messages import Frozen, IndexFreeze, IndexInfo, IndexMove, IndexThaw, Info, Operation, Refusal, parse
from storage.ranges.decision import FREEZE_S, KIND, Named, Undecidable
from storage.ranges.state import Accepted

PATIENCE_S = 30.0  # freezes end after 10 s, and a message is waited for as long: nobody counts on what is older


async def settle_deletion(
    placement: Placement, clock: HybridClock, database: Named, token: bytes, may_abandon: bool
) -> None:
    """Finish what was begun, or abandon it. Raise Undecidable."""
    key = placement.names.key(*database)
    replicas = placement.replicas(KIND, key)
    freeze = IndexFreeze(KIND, key, token, FREEZE_S, False)
    answers = await ask(placement, replicas, replicas.members, Operation.INDEX_FREEZE, freeze)
    frozen = {device: parse(Frozen, values) for device, values in replies_of(answers).items()}
    accepted = _deletions(frozen)
    try:
        if not accepted:
            return
        life = max(item.life for item in accepted.values())
        told = await _states(placement, replicas, database, refusals_of(answers, Refusal.NOT_FOUND))
        deleted = max((info.delete_timestamp for info in told.values() if info is not None), default=ZERO)
        if replicas.writers.reached(accepted):
            deleted = max(deleted, *(item.ballot for item in accepted.values()))
        if deleted > life:
            message = deletion_at(key, database, life, deleted)
            await ask(placement, replicas, replicas.members, Operation.INDEX_MOVE, message)
            return
        never_had = {device for device, info in told.items() if info is None}
        barred = never_had | refusals_of(answers, Refusal.REBUILDING).keys() | (frozen.keys() - accepted.keys())
        possible = {device for device, _peer in replicas.members} - barred
        if replicas.writers.reached(possible) or not may_abandon:
            raise Undecidable(f"a deletion may have been decided by those who cannot be asked: {failures_of(answers)}")
        for device, item in accepted.items():
            await _abandon(placement, replicas, device, IndexThaw(KIND, key, token, clock.after(item.ballot)))
    finally:
        members = [(device, replicas.peer(device)) for device in frozen]
        await ask(placement, replicas, members, Operation.INDEX_THAW, IndexThaw(KIND, key, token))


def _deletions(frozen: Mapping[int, Frozen]) -> dict[int, Accepted]:
    accepted = {device: Accepted(*item.accepted) for device, item in frozen.items() if item.accepted is not None}
    return {device: item for device, item in accepted.items() if item.deletes}


async def _states(
    placement: Placement, replicas: Replicas, database: Named, devices: Iterable[int]
) -> dict[int, Info | None]:
    """Return what those know who say that there is no such database: None, they never had it."""
    message = IndexInfo(KIND, placement.names.key(*database), *database)
    members = [(device, replicas.peer(device)) for device in devices]
    answers = await ask(placement, replicas, members, Operation.INDEX_INFO, message)
    return {
        device: None if values is None else parse(Info, values) for device, values in replies_of(answers).items()
    }


async def _abandon(placement: Placement, replicas: Replicas, device: int, message: IndexThaw) -> None:
    answers = await ask(placement, replicas, [(device, replicas.peer(device))], Operation.INDEX_THAW, message)
    if not replies_of(answers):
        raise Undecidable(f"a deletion could not be abandoned: {failures_of(answers)}")


def acceptance_of(key: bytes, database: Named, life: Timestamp, ballot: Timestamp, token: bytes) -> IndexMove:
    """Return what asks a replica that is frozen by `token` to accept that a database, made at `life`, is deleted."""
    return IndexMove(KIND, key, *database, life, ballot, [], {}, ZERO, token)


def deletion_at(key: bytes, database: Named, life: Timestamp, ballot: Timestamp) -> IndexMove:
    """Return what tells a replica that this was decided."""
    return IndexMove(KIND, key, *database, life, ballot, [], {}, ZERO, None, True)
