"""Connections of a loopback cluster: `LoopbackPeer` has the interface of `cluster.wire.Peer`, and what can go wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import msgpack

from cluster.wire import Buffer, Later, PeerUnavailable, RemoteError, Reply, Request
from cluster.wire.connection import fail, failed
from cluster.wire.flow import WINDOW, BodyReader, Inflow, Outflow
from storage.service import DeviceService


class FarEnd(Protocol):
    """The device that a connection leads to."""

    @property
    def running(self) -> bool: ...
    @property
    def starts(self) -> int: ...
    @property
    def service(self) -> DeviceService: ...


class Network(Protocol):
    """What connections are made in."""

    @property
    def devices(self) -> Sequence[FarEnd]: ...
    @property
    def errors(self) -> list[BaseException]:
        """What handlers raised and should not have."""


class Loss(Enum):
    """What becomes of a call that is lost."""

    REQUEST = 1  # the device never hears of it
    REPLY = 2  # the device does it, and nobody hears of that


@dataclass(slots=True)
class Faults:
    """Of one connection. A test changes them at any time."""

    delay_s: float = 0.0  # each way
    # asked for each call: its operation number
    loss: Callable[[int], Loss | None] = lambda _operation: None


class _Pipe:
    """One body on its way: both ends of the wire's flow control, and the wire between them."""

    writing_paused = False

    def __init__(self, peer: "LoopbackPeer") -> None:
        self._peer = peer
        self._loop = peer.loop
        self.inflow = Inflow(self, 0, WINDOW, 0.0)
        self.outflow = Outflow(self, 0, WINDOW)
        self.abandoned: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self._loop.time()

    def new_waiter(self) -> "asyncio.Future[None]":
        return self._loop.create_future()

    def defer(self, callback: Callable[..., None], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, *arguments)

    def write_data(self, stream: int, piece: Buffer, length: int) -> None:
        del stream, length
        self._peer.later(self._feed, bytes(piece))

    def _feed(self, piece: bytes) -> None:
        if not self.inflow.finished:
            self.inflow.feed(piece)

    def give_credit(self, stream: int, length: int) -> None:
        del stream
        self._peer.later(self.outflow.add_credit, length)

    def abandon(self, stream: int) -> None:
        del stream
        self.abandoned()

    def end(self) -> None:
        """Send the end of the body."""
        self.outflow.end()
        self._peer.later(self.inflow.finish)

    def cut(self, error: Exception) -> None:
        """Let both ends know that nothing more comes."""
        self.outflow.end(error)
        self.inflow.finish(error)


class _Exchange:
    """One request and its answer."""

    def __init__(self, peer: "LoopbackPeer", request: Request, timeout_s: float) -> None:
        self._peer = peer
        self._request = request
        self._timeout_s = timeout_s
        self._running: asyncio.Future[Any] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loss: Loss | None = None
        self.upload: _Pipe | None = None  # of the request's body
        self._download: _Pipe | None = None  # of the reply's
        self.reply: asyncio.Future[Reply] = peer.loop.create_future()
        self.reply.add_done_callback(self._answered)

    def begin(self) -> None:
        """Send the request."""
        self._peer.exchanges.add(self)
        self._loss = self._peer.faults.loss(self._request.operation)
        if self._loss is Loss.REQUEST:
            self._peer.later(self.cut, PeerUnavailable("lost on the way"))
        else:
            self._peer.later(self._deliver)

    def expect_reply(self) -> None:
        """Begin to count the time that the reply may take."""
        error = PeerUnavailable(f"{self._peer.name}: no answer in {self._timeout_s} s")
        self._timer = self._peer.loop.call_later(self._timeout_s, self.cut, error)

    def cut(self, error: Exception) -> None:
        """End it here and there: the connection is lost, or nobody waits any more."""
        fail(self.reply, error)
        if isinstance(self._running, asyncio.Task):
            self._running.cancel()
        if self._sending is not None:
            self._sending.cancel()
        for pipe in (self.upload, self._download):
            if pipe is not None:
                pipe.cut(error)
        self._end()

    def _end(self) -> None:
        self._peer.exchanges.discard(self)

    def _answered(self, reply: "asyncio.Future[Reply]") -> None:
        if self._timer is not None:
            self._timer.cancel()
        if reply.cancelled():
            self.cut(PeerUnavailable("cancelled"))

    def _deliver(self) -> None:
        if self.reply.done():
            return
        try:
            outcome = self._peer.device.service.handle(self._request)
        except Exception as error:
            self._refuse(error)
            return
        if type(outcome) is Reply:
            self._answer(outcome)
        elif type(outcome) is Later:
            self._wait_for(outcome.future, outcome.reply)
        elif asyncio.isfuture(outcome):
            self._wait_for(outcome, None)
        else:
            assert asyncio.iscoroutine(outcome)
            self._wait_for(self._peer.loop.create_task(outcome), None)

    def _wait_for(self, future: "asyncio.Future[Any]", reply: Reply | None) -> None:
        self._running = future

        def finished(_future: "asyncio.Future[Any]") -> None:
            error = PeerUnavailable("the handler was cancelled") if future.cancelled() else future.exception()
            if error is not None:
                self._refuse(error)
            else:
                self._answer(future.result() if reply is None else reply)

        future.add_done_callback(finished)

    def _refuse(self, error: BaseException) -> None:
        if self.reply.done():
            return  # nobody waits any more, and the handler may have been told so
        if isinstance(error, RemoteError):
            copy = RemoteError(error.code, _copied(error.detail))
        else:
            self._peer.errors.append(error)
            copy = RemoteError(0, "internal")
        self._peer.later(self._fail, copy)

    def _fail(self, error: Exception) -> None:
        if self._loss is Loss.REPLY:
            error = PeerUnavailable("the refusal was lost")
        fail(self.reply, error)
        if self.upload is not None:
            self.upload.cut(error)
        self._end()

    def _answer(self, answer: Reply) -> None:
        body = answer.body
        if self.reply.done() or self._loss is Loss.REPLY:
            if body is not None:
                body.close()
            self._peer.later(self._fail, PeerUnavailable("the reply was lost"))
            return
        reply = Reply(_copied(answer.metadata), bytes(answer.payload))
        if body is not None:
            self._download = _Pipe(self._peer)
            self._download.abandoned = lambda: self._abandon(body)
            reply.body = BodyReader(self._download.inflow)
            self._sending = self._peer.loop.create_task(self._send(body, self._download))
        self._peer.later(self._hand_over, reply)

    def _hand_over(self, reply: Reply) -> None:
        if self.upload is not None:
            self.upload.outflow.end()
            self.upload.inflow.finish(PeerUnavailable("the request has been answered"))
        if not self.reply.done():
            self.reply.set_result(reply)
        self.reply = failed(self._peer.loop, PeerUnavailable("answered"))  # the body is its reader's alone
        if self._sending is None:
            self._end()

    def _abandon(self, body: Any) -> None:
        if self._sending is not None:
            self._sending.cancel()
        body.close()
        self._end()

    async def _send(self, body: AsyncIterator[Buffer], pipe: _Pipe) -> None:
        try:
            async for piece in body:
                await pipe.outflow.send(piece)
        except (RemoteError, PeerUnavailable) as error:
            pipe.inflow.finish(error)
        else:
            pipe.end()
        finally:
            body.close()  # type: ignore[attr-defined]
            self._end()


class _UploadStream:
    """What `cluster.wire.UploadStream` is."""

    def __init__(self, exchange: _Exchange, pipe: _Pipe) -> None:
        self._exchange = exchange
        self._reply = exchange.reply
        self._pipe = pipe
        self._finished = False
        self.try_send = pipe.outflow.try_send
        self.send = pipe.outflow.send

    def finish(self) -> "asyncio.Future[Reply]":
        """Send the end of the body; return the future of the reply."""
        if not self._finished and not self._pipe.outflow.ended:
            self._finished = True
            self._pipe.end()
            self._exchange.expect_reply()
        return self._reply

    def cancel(self) -> None:
        """Take the request back, unless it has been answered."""
        if not self._reply.done():
            self._exchange.cut(PeerUnavailable("cancelled"))


class LoopbackPeer:
    """A client's connection to a device."""

    latency_s = 0.001

    def __init__(self, network: Network, device_id: int, client: str) -> None:
        self._network = network
        self.errors = network.errors  # what handlers raised and should not have
        self.device_id = device_id
        self.name = f"{client} to device {device_id}"
        self.faults = Faults()
        self.exchanges: set[_Exchange] = set()
        self.sent: list[int] = []  # operations, in the order of the calls
        self._connected = True
        self._reconnections = 0

    def __repr__(self) -> str:
        return f"LoopbackPeer({self.name}, {'up' if self.up else 'down'})"

    @property
    def device(self) -> FarEnd:
        """The device at the other end."""
        return self._network.devices[self.device_id]

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        return asyncio.get_running_loop()

    @property
    def up(self) -> bool:
        """Tell whether calls can be made."""
        return self._connected and self.device.running

    @property
    def busy(self) -> bool:
        """Tell whether something is under way."""
        return bool(self.exchanges)

    def start(self) -> None:
        """Do nothing: it is connected."""

    async def close(self) -> None:
        """Hang up."""
        self.disconnect()

    async def ready(self, timeout_s: float) -> bool:
        """Tell whether calls can be made."""
        del timeout_s
        return self.up

    def disconnect(self) -> None:
        """Lose the connection, and what is under way."""
        self._connected = False
        self.cut("the connection was lost")

    def reconnect(self) -> None:
        """Have the connection back."""
        self._connected = True
        self._reconnections += 1

    @property
    def connection_count(self) -> int:
        """How many connections there have been."""
        return self._reconnections + self.device.starts

    def cut(self, reason: str) -> None:
        """End what is under way."""
        for exchange in list(self.exchanges):
            exchange.cut(PeerUnavailable(f"{self.name}: {reason}"))

    def later(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Call back when what is sent now arrives."""
        if self.faults.delay_s:
            self.loop.call_later(self.faults.delay_s, callback, *arguments)
        else:
            self.loop.call_soon(callback, *arguments)

    def call(
        self, operation: int, metadata: Any, payload: Buffer = b"", timeout_s: float = 5.0, tag: int = 0
    ) -> "asyncio.Future[Reply]":
        """Send a request; return the future of its reply."""
        self.sent.append(int(operation))
        if not self.up:
            return failed(self.loop, PeerUnavailable(f"{self.name}: down"))
        deadline = self.loop.time() + timeout_s
        request = Request(int(operation), _copied(metadata), bytes(payload), None, deadline, self, tag)
        exchange = _Exchange(self, request, timeout_s)
        reply = exchange.reply
        exchange.expect_reply()
        exchange.begin()
        return reply

    def send(self, operation: int, metadata: Any, tag: int = 0) -> None:
        """Send a request that nobody answers."""
        self.call(operation, metadata, tag=tag)

    def open(self, operation: int, metadata: Any, timeout_s: float, tag: int = 0) -> _UploadStream:
        """Begin a request with a streamed body."""
        self.sent.append(int(operation))
        pipe = _Pipe(self)
        body, deadline = BodyReader(pipe.inflow), self.loop.time() + timeout_s
        request = Request(int(operation), _copied(metadata), b"", body, deadline, self, tag)
        exchange = _Exchange(self, request, timeout_s)
        exchange.upload = pipe
        if self.up:
            exchange.begin()
        else:
            exchange.cut(PeerUnavailable(f"{self.name}: down"))
        return _UploadStream(exchange, pipe)


def _copied(metadata: Any) -> Any:
    """Return `metadata` as the wire brings it: arrays are tuples, and nothing is shared."""
    return msgpack.unpackb(msgpack.packb(metadata), use_list=False)
