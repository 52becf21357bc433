"""Connections between simulated processes: `cluster.wire.network.Network` without sockets.

As TCP does, a connection never reorders or repeats bytes; what is on its way arrives, late perhaps, or never because
the connection has ended. Links, per direction and pair of hosts, have a delay and may be cut: while one is cut nothing
passes, and what was sent waits (retransmission) until the link is whole again or somebody hangs up. A process that is
killed leaves a host that tells the other ends; one whose power is lost leaves silence.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

from cluster.wire.network import Listener, ProtocolFactory
from tests.sim.process import Process, ProcessKilled

SOCKET_BUFFERS = 256 << 10  # bytes that the two kernels of a connection hold
MiB = 1 << 20
_FOR_EVER_S = 3600.0  # nobody answers; who waits has a deadline


class Link:
    """One direction between two hosts."""

    __slots__ = ("cut", "delay_s", "rate", "usual_s", "waiting")

    def __init__(self, usual_s: float) -> None:
        self.usual_s = usual_s
        self.delay_s = usual_s
        self.rate = 400.0 * MiB  # bytes a second
        self.cut = False
        self.waiting: list[Callable[[], None]] = []  # to be called when it is whole again

    def mend(self) -> None:
        """Be whole, and as fast as before."""
        self.delay_s = self.usual_s
        if self.cut:
            self.cut = False
            waiting, self.waiting = self.waiting, []
            for go_on in waiting:
                go_on()


class Fabric:
    """All hosts, what listens on them, and the links between them."""

    def __init__(self, chance: random.Random, delay_s: float = 0.0003, unevenness: float = 1.0) -> None:
        """`unevenness`: by up to so much links are faster or slower than `delay_s`."""
        self.chance = chance
        self._unevenness = unevenness
        self._links: dict[tuple[str, str], Link] = {}
        self._listeners: dict[str, _Listener] = {}
        self._ends: dict[End, None] = {}  # of connections that are open; in the order of their making
        self.dark: set[str] = set()  # hosts without power
        self.delay_s = delay_s
        self.sent_bytes = 0

    def __repr__(self) -> str:
        return f"Fabric({len(self._ends)} ends, {len(self._listeners)} listeners)"

    def network(self, process: Process) -> "SimulatedNetwork":
        """Return the network as `process` sees it."""
        return SimulatedNetwork(self, process)

    def link(self, source: str, target: str) -> Link:
        """Return the link from one host to another."""
        link = self._links.get((source, target))
        if link is None:
            usual_s = self.delay_s * self._unevenness ** self.chance.uniform(-1, 1)
            link = self._links[source, target] = Link(usual_s)
        return link

    def cut(self, source: str, target: str) -> None:
        """Let nothing pass from one host to another."""
        if source != target:
            self.link(source, target).cut = True

    def heal(self) -> None:
        """Make all links whole, and as fast as they were."""
        for link in self._links.values():
            link.mend()

    def mend(self, source: str, target: str) -> None:
        """Make one link whole."""
        self.link(source, target).mend()

    def reset_some(self, share: float) -> int:
        """End some connections at one end; the other end learns later. Return how many."""
        chosen = [end for end in self._ends if self.chance.random() < share]
        for end in chosen:
            end.break_off(ConnectionResetError(104, "connection reset by peer"))
        return len(chosen)

    def latency(self, link: Link) -> float:
        """Return how long bytes take now."""
        return link.delay_s * (0.5 + self.chance.random())

    def listen(self, address: str, factory: ProtocolFactory, process: Process) -> "_Listener":
        """Begin to accept."""
        known = self._listeners.get(address)
        if known is not None and known.process.alive:
            raise OSError(98, "another process listens there", address)
        listener = self._listeners[address] = _Listener(self, address, factory, process)
        return listener

    def listener(self, address: str) -> "_Listener | None":
        """Return who accepts at `address`."""
        found = self._listeners.get(address)
        return found if found is not None and found.process.alive and not found.closed else None

    def owner(self, address: str) -> "_Listener | None":
        """Return who accepted there last."""
        return self._listeners.get(address)

    def opened(self, end: "End") -> None:
        """Note an end of a connection."""
        self._ends[end] = None

    def ended(self, end: "End") -> None:
        """Forget it."""
        self._ends.pop(end, None)


class _Listener:
    def __init__(self, fabric: Fabric, address: str, factory: ProtocolFactory, process: Process) -> None:
        self.fabric, self.factory, self.process = fabric, factory, process
        self._address = address
        self.closed = False

    @property
    def address(self) -> str:
        """Return where it can be reached."""
        return self._address

    def close(self) -> None:
        """Accept no more."""
        self.closed = True


class SimulatedNetwork:
    """The network of one process."""

    def __init__(self, fabric: Fabric, process: Process) -> None:
        self._fabric = fabric
        self._process = process

    async def connect(self, address: str, factory: ProtocolFactory) -> None:
        """Connect: there and back."""
        fabric, process = self._fabric, self._process
        owner = fabric.owner(address)
        if owner is None:
            await asyncio.sleep(fabric.delay_s)
            raise ConnectionRefusedError(111, "nobody listens", address)
        host = owner.process.host
        await self._travel(process.host, host)
        if host in fabric.dark:
            await asyncio.sleep(_FOR_EVER_S)
        listener = fabric.listener(address)
        if listener is None:
            await self._travel(host, process.host)
            raise ConnectionRefusedError(111, "nobody listens", address)
        near, far = connected(fabric, process, listener.process)
        far.call_soon(far.begin, listener.factory)
        await self._travel(host, process.host)
        near.begin(factory)

    async def _travel(self, source: str, target: str) -> None:
        """Wait until a packet has arrived. On a link that is cut: until it is whole again."""
        link = self._fabric.link(source, target)
        while link.cut:
            whole = asyncio.Event()
            link.waiting.append(whole.set)
            await whole.wait()
            await asyncio.sleep(0.2 * self._fabric.chance.random())  # retransmission
        await asyncio.sleep(self._fabric.latency(link))

    async def listen(self, address: str, factory: ProtocolFactory) -> Listener:
        """Accept connections."""
        return self._fabric.listen(address, factory, self._process)


def connected(fabric: Fabric, one: Process, other: Process) -> "tuple[End, End]":
    """Return the two ends of a new connection."""
    near, far = End(fabric, one), End(fabric, other)
    near.other, far.other = far, near
    near.link = fabric.link(one.host, other.host)
    far.link = fabric.link(other.host, one.host)
    for end in (near, far):
        fabric.opened(end)
        end.process.on_death(end.process_died)
    return near, far


class End(asyncio.Transport):
    """One end: the transport of a process, and what its kernel does for it."""

    other: "End"
    link: Link  # to the other end

    def __init__(self, fabric: Fabric, process: Process) -> None:
        super().__init__()
        self._fabric = fabric
        self.process = process
        self._loop = asyncio.get_running_loop()
        self._protocol: asyncio.BufferedProtocol | None = None
        self._high, self._low = 64 << 10, 16 << 10
        self._paused_writing = self._paused_reading = False
        self._closing = self._lost = self._sent_end = False
        self._on_way = 0  # bytes written that the other end has not read
        self._last_arrival = 0.0
        self._inbox: deque[bytes | None] = deque()  # arrived, not read; None: the end
        self._outbox: deque[tuple[float, bytes | None]] = deque()  # on its way: when it arrives, and what
        self._pumping = False
        self._reading = False

    def begin(self, factory: ProtocolFactory) -> None:
        """Give the connection to its protocol, as the process of this end."""
        protocol = self._protocol = factory()
        protocol.connection_made(self)
        if self._inbox:
            self._schedule_read()

    # what protocols call

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the connection: no socket."""
        return f"sim:{self.other.process.name}" if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set when the protocol is told to pause, and to go on."""
        self._high = 64 << 10 if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        """Return how much the kernel has not taken yet."""
        return max(0, self._on_way - SOCKET_BUFFERS)

    def is_closing(self) -> bool:
        """Tell whether it has been closed."""
        return self._closing

    def write(self, data: Any) -> None:
        """Send bytes."""
        self._put(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        """Send bytes."""
        self._put(b"".join(list_of_data))

    def _put(self, data: bytes) -> None:
        if self._closing or self._lost or not data:
            return
        self._on_way += len(data)
        self._fabric.sent_bytes += len(data)
        self._send(data)
        if not self._paused_writing and self.get_write_buffer_size() > self._high:
            self._paused_writing = True
            assert self._protocol is not None
            self._protocol.pause_writing()

    def pause_reading(self) -> None:
        """Let what arrives wait."""
        self._paused_reading = True

    def resume_reading(self) -> None:
        """Take what has arrived."""
        self._paused_reading = False
        if self._inbox:
            self._schedule_read()

    def close(self) -> None:
        """Send what was written, then the end."""
        if not self._closing and not self._lost:
            self._closing = True
            self._finish_sending()
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        """End at once; the other end finds a reset."""
        if not self._lost:
            self._closing = True
            self._finish_sending()
            self._loop.call_soon(self._lose, None)

    # how it ends

    def break_off(self, error: Exception) -> None:
        """End this end only, as a middle box or a kernel does that has given up; the other end learns later."""
        if not self._lost:
            self._closing = True
            self._finish_sending()
            self.call_soon(self._lose, error)

    def process_died(self, power_lost: bool) -> None:
        """Let the kernel of a killed process tell the other end; when the power is lost nobody does."""
        if self._lost:
            return
        if power_lost:
            self._outbox.clear()
        else:
            self._finish_sending()
        self._lost = self._closing = True
        self._fabric.ended(self)

    def _finish_sending(self) -> None:
        if not self._sent_end:
            self._sent_end = True
            self._send(None)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        self._inbox.clear()
        self._fabric.ended(self)
        if self._protocol is not None:
            self._protocol.connection_lost(error)

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Call back as the process of this end."""
        self._loop.call_soon(callback, *arguments, context=self.process.callbacks)

    # bytes on their way

    def _send(self, data: bytes | None) -> None:
        link, now = self.link, self._loop.time()
        at = max(self._last_arrival, now + self._fabric.latency(link))
        at += (len(data) if data else 0) / link.rate
        self._last_arrival = at
        self._outbox.append((at, data))
        if not self._pumping:
            self._pumping = True
            self._loop.call_at(at, self._pump, context=NOBODY)

    def _pump(self) -> None:
        """Deliver what is due, in order; while the link is cut the first of it waits, and all behind it."""
        outbox = self._outbox
        while outbox:
            at, data = outbox[0]
            if at > self._loop.time() + 1e-9:
                self._loop.call_at(at, self._pump, context=NOBODY)
                return
            if self.link.cut:
                self.link.waiting.append(self._link_whole)
                return
            outbox.popleft()
            self._arrive(data)
        self._pumping = False

    def _link_whole(self) -> None:
        self._loop.call_later(0.2 * self._fabric.chance.random(), self._pump, context=NOBODY)  # retransmission

    def _arrive(self, data: bytes | None) -> None:
        """Bytes reach the other end's kernel."""
        other = self.other
        if other._lost:
            if data is not None:
                self._loop.call_later(self._fabric.latency(other.link), self._reset, context=NOBODY)
            return
        other._inbox.append(data)
        if other._protocol is not None and not other._reading:
            other._read_now()

    def _reset(self) -> None:
        """The other end's kernel knows no such connection, if there is a kernel and it can tell us."""
        if not self._lost and self.other.process.host not in self._fabric.dark and not self.other.link.cut:
            self._closing = True
            self.call_soon(self._lose, ConnectionResetError(104, "connection reset by peer"))

    def _schedule_read(self) -> None:
        if not self._reading:
            self._reading = True
            self.call_soon(self._read)

    def _read_now(self) -> None:
        """Wake the process, which takes what has arrived; a stopped one does so later."""
        process = self.process
        if not process.running:
            self._schedule_read()
            return
        try:
            process.callbacks.run(self._read)
        except Exception as error:
            self._loop.call_exception_handler({"message": f"{self.process} reading", "exception": error})
        except ProcessKilled:  # in the midst of what it did with it
            return

    def _read(self) -> None:
        self._reading = False
        while self._inbox and not self._paused_reading and not self._lost:
            data = self._inbox.popleft()
            if data is None:
                self._hung_up()
                return
            self._feed(data)
            self.other._delivered(len(data))

    def _hung_up(self) -> None:
        assert self._protocol is not None
        if not self._protocol.eof_received():
            self._closing = True
            self._finish_sending()
            self._lose(None)

    def _feed(self, data: bytes) -> None:
        assert self._protocol is not None
        view = memoryview(data)
        while view and not self._lost and not self._closing:
            buffer = memoryview(self._protocol.get_buffer(-1)).cast("B")
            count = min(len(view), len(buffer))
            buffer[:count] = view[:count]
            self._protocol.buffer_updated(count)
            view = view[count:]

    def _delivered(self, count: int) -> None:
        """The other end has read; the kernel takes more."""
        self._on_way -= count
        if self._paused_writing and self.get_write_buffer_size() <= self._low and not self._lost:
            self._paused_writing = False
            self.call_soon(self._resume)

    def _resume(self) -> None:
        if not self._lost and self._protocol is not None:
            self._protocol.resume_writing()


NOBODY = Context()  # what happens in the network is no process's
