"""A body on its way to several replicas at once, prepared and nameless.

A replica that fails or falls behind is left out as long as a quorum goes on; it is repaired later.

It holds no version of the rings: who is a replica when all of it is there is for the commit to see (register).
Memory: one piece at a time for all replicas, plus what each connection's credit allows in flight.
"""

import asyncio
import os

from cluster.wire import Peer, PeerUnavailable, RemoteError, UploadStream
from proxy.http.message import Buffer
from proxy.objects.errors import OutOfSpace, QuorumNotReached
from proxy.objects.rounds import Peers
from storage.messages import BlobPrepare, Operation, Refusal
from storage.quorum import Quorum

STALL_TIMEOUT_S = 30.0  # without credit from a peer whose heartbeat goes on: its disk hangs
LAG_S = 1.0  # how far one replica may fall behind a quorum before it is left out
SYNC_LAG_S = 0.5  # how much longer than a quorum one may take to have it on disk
FINISH_TIMEOUT_S = 30.0  # fdatasync of a large file on a busy disk


class Upload:
    """Streams pieces to replicas; `prepared` are those that have all of it on disk after `finish`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        peers: Peers,
        quorum: Quorum,
        size: int | None,
        rings_version: int,
    ) -> None:
        self.upload_id = os.urandom(16)
        self.prepared: list[tuple[int, Peer]] = []
        self._quorum = quorum
        self._loop = loop
        self._failures: dict[int, BaseException] = {}
        self._streams: dict[int, tuple[Peer, UploadStream]] = {}
        for device_id, peer in peers:
            if peer.up:
                message = BlobPrepare(self.upload_id, size)
                stream = peer.open(Operation.BLOB_PREPARE, message, STALL_TIMEOUT_S, rings_version)
                self._streams[device_id] = (peer, stream)

    async def send(self, piece: Buffer) -> None:
        """Send the next piece to all; the buffer belongs to the connections from here on."""
        waiting: dict[asyncio.Task[None], int] = {}
        for device_id, (_peer, stream) in list(self._streams.items()):
            try:
                if not stream.try_send(piece):
                    waiting[self._loop.create_task(stream.send(piece))] = device_id
            except (PeerUnavailable, RemoteError) as error:
                self._drop(device_id, error)
        if waiting:
            await self._settle(waiting)
        self._require_quorum()

    async def _settle(self, waiting: "dict[asyncio.Task[None], int]") -> None:
        """Wait for the sends that have no credit; leave out who lags behind a quorum."""
        try:
            pending = set(waiting)
            while pending:
                behind = {waiting[task] for task in pending}
                enough = self._quorum.reached(self._streams.keys() - behind)
                done, pending = await asyncio.wait(
                    pending, timeout=LAG_S if enough else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in [task for task in waiting if task in done]:
                    error = task.exception()
                    if error is not None:
                        self._drop(waiting[task], error)
                if not done:
                    for task in [task for task in waiting if task in pending]:
                        self._drop(waiting[task], PeerUnavailable("fell behind"))
                    return
        finally:
            for task in waiting:
                task.cancel()

    async def finish(self) -> None:
        """End the body; return when a quorum has it on disk."""
        calls = {stream.finish(): device_id for device_id, (_peer, stream) in self._streams.items()}
        pending = set(calls)
        deadline = self._loop.time() + FINISH_TIMEOUT_S
        while pending:
            enough = self._quorum.reached([device_id for device_id, _peer in self.prepared])
            limit = SYNC_LAG_S if enough else max(0.0, deadline - self._loop.time())
            done, pending = await asyncio.wait(pending, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            for call in [call for call in calls if call in done]:
                self._finished(calls[call], call.exception())
            if not done:
                for call in [call for call in calls if call in pending]:
                    self._drop(calls[call], PeerUnavailable("too slow to sync"))
                break
        self._require_quorum()

    def _finished(self, device_id: int, error: BaseException | None) -> None:
        if error is None:
            self.prepared.append((device_id, self._streams[device_id][0]))
        else:
            self._drop(device_id, error)

    def abort(self) -> None:
        """Drop what was prepared, everywhere."""
        for peer, stream in self._streams.values():
            stream.cancel()
            self._abort(peer)
        self._streams.clear()

    def forget(self) -> None:
        """Drop what is left where it was refused. Who has committed, or is about to, was told to before."""
        for _device_id, peer in self.prepared:
            self._abort(peer)

    def _abort(self, peer: Peer) -> None:
        if peer.up:
            peer.send(Operation.BLOB_ABORT, (self.upload_id,))

    def _drop(self, device_id: int, error: BaseException) -> None:
        self._failures[device_id] = error
        peer, stream = self._streams.pop(device_id)
        stream.cancel()
        self._abort(peer)  # it may have all of it by now

    def _require_quorum(self) -> None:
        if self._quorum.reached(self._streams):
            return
        full = any(isinstance(e, RemoteError) and e.code == Refusal.DEVICE_FULL for e in self._failures.values())
        if full:
            raise OutOfSpace("too few devices have room")
        raise QuorumNotReached(self._quorum.tally().needed, len(self._streams), self._failures)
