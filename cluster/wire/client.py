"""The client's end of one connection.

A call costs a future and an entry in a table: no task, no timer. Deadlines, cancelled calls and
heartbeats are seen to by a sweep over the tables, every SWEEP_S while something is under way. A
reply to a call that is no longer in the table is dropped.
"""

import asyncio
import math
import os
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from cluster.clock import wall_us
from cluster.wire import handshake
from cluster.wire.connection import Connection, fail, failed, stamp_age_s
from cluster.wire.errors import OVERLOADED, HandshakeError, PeerUnavailable, ProtocolError, RemoteError
from cluster.wire.flow import WINDOW, BodyReader, Inflow, Outflow
from cluster.wire.frame import METADATA_LIMIT, PAYLOAD_LIMIT, Buffer, Flag, Kind, MiB, encode_header
from cluster.wire.liveness import CLIENT as PATIENCE
from cluster.wire.liveness import Verdict
from cluster.wire.message import Reply

OUTSTANDING_LIMIT = 64 * MiB  # bytes of calls that wait for their answers
CALL_OVERHEAD = 512  # bytes that a call is taken to cost besides metadata and payload

SWEEP_S = 0.05  # how late a deadline may be noticed
REST_S = 1.0  # between sweeps when nothing is under way

CLOCK_INTERVAL_S = 5.0  # between questions for the server's time
CLOCK_TRIP_LIMIT_S = 1.0  # an answer that took longer says too little: half of it may be error

LATENCY_WEIGHT = 1 / 16  # of the newest answer in the estimate
FIRST_LATENCY_S = 0.001  # taken before anything is known

_LAST_STREAM = (1 << 32) - 1  # then from 1 again
_TIMEOUT_LIMIT_MS = (1 << 32) - 1
_REPLY, _DATA, _REQUEST = int(Kind.REPLY), int(Kind.DATA), int(Kind.REQUEST)  # compared or packed per frame


class Latency:
    """How fast a peer answers calls: a moving average that outlives its connections."""

    __slots__ = ("estimate_s",)

    def __init__(self) -> None:
        self.estimate_s = FIRST_LATENCY_S

    def __repr__(self) -> str:
        return f"Latency({self.estimate_s * 1000:.2f} ms)"


class _Upload:
    """A streamed request that has not been answered."""

    __slots__ = ("flow", "reply", "timeout_s")

    def __init__(self, flow: Outflow, reply: "asyncio.Future[Reply]", timeout_s: float) -> None:
        self.flow = flow
        self.reply = reply
        self.timeout_s = timeout_s


class ClientConnection(Connection):
    """One connection, from before it is made until after its end. `is_up` when calls can be made."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        key: bytes,
        name: str,
        *,
        latency: Latency,
        outstanding_limit: int = OUTSTANDING_LIMIT,
        on_state: Callable[[], None],
        entropy: Callable[[int], bytes] = os.urandom,
        wall: Callable[[], int] = wall_us,
    ) -> None:
        super().__init__(loop, PATIENCE, wall)
        self._key = key
        self._name = name
        self._latency = latency
        self._entropy = entropy
        self._on_state = on_state  # called when `is_up` or `closed` changes
        self._transcript = (b"", b"")  # challenge and hello
        self._version = 0  # of the protocol, once it is chosen
        self._tag = 0  # of the requests sent last
        self.clock_offset_s: float | None = None  # the server's wall clock minus ours, as last measured
        self._asked_time_at = 0.0  # loop time
        self.is_up = False
        self.refused = False  # it ended because keys or versions do not fit

        # by stream: the future, loop time of the deadline, bytes it counts, loop time of sending
        self._calls: dict[int, tuple[asyncio.Future[Reply], float, int, float]] = {}
        self._uploads: dict[int, _Upload] = {}
        self._inflows: dict[int, Inflow] = {}  # bodies of replies
        self._last_stream = 0
        self._outstanding = 0  # bytes
        self._outstanding_limit = outstanding_limit
        self._request_limit = 0  # the server's
        self._call_limit = 0  # the same, while we are up
        self._window = 0  # the server's
        self._timer: asyncio.TimerHandle | None = None
        self._resting = False  # the sweep is
        self._busy_at = 0.0  # loop time

    def __repr__(self) -> str:
        state = "up" if self.is_up else self.reason
        bodies = len(self._inflows) + len(self._uploads)
        return f"ClientConnection({self._name}, {state}, calls={len(self._calls)}, bodies={bodies})"

    # what users do, through Peer

    def call(
        self, operation: int, metadata: Any, payload: Buffer, timeout_s: float, tag: int
    ) -> asyncio.Future[Reply]:
        """Send a request at once; return the future of its reply."""
        packed = b"" if metadata == () else self._pack(metadata)
        length = len(payload)
        assert length <= PAYLOAD_LIMIT
        assert len(packed) <= METADATA_LIMIT
        size = len(packed) + length + CALL_OVERHEAD
        if self._outstanding + size > self._outstanding_limit or len(self._calls) >= self._call_limit:
            return failed(self._loop, self._unavailable())
        future: asyncio.Future[Reply] = self._loop.create_future()
        now = self._loop.time()
        stream = self._register(future, now + timeout_s, size, now)
        if tag != self._tag:
            self._change_tag(tag)
        milliseconds = min(int(timeout_s * 1000), _TIMEOUT_LIMIT_MS)
        head = encode_header(_REQUEST, 0, operation, stream, milliseconds, len(packed), length)
        self._write(head + packed, payload, length)
        return future

    def send(self, operation: int, metadata: Any, tag: int) -> None:
        """Send a request that nobody answers. It is dropped when the connection is down or full."""
        if self.is_up and not self.writing_paused:
            if tag != self._tag:
                self._change_tag(tag)
            self._write_frame(Kind.REQUEST, 0, Flag.ONE_WAY, operation, 0, metadata)

    def open(self, operation: int, metadata: Any, timeout_s: float, tag: int) -> "UploadStream":
        """Begin a request whose body is streamed. One that cannot be sent fails when it is used."""
        if len(self._calls) >= self._call_limit:
            error = self._unavailable()
            flow = Outflow(self, 0, 0)
            flow.end(error)
            return UploadStream(self, flow, failed(self._loop, error))
        reply: asyncio.Future[Reply] = self._loop.create_future()
        stream = self._register(reply, math.inf, CALL_OVERHEAD, self._loop.time())
        flow = Outflow(self, stream, self._window)
        self._uploads[stream] = _Upload(flow, reply, timeout_s)
        if tag != self._tag:
            self._change_tag(tag)
        milliseconds = min(int(timeout_s * 1000), _TIMEOUT_LIMIT_MS)
        self._write_frame(Kind.REQUEST, stream, Flag.STREAMED, operation, milliseconds, metadata)
        return UploadStream(self, flow, reply)

    def _change_tag(self, tag: int) -> None:
        """Let the server know the tag of the requests from here on."""
        self._tag = tag
        if self._version >= handshake.TAGS_SINCE:
            self._write_frame(Kind.TAG, argument=tag)

    def end_upload(self, stream: int) -> None:
        """Send the end of a request's body; its answer is due from now on."""
        upload = self._uploads[stream]
        upload.flow.end()
        self._write_frame(Kind.END, stream)
        reply, _deadline, size, sent_at = self._calls[stream]
        self._calls[stream] = (reply, self._loop.time() + upload.timeout_s, size, sent_at)

    def cancel_upload(self, stream: int) -> None:
        """Take a request back."""
        self._give_up(stream, PeerUnavailable("cancelled"))

    @property
    def busy(self) -> bool:
        """Tell whether something is under way."""
        return bool(self._calls or self._inflows)

    # the table of calls

    def _register(self, future: "asyncio.Future[Reply]", deadline: float, size: int, now: float) -> int:
        stream = self._last_stream % _LAST_STREAM + 1
        while stream in self._calls or stream in self._inflows:  # from the round before
            stream = stream % _LAST_STREAM + 1
        self._last_stream = stream
        self._calls[stream] = (future, deadline, size, now)
        self._outstanding += size
        if self._resting:
            self._hasten(now)
        return stream

    def _forget(self, stream: int) -> "asyncio.Future[Reply] | None":
        call = self._calls.pop(stream, None)
        if call is None:
            return None
        self._outstanding -= call[2]
        return call[0]

    def _give_up(self, stream: int, error: Exception) -> None:
        """Fail a call or a body, and tell the server that nobody waits for it."""
        future = self._forget(stream)
        if future is not None:
            fail(future, error)
        upload = self._uploads.pop(stream, None)
        if upload is not None:
            upload.flow.end(error)
        inflow = self._inflows.pop(stream, None)
        if inflow is not None:
            inflow.finish(error)
        if future is not None or inflow is not None:
            self._write_frame(Kind.CANCEL, stream)

    def abandon(self, stream: int) -> None:
        """Forget the body of a reply."""
        if self._inflows.pop(stream, None) is not None:
            self._write_frame(Kind.CANCEL, stream)

    def _unavailable(self) -> PeerUnavailable:
        return PeerUnavailable(f"{self._name}: {'queue full' if self.is_up else self.reason}")

    # frames

    def _on_frame(
        self, kind: int, flags: int, code: int, stream: int, argument: int, metadata: Any, payload: Buffer
    ) -> None:
        if kind == _REPLY:
            call = self._calls.pop(stream, None)
            if call is None:
                return
            future, _deadline, size, sent_at = call
            self._outstanding -= size
            if flags or stream in self._uploads:
                self._on_streamed_reply(stream, flags, call, Reply(metadata, payload))
                return
            latency = self._latency
            latency.estimate_s += (self._loop.time() - sent_at - latency.estimate_s) * LATENCY_WEIGHT
            if not future.done():
                future.set_result(Reply(metadata, payload))
        elif kind == _DATA:
            inflow = self._inflows.get(stream)
            if inflow is not None:
                inflow.feed(payload)
        else:
            self._on_rarer_frame(kind, code, stream, argument, metadata)

    def _on_rarer_frame(self, kind: int, code: int, stream: int, argument: int, metadata: Any) -> None:
        if kind == Kind.END:
            inflow = self._inflows.pop(stream, None)
            if inflow is not None:
                inflow.finish()
        elif kind == Kind.CREDIT:
            upload = self._uploads.get(stream)
            if upload is not None:
                upload.flow.add_credit(argument)
        elif kind == Kind.REFUSAL:
            self._on_refusal(stream, code, metadata)
        elif kind == Kind.PING:
            self._pong(argument)
        elif kind == Kind.PONG:
            self._take_time(argument, metadata)
        else:
            raise ProtocolError(f"a frame of kind {kind} from a server")

    def _take_time(self, stamp: int, metadata: Any) -> None:
        """Note how far the server's clock is from ours, if it tells and has answered soon enough to mean much."""
        if not stamp or not isinstance(metadata, tuple) or not metadata or type(metadata[0]) is not int:
            return
        took_s = stamp_age_s(stamp, self._loop.time())
        if took_s <= CLOCK_TRIP_LIMIT_S:
            self.clock_offset_s = (metadata[0] - self._wall_us()) / 1e6 + took_s / 2

    def _on_streamed_reply(
        self, stream: int, flags: int, call: "tuple[asyncio.Future[Reply], float, int, float]", reply: Reply
    ) -> None:
        """Take a reply to a streamed request, or one with a streamed body."""
        future, deadline, _size, sent_at = call
        upload = self._uploads.pop(stream, None)
        if upload is not None:
            upload.flow.end()
        if flags & Flag.STREAMED:
            if future.done():
                self._write_frame(Kind.CANCEL, stream)
                return
            timeout_s = deadline - sent_at if upload is None else upload.timeout_s
            inflow = self._inflows[stream] = Inflow(self, stream, WINDOW, timeout_s)
            reply.body = BodyReader(inflow)
        if not future.done():
            future.set_result(reply)

    def _on_refusal(self, stream: int, code: int, detail: Any) -> None:
        error: Exception = RemoteError(code, detail)
        if code == OVERLOADED:
            error = PeerUnavailable(f"{self._name}: overloaded")
        upload = self._uploads.pop(stream, None)
        if upload is not None:
            upload.flow.end(error)
        future = self._forget(stream)
        if future is not None:
            fail(future, error)
        inflow = self._inflows.pop(stream, None)
        if inflow is not None:
            inflow.finish(error)

    # handshake

    def _on_connected(self) -> None:
        """Wait for the challenge. Peer bounds how long."""

    def _on_handshake(
        self, kind: int, flags: int, code: int, stream: int, argument: int, metadata: Any, payload: Buffer
    ) -> None:
        first = metadata[0] if isinstance(metadata, tuple) and metadata else None
        challenge, hello = self._transcript
        if kind == Kind.CHALLENGE and not challenge:
            self._answer_challenge(first)
        elif kind == Kind.PROOF and challenge:
            handshake.check_proof(self._key, handshake.SERVER, challenge, hello, first)
            self._begin()
        elif kind == Kind.REFUSAL:
            raise HandshakeError(f"the server refuses us: {first}")
        else:
            raise HandshakeError(f"a frame of kind {kind} in the handshake")

    def _answer_challenge(self, packed: Any) -> None:
        challenge = handshake.unpack_challenge(packed)
        self._window = challenge.window
        self._version = version = handshake.choose_version(challenge)
        nonce = self._entropy(handshake.NONCE_SIZE)
        hello = handshake.pack_hello(handshake.Hello(version, nonce, self._name, WINDOW))
        self._transcript = (packed, hello)
        self._request_limit = challenge.request_limit
        proof = handshake.prove(self._key, handshake.CLIENT, packed, hello)
        self._write_frame(Kind.HELLO, metadata=(hello, proof))

    def _begin(self) -> None:
        self._trust()
        self._call_limit = self._request_limit
        self.is_up = True
        self._busy_at = self._asked_time_at = self._loop.time()
        self._timer = self._loop.call_later(SWEEP_S, self._sweep)
        self._ping()
        self._on_state()

    # time

    def _hasten(self, now: float) -> None:
        """Let a resting sweep come soon: something is under way again."""
        assert self._timer is not None
        self._timer.cancel()
        self._resting, self._busy_at = False, now
        self._timer = self._loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        now = self._loop.time()
        self._expire(now)
        busy = bool(self._calls or self._inflows)
        if busy:
            self._busy_at = now
        if self._look_for_life(now, REST_S if self._resting else SWEEP_S, busy) is Verdict.DEAD:
            return
        if now - self._asked_time_at >= CLOCK_INTERVAL_S:
            self._asked_time_at = now
            self._ping()
        self._resting = not self._liveness.pinged and now - self._busy_at >= REST_S
        if self._resting:
            self._decoder.trim()
        self._timer = self._loop.call_later(REST_S if self._resting else SWEEP_S, self._sweep)

    def _expire(self, now: float) -> None:
        """Give up what has waited for too long, or is not wanted any more."""
        for stream, (future, deadline, _size, sent_at) in list(self._calls.items()):
            if now >= deadline:
                self._give_up(stream, PeerUnavailable(f"{self._name}: no answer in {now - sent_at:.2f} s"))
            elif future.done():
                self._give_up(stream, PeerUnavailable("cancelled"))
        for stream, upload in list(self._uploads.items()):
            since = upload.flow.waiting_since
            if since is not None and now - since >= upload.timeout_s:
                self._give_up(stream, PeerUnavailable(f"{self._name}: no credit in {now - since:.2f} s"))
        for stream, inflow in list(self._inflows.items()):
            since = inflow.waiting_since
            if since is not None and now - since >= inflow.timeout_s:
                self._give_up(stream, PeerUnavailable(f"{self._name}: no data in {now - since:.2f} s"))

    # the end

    def _outflows(self) -> Iterable[Outflow]:
        return [upload.flow for upload in self._uploads.values()]

    def _on_violation(self, error: ProtocolError) -> None:
        self.refused = isinstance(error, HandshakeError)
        super()._on_violation(error)

    def _on_closed(self) -> None:
        self.is_up, self._call_limit = False, 0
        if self._timer is not None:
            self._timer.cancel()
        calls, self._calls, self._outstanding = self._calls, {}, 0
        for future, _deadline, _size, _sent_at in calls.values():
            fail(future, self._unavailable())
        uploads, self._uploads = self._uploads, {}
        for upload in uploads.values():
            upload.flow.end(self._unavailable())
        inflows, self._inflows = self._inflows, {}
        for inflow in inflows.values():
            inflow.finish(self._unavailable())
        self._on_state()


class UploadStream:
    """A request whose body is sent piece by piece. Finish or cancel it; one that is dropped is cancelled."""

    __slots__ = ("_connection", "_flow", "_reply")

    def __init__(self, connection: ClientConnection, flow: Outflow, reply: "asyncio.Future[Reply]") -> None:
        self._connection = connection
        self._flow = flow
        self._reply = reply

    def __repr__(self) -> str:
        return f"UploadStream({self._flow!r})"

    def __del__(self) -> None:
        if not self._flow.ended:
            self._connection.defer(self._connection.cancel_upload, self._flow.stream)

    def try_send(self, piece: Buffer) -> bool:
        """Send `piece`, if it can go without waiting; else return False. Raises as `send` does."""
        return self._flow.try_send(piece)

    def send(self, piece: Buffer) -> Coroutine[Any, Any, None]:
        """Send `piece`, waiting for credit when there is none. The buffer must not change any more.

        Raise PeerUnavailable or RemoteError as soon as it is known that the request has failed. A server
        that answers before it has everything does not want the rest: that is passed over silently.
        """
        return self._flow.send(piece)

    def finish(self) -> "asyncio.Future[Reply]":
        """Send the end of the body; return the future of the reply, which is due in `timeout_s`."""
        if not self._flow.ended:
            self._connection.end_upload(self._flow.stream)
        return self._reply

    def cancel(self) -> None:
        """Take the request back, unless it has been answered."""
        if not self._reply.done():
            self._connection.cancel_upload(self._flow.stream)
