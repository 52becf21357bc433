"""One question to the replicas of a database: a full answer from one, digests from others, until they are a quorum.

Equal digests mean equal databases, so the full answer is then what a quorum has (proxy.objects.databases). Whoever is
slow gets company; whoever fails is replaced.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.wire import Peer, RemoteError, Reply
from proxy.objects.errors import Unavailable
from proxy.objects.rounds import HEDGE_S, Peers, Split, StaleRings, floor_of, split_of
from proxy.objects.spans import Moved
from storage.messages import Info, Refusal, parse
from storage.quorum import Quorum
from storage.ranges.state import decided_by, refusal_of


@dataclass(slots=True)
class Answers:
    """Of a quorum of replicas of one database: one full reply and the others' states."""

    full: tuple[int, Any]
    digests: dict[int, Info | None]
    more: dict[int, Any]  # full replies, too: of those who were asked while the first was late


async def gather(
    peers: Peers,
    quorum: Quorum,
    ask_full: "Callable[[Peer], asyncio.Future[Reply]]",
    ask_digest: "Callable[[Peer], asyncio.Future[Reply]]",
    listing: bool,
) -> Answers:
    """Collect the answers of a quorum, one in full and the others' digests; ask another one where one fails or lags.

    Who has accepted that the rows are elsewhere has no say in a `listing`. Raise Split when no quorum is left.
    """
    first, others = quorum.split(peers)
    spare = [*first, *others]
    full: tuple[int, Any] | None = None
    digests: dict[int, Info | None] = {}
    more: dict[int, Any] = {}
    pending: dict[asyncio.Future[Reply], tuple[int, bool]] = {}
    floor = 0  # of the rings, when it is above ours
    refused: dict[int, BaseException | None] = {}

    def ask(full_wanted: bool) -> None:
        device_id, peer = spare.pop(0)
        pending[ask_full(peer) if full_wanted else ask_digest(peer)] = (device_id, full_wanted)

    def full_is_coming() -> bool:
        return full is not None or any(wanted for _device, wanted in pending.values())

    while full is None or not quorum.reached([full[0], *digests, *more]):
        while spare and not quorum.reached([*digests, *more, *([full[0]] if full else []), *_devices(pending)]):
            ask(not full_is_coming())
        if not pending or not (spare or full_is_coming()):
            raise _too_few(floor, refused)
        done, _ = await asyncio.wait(pending, timeout=HEDGE_S, return_when=asyncio.FIRST_COMPLETED)
        if not done and spare:
            ask(full is None)
        for call in [call for call in pending if call in done]:
            device_id, full_wanted = pending.pop(call)
            if call.cancelled() or call.exception() is not None:
                refused[device_id] = None if call.cancelled() else call.exception()
                floor = max(floor, floor_of(refused.values()))
                _raise_if_known(refused)
            elif not full_wanted:
                values = call.result().metadata
                info = None if values is None else parse(Info, values)
                accepted = refusal_of(info.metadata) if listing and info is not None else None
                if accepted is not None and not accepted.decided:
                    refused[device_id] = RemoteError(Refusal.SPLIT, accepted)
                else:
                    digests[device_id] = info
            elif full is None:
                full = (device_id, call.result().metadata)
            else:
                more[device_id] = call.result().metadata
    return Answers(full, digests, more)


def _too_few(floor: int, refused: Mapping[int, BaseException | None]) -> Exception:
    split = split_of(refused)
    if floor or split is None:
        return StaleRings(floor) if floor else Unavailable("too few replicas answered a listing")
    return split


def _raise_if_known(refused: Mapping[int, BaseException | None]) -> None:
    """Raise Split when one of those who refused knows where the rows are."""
    split = split_of(refused)
    if split is not None and any(refusal.decided for refusal in split.refusals.values()):
        raise split


def raise_if_moved(split: Split, quorum: Quorum) -> None:
    """Raise Moved when that is decided."""
    pointers = decided_by(split.refusals, quorum)
    if pointers:
        raise Moved(pointers) from split


def _devices(pending: "Mapping[asyncio.Future[Reply], tuple[int, bool]]") -> list[int]:
    return [device_id for device_id, _full in pending.values()]
