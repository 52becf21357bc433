"""One message to several replicas, and a future for what their answers come to.

A round is a shell around the decisions of storage.quorum. It owns no task: answers arrive as
callbacks of the wire's futures, so a write costs one future beside those of its calls.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from cluster.clock import Timestamp
from cluster.wire import Peer, PeerUnavailable, RemoteError, Reply
from proxy.objects.errors import OutOfSpace, QuorumNotReached, Unavailable
from storage.client import Placement, Replicas
from storage.messages import NEWER, Refusal, Version, parse
from storage.quorum import Majority, Outcome, Quorum, Settled, Tally, Unsettled, judge
from storage.ranges import state

CALL_TIMEOUT_S = 10.0  # of one call to one replica; a peer that hangs is found dead far sooner
HEDGE_S = 0.06  # a read that takes longer asks one more replica
# of a read whose replicas differ and can't be brought together, because one of them has just died or is
# not known to the others yet: each try begins with another one, so that three have asked every pair of three
READ_TRIES = 3
STALE_TRIES = 8  # of an operation whose rings were too old: each has newer ones
STALE_WAIT_S = 0.2  # while a device knows rings that we cannot read yet

Peers = Sequence[tuple[int, Peer]]


class Superseded(Exception):
    """Replicas hold something newer than what was to be written, or have promised to: up to `timestamp`.

    `hidden`: nobody has seen what was to be written, or ever will, though a replica may have it. `clean`: or those who
    have been asked now have turned it down. Otherwise one or two may have it. `asked`: all have answered, and nothing
    newer was complete when it was sent, or more of them would have had it. `promised`: some have only promised.
    """

    def __init__(
        self, timestamp: Timestamp, clean: bool, hidden: bool = False, asked: bool = False, promised: bool = False
    ) -> None:
        super().__init__("superseded")
        self.timestamp, self.clean, self.hidden = timestamp, clean or hidden, hidden
        self.asked, self.promised = asked, promised


class Refused(Exception):
    """A replica refused for a reason that another try may not meet: FROZEN, BUSY, NOT_FOUND, …"""

    def __init__(self, code: Refusal, detail: Any = None) -> None:
        super().__init__(code.name)
        self.code, self.detail = code, detail
        self.clean = False  # all have refused, so nobody has what was to be written


class StaleRings(Refused):
    """Devices refuse what is placed by rings older than `floor`: take newer ones, and begin again."""

    def __init__(self, floor: int) -> None:
        super().__init__(Refusal.STALE_RINGS, floor)
        self.floor = floor


class Split(Refused):
    """Replicas of a database say that its rows are elsewhere, or will be."""

    def __init__(self, refusals: Mapping[int, state.Refused]) -> None:
        super().__init__(Refusal.SPLIT)
        self.refusals = refusals  # by device id


def split_of(errors: Mapping[int, BaseException | None]) -> Split | None:
    """Return what those have said, by device id, who refuse because the rows are elsewhere; None: nobody has."""
    refusals = {
        device_id: state.parse_refusal(error.detail)
        for device_id, error in errors.items()
        if isinstance(error, RemoteError) and error.code == Refusal.SPLIT
    }
    return Split(refusals) if refusals else None


# why a write found no quorum, what explains it best first
_REASONS = (
    Refusal.FROZEN,
    Refusal.NOT_EMPTY,
    Refusal.NOT_FOUND,
    Refusal.NOT_HELD,
    Refusal.STALE_RINGS,
    Refusal.BUSY,
)


class WriteRound:
    """Sends one message to all replicas; `done` gives the replies of a quorum by device id.

    `done` raises Superseded, Refused, QuorumNotReached or OutOfSpace when a quorum is out of reach. Answers that come
    later are heard but change nothing. A single replica that refuses decides nothing: others may be a quorum without
    it. Superseded waits for all answers, unless those that hold something newer, and never held this, are in every read
    quorum (*hidden*): then no reader has brought this to one, or ever sees it, wherever it got to. One that fills up to
    take part in reads later (storage.client, JOINING) need not have had it: something newer there will do.
    """

    __slots__ = ("_outside", "_overtaken", "_read_quorum", "_tally", "_unanswered", "done", "replies")

    def __init__(self, loop: asyncio.AbstractEventLoop, tally: Tally, read_quorum: Quorum | None = None) -> None:
        """`read_quorum`: of those who read what is written; None: it is never superseded."""
        self._tally = tally
        self._read_quorum = read_quorum
        self._unanswered = 0
        self._overtaken: dict[int, RemoteError] = {}
        self._outside: list[asyncio.Future[Reply]] = []
        self.replies: dict[int, Any] = {}
        self.done: asyncio.Future[dict[int, Any]] = loop.create_future()

    def add(self, device_id: int, call: "asyncio.Future[Reply]") -> None:
        """Count the answer to `call`."""

        self._unanswered += 1

        def answered(future: "asyncio.Future[Reply]") -> None:
            self._answered(device_id, future)

        call.add_done_callback(answered)

    def add_outsider(self, call: "asyncio.Future[Reply]") -> None:
        """Know of a device that does not count, but may have taken what is written, and been read by others."""
        self._outside.append(call)
        call.add_done_callback(heard)

    def _answered(self, device_id: int, call: "asyncio.Future[Reply]") -> None:
        error = PeerUnavailable("cancelled") if call.cancelled() else call.exception()
        if self.done.done():
            return
        self._unanswered -= 1
        if error is None:
            self.replies[device_id] = call.result().metadata
            self._tally.durable(device_id)
        else:
            self._failed(device_id, error)
        outcome = self._tally.outcome()
        if outcome is Outcome.ACKNOWLEDGED:
            self.done.set_result(self.replies)
        elif outcome is Outcome.HOPELESS and not self.done.done():
            self._give_up()

    def _failed(self, device_id: int, error: BaseException) -> None:
        if self._is_as_good(device_id, error):
            self._tally.durable(device_id)
            return
        self._tally.failed(device_id, error)
        if isinstance(error, RemoteError):
            if error.code in _PASSED:
                self._overtaken[device_id] = error
            elif error.code == Refusal.BAD_REQUEST:
                self.done.set_exception(Refused(Refusal.BAD_REQUEST, error.detail))

    def _is_as_good(self, device_id: int, error: BaseException) -> bool:
        """Tell whether a device that no read asks yet has something newer."""
        joins = self._read_quorum is not None and device_id not in self._read_quorum.members
        return joins and isinstance(error, RemoteError) and error.code in NEWER

    def _give_up(self) -> None:
        failures = self._tally.failures
        hidden = self._hidden()
        if self._read_quorum is not None and not hidden and self._unanswered:
            return  # who is still to answer may have taken it
        refused = not self.replies and all(map(_has_not_taken_it, failures.values()))
        clean = hidden or (refused and all(map(_was_turned_down, self._outside)))
        if self._overtaken:
            errors = self._overtaken.values()
            newest = max(error.detail for error in errors)
            looked = not self._may_be_complete() and all(map(_has_looked, failures.values()))
            promised = any(error.code == Refusal.PROMISED for error in errors)
            self.done.set_exception(Superseded(newest, clean, hidden, looked, promised))
            return
        failure = self._failure()
        if isinstance(failure, Refused):
            failure.clean = clean
        self.done.set_exception(failure)

    def _hidden(self) -> bool:
        """Tell whether those that hold something newer, and never held this, are in every read quorum.

        While rings change that means those of each set: who is a stage behind or ahead reads by one of them only.
        """
        if self._read_quorum is None or not all(map(_was_turned_down, self._outside)):
            return False
        return self._read_quorum.needs(self._refusing((Refusal.SUPERSEDED,)))

    def _may_be_complete(self) -> bool:
        """Tell whether something newer may have been on a write quorum when this was sent."""
        if self._read_quorum is None:
            return False
        return not self._read_quorum.reached(self._read_quorum.members - self._refusing(NEWER))

    def _refusing(self, codes: Collection[int]) -> set[int]:
        return {device for device, error in self._overtaken.items() if error.code in codes}

    def _failure(self) -> Exception:
        failures = self._tally.failures
        codes = {error.code for error in failures.values() if isinstance(error, RemoteError)}
        if Refusal.DEVICE_FULL in codes:
            return OutOfSpace("too few devices have room")
        split = split_of(failures)
        if split is not None and Refusal.STALE_RINGS not in codes:
            return split
        for code in _REASONS:
            if code in codes:
                return Refused(code) if code is not Refusal.STALE_RINGS else StaleRings(floor_of(failures.values()))
        return QuorumNotReached(self._tally.needed, self._tally.durable_count, failures)


_PASSED = NEWER | {Refusal.PROMISED}  # is, or will be
_LOOKED = _PASSED | {Refusal.BUSY}
_TURNED_DOWN = _LOOKED | {Refusal.STALE_RINGS, Refusal.REBUILDING}


def heard(call: "asyncio.Future[Any]") -> None:
    """Take note of how a call ended that nobody waits for any more, so that its error is not reported as lost."""
    if not call.cancelled():
        call.exception()


def _was_turned_down(call: "asyncio.Future[Reply]") -> bool:
    """Tell whether a device that was asked has turned a write down, as far as it has answered."""
    if not call.done() or call.cancelled():
        return False
    error = call.exception()
    return error is not None and _has_not_taken_it(error)


def _has_not_taken_it(error: BaseException) -> bool:
    """Tell whether a replica turned a write down. One whose disk has failed may have it all the same."""
    return isinstance(error, RemoteError) and error.code in _TURNED_DOWN


def _has_looked(error: BaseException) -> bool:
    """Tell whether a replica that refused has said, by that, whether it holds something newer."""
    return isinstance(error, RemoteError) and error.code in _LOOKED


def floor_of(errors: Iterable[BaseException | None]) -> int:
    """Return the highest floor that replicas have told of, 0 when none did."""
    floors = [e.detail for e in errors if isinstance(e, RemoteError) and e.code == Refusal.STALE_RINGS]
    return max(floors, default=0)


def require_quorum(peers: Peers, quorum: Quorum) -> None:
    """Raise Unavailable, before anything is sent, when those of `peers` that are up are no `quorum`."""
    for _device_id, peer in peers:
        if not peer.up:
            break
    else:
        return
    up = [device_id for device_id, peer in peers if peer.up]
    if not quorum.reached(up):
        raise Unavailable(f"{len(up)} of {len(peers)} replicas are up, and they are no quorum")


def in_turn(replicas: Replicas, turn: int) -> Peers:
    """Return whom a read may ask, those that are up first, beginning with another one at each turn.

    While a read needs a quorum of each of two sets, those that are in both come before others: they count twice.
    """
    readers = replicas.readers
    first = turn % len(readers)
    turned = (*readers[first:], *readers[:first])
    quorum = replicas.read_quorum
    if type(quorum) is Majority:
        for _device_id, peer in readers:
            if not peer.up:
                break
        else:
            return turned
    return sorted(turned, key=lambda replica: (not replica[1].up, -quorum.share(replica[0])))


def write(
    loop: asyncio.AbstractEventLoop,
    replicas: Replicas,
    operation: int,
    message: tuple[Any, ...],
    payload: bytes | bytearray | memoryview = b"",
    timeout_s: float = CALL_TIMEOUT_S,
) -> "asyncio.Future[dict[int, Any]]":
    """Send `message` to every replica; return the future of a quorum's replies."""
    round_ = WriteRound(loop, replicas.writers.tally(), replicas.read_quorum)
    version = replicas.version
    for device_id, peer in replicas.members:
        round_.add(device_id, peer.call(operation, message, payload, timeout_s, version))
    return round_.done


def write_rest(
    loop: asyncio.AbstractEventLoop,
    peers: Peers,
    quorum: Quorum,
    held: Collection[int],
    operation: int,
    message: tuple[Any, ...],
    timeout_s: float,
    version: int,
) -> "asyncio.Future[dict[int, Any]]":
    """Send `message` to `peers`; return the future of the replies that make a `quorum` with those who `held` it."""
    rest = quorum.among([device_id for device_id, _peer in peers], held)
    round_ = WriteRound(loop, rest.tally())
    for device_id, peer in peers:
        if device_id in rest.members:
            round_.add(device_id, peer.call(operation, message, b"", timeout_s, version))
    return round_.done


async def catch_up(placement: Placement, stale: StaleRings) -> None:
    """Take newer rings, which are there if a device has them. Raise Unavailable when they can't be read."""
    for _ in range(STALE_TRIES):
        if placement.refresh(stale.floor):
            return
        await asyncio.sleep(STALE_WAIT_S)
    raise Unavailable(f"rings of version {stale.floor} are in force, and can't be read") from stale


class ReadRound:
    """Asks for the version of a name until a quorum can tell it: a full answer from one replica, bare
    versions from others, one more replica when one of them fails or takes longer than HEDGE_S.

    `done` gives a Settled or Unsettled; `replies` has the full answers by device id.
    """

    __slots__ = ("_answers", "_ask_full", "_ask_version", "_floor", "_loop", "_pending", "_quorum", "_spare",
                 "_timer", "done", "replies")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        peers: Peers,
        quorum: Quorum,
        ask_full: Callable[[Peer], "asyncio.Future[Reply]"],
        ask_version: Callable[[Peer], "asyncio.Future[Reply]"],
    ) -> None:
        self._loop = loop
        self._quorum = quorum
        self._ask_full = ask_full
        self._ask_version = ask_version
        self._answers: dict[int, Version | None] = {}
        self._pending: dict[int, asyncio.Future[Reply]] = {}
        self._floor = 0  # of the rings, when it is above ours
        first, self._spare = quorum.split(peers)
        self.replies: dict[int, Reply] = {}
        self.done: asyncio.Future[Settled | Unsettled] = loop.create_future()
        self._timer = loop.call_later(HEDGE_S, self._hedge)
        for index, (device_id, peer) in enumerate(first):
            self._ask(device_id, peer, full=index == 0)

    def _ask(self, device_id: int, peer: Peer, full: bool) -> None:
        call = self._ask_full(peer) if full else self._ask_version(peer)
        self._pending[device_id] = call

        def answered(future: "asyncio.Future[Reply]") -> None:
            self._answered(device_id, full, future)

        call.add_done_callback(answered)

    def _hedge(self) -> None:
        if not self.done.done() and self._spare:
            self._ask(*self._spare.pop(0), full=not self.replies)

    def _answered(self, device_id: int, full: bool, call: "asyncio.Future[Reply]") -> None:
        self._pending.pop(device_id, None)
        error = None if call.cancelled() else call.exception()
        if self.done.done():
            if not call.cancelled() and error is None:
                close_body(call.result())
            return
        if error is not None or call.cancelled():
            if isinstance(error, RemoteError) and error.code == Refusal.STALE_RINGS:
                self._floor = max(self._floor, error.detail)
            self._hedge()
        else:
            reply = call.result()
            self._answers[device_id] = None if reply.metadata is None else parse(Version, reply.metadata)
            if full:
                self.replies[device_id] = reply
        self._decide()

    def _decide(self) -> None:
        verdict = judge(self._answers, self._quorum)
        if not isinstance(verdict, Settled) and (self._spare or self._pending):
            if self._spare and not self._pending:
                self._hedge()
            return
        if verdict is not None and not self.replies and self._pending and verdict.version is not None:
            return  # the bytes are still on their way, or the hedge will fetch them
        if verdict is not None:
            self.done.set_result(verdict)
            self._timer.cancel()
        elif not self._pending and not self._spare:
            self._timer.cancel()
            self.done.set_exception(
                StaleRings(self._floor) if self._floor else Unavailable(f"only {len(self._answers)} replicas answered")
            )

    def abandon(self) -> None:
        """Stop listening; what streams of bytes came are cut off."""
        self._timer.cancel()
        self.done.cancel()
        for reply in self.replies.values():
            close_body(reply)


def close_body(reply: Reply) -> None:
    """Cut off the stream of a reply that nobody will read."""
    if reply.body is not None:
        reply.body.close()
