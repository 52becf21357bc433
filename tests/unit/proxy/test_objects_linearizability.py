"""proxy.objects under random faults: names are linearizable registers, listings show what was acknowledged.

A history of a register is linearizable when timestamps order it: every operation that begins after
another one has ended is given a timestamp at least as high (higher, if it is a write), and one
timestamp always means one value (Attiya, Bar-Noy, Dolev, JACM 1995, section 3).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from cluster.clock import ZERO, Timestamp, wall_us
from proxy.objects.errors import NameContended, NoSuchObject, Unavailable
from proxy.objects.model import CommonPrefix, ListingQuery, ObjectName
from proxy.objects.register import Register
from storage import metadata
from storage.messages import DatabaseKind, Operation, Version
from storage.metadata import ObjectMetadata
from tests.loopback import TEXT, LoopbackCluster, LoopbackProxy, Loss, MiB, body_of, in_cluster

OPERATIONS = 300
CLIENTS = 6
STEPS = OPERATIONS // CLIENTS
KEYS = [bytes([number]) * 16 for number in (0, 60, 120)]
SKEW_US = 200_000
WRITES = {Operation.BLOB_PUT, Operation.BLOB_DELETE, Operation.BLOB_COMMIT, Operation.BLOB_UPDATE, Operation.INDEX_ROWS}


@dataclass(frozen=True, slots=True)
class Event:
    """An operation that has ended well."""

    began: float
    ended: float
    timestamp: Timestamp
    wrote: bool


@dataclass(slots=True)
class History:
    """What was done to one key."""

    events: list[Event] = field(default_factory=list)
    values: dict[Timestamp, bytes] = field(default_factory=dict)
    attempted: set[bytes] = field(default_factory=lambda: {b""})  # a deletion is the empty value

    def means(self, timestamp: Timestamp, value: bytes) -> None:
        """Note which value a timestamp stands for."""
        assert self.values.setdefault(timestamp, value) == value, "one timestamp, two values"
        assert value in self.attempted, "a value that nobody wrote"

    def check(self) -> None:
        """Fail unless the timestamps order the history."""
        for event in self.events:
            before = [other for other in self.events if other.ended < event.began]
            newest = max((other.timestamp for other in before), default=ZERO)
            if event.wrote:
                assert event.timestamp > newest, "a write is behind what had ended before it began"
            else:
                assert event.timestamp >= newest, "a read goes back"


class Chaos:
    """Breaks one thing at a time, sometimes two, so that a quorum is there most of the time."""

    def __init__(self, cluster: LoopbackCluster, proxies: list[LoopbackProxy], chance: random.Random) -> None:
        self._cluster = cluster
        self._proxies = proxies
        self._chance = chance
        self.done = False

    async def run(self) -> None:
        """Break and heal until `done`."""
        while not self.done:
            await asyncio.sleep(self._chance.uniform(0.002, 0.02))
            faults = [self._device_down, self._link_down, self._slow, self._lossy, self._half, self._half, self._crash]
            await self._chance.choice(faults)()

    async def _device_down(self) -> None:
        with self._cluster.without(self._chance.choice(self._cluster.devices)):
            await asyncio.sleep(self._chance.uniform(0, 0.03))

    async def _link_down(self) -> None:
        peer = self._chance.choice(list(self._chance.choice(self._proxies).peers.values()))
        peer.disconnect()
        await asyncio.sleep(self._chance.uniform(0, 0.03))
        peer.reconnect()

    async def _slow(self) -> None:
        peer = self._chance.choice(list(self._chance.choice(self._proxies).peers.values()))
        peer.faults.delay_s = self._chance.choice([0.001, 0.01, 0.1])
        await asyncio.sleep(self._chance.uniform(0, 0.03))
        peer.faults.delay_s = 0.0

    async def _lossy(self) -> None:
        peer = self._chance.choice(list(self._chance.choice(self._proxies).peers.values()))
        peer.faults.loss = lambda _operation: self._chance.choice([None, Loss.REQUEST, Loss.REPLY])
        await asyncio.sleep(self._chance.uniform(0, 0.03))
        peer.faults.loss = lambda _operation: None

    async def _half(self) -> None:
        """Let writes of one proxy reach a few replicas only, which then have what a quorum has not."""
        peers = self._chance.sample(list(self._chance.choice(self._proxies).peers.values()), 2)
        for peer in peers:
            peer.faults.loss = lambda operation: Loss.REQUEST if operation in WRITES else None
        await asyncio.sleep(self._chance.uniform(0.005, 0.03))
        for peer in peers:
            peer.faults.loss = lambda _operation: None

    async def _crash(self) -> None:
        device = self._chance.choice(self._cluster.devices)
        await device.crash()
        device.start()


Step = Callable[[int, random.Random, LoopbackProxy], Awaitable[None]]


def two_proxies(cluster: LoopbackCluster) -> list[LoopbackProxy]:
    """Return proxies whose clocks differ."""
    return [cluster.proxy(), cluster.proxy(lambda: wall_us() - SKEW_US)]


async def act(proxies: list[LoopbackProxy], seed: int, step: Step, until: Callable[[int], bool]) -> None:
    """Have clients take steps until that many are enough."""

    async def client(number: int) -> None:
        own = random.Random(f"{seed}-{number}")
        count = 0
        while not until(count):
            await step(number, own, proxies[number % 2])
            await asyncio.sleep(own.choice([0, 0, 0.001, 0.003]))
            count += 1

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))


async def under_faults(
    cluster: LoopbackCluster, seed: int, step: Step, until: Callable[[int], bool] = lambda count: count >= STEPS
) -> list[LoopbackProxy]:
    """Have clients of two proxies take steps while things break; heal in the end."""
    proxies = two_proxies(cluster)
    chaos = Chaos(cluster, proxies, random.Random(seed))
    breaking = asyncio.create_task(chaos.run())
    await act(proxies, seed, step, until)
    chaos.done = True
    await breaking
    return proxies


class Clients:
    """Read and write registers, and note what came of it."""

    def __init__(self) -> None:
        self.histories = {key: History() for key in KEYS}
        self.unavailable_count = 0
        self._count = 0
        self._registers: dict[int, Register] = {}

    def _register(self, proxy: LoopbackProxy) -> Register:
        return self._registers.setdefault(id(proxy), Register(proxy.placement, proxy.clock))

    async def step(self, _number: int, chance: random.Random, proxy: LoopbackProxy) -> None:
        """Do something to some key."""
        key = chance.choice(KEYS)
        history = self.histories[key]
        act = chance.choices([self._put, self._stream, self._delete, self._update, self._get, self._head],
                             [4, 1, 1, 1, 5, 3])[0]
        began = asyncio.get_running_loop().time()
        try:
            timestamp = await act(self._register(proxy), key, history)
        except Unavailable:
            self.unavailable_count += 1
            return
        if timestamp is not None:
            wrote = act not in (self._get, self._head)
            history.events.append(Event(began, asyncio.get_running_loop().time(), timestamp, wrote))

    def _value(self, history: History) -> bytes:
        self._count += 1
        value = b"%d" % self._count
        history.attempted.add(value)
        return value

    @staticmethod
    def _about(value: bytes) -> ObjectMetadata:
        return ObjectMetadata("a", "c", "o", 0, value.decode(), "", 0, {}, {}, {}, {})

    async def _put(self, register: Register, key: bytes, history: History) -> Timestamp:
        value = self._value(history)
        timestamp, _previous = await register.put(key, 0, self._about(value), value)
        history.means(timestamp, value)
        return timestamp

    async def _stream(self, register: Register, key: bytes, history: History) -> Timestamp:
        value = self._value(history)
        upload = await register.upload(key, None)
        try:
            await upload.send(value)
            await upload.finish()
            timestamp, _previous = await register.commit(key, upload, 0, self._about(value))
        except BaseException:
            upload.abort()
            raise
        history.means(timestamp, value)
        return timestamp

    async def _delete(self, register: Register, key: bytes, history: History) -> Timestamp:
        value = self._value(history)
        timestamp, _previous = await register.delete(key, 0, self._about(value))
        history.means(timestamp, b"")
        return timestamp

    async def _update(self, register: Register, key: bytes, history: History) -> Timestamp | None:
        """Change metadata only; the value is then the metadata's, over some older data."""

        def there(current: Version | None) -> None:
            if current is None or current.deleted:
                raise NoSuchObject

        value = self._value(history)
        try:
            timestamp, _previous = await register.update(key, lambda _old: self._about(value), there)
        except (NoSuchObject, NameContended):  # or it can't be told whether it was, between plain writes
            return None
        history.means(timestamp, value)
        return timestamp

    async def _get(self, register: Register, key: bytes, history: History) -> Timestamp | None:
        held = await register.get(key)
        if held is None:
            return None  # a tombstone, or nothing: `_head` looks at those
        data = bytes(held.payload)
        assert held.body is None
        assert data in history.attempted
        return self._seen(held.version, history)

    async def _head(self, register: Register, key: bytes, history: History) -> Timestamp:
        version = await register.head(key)
        return ZERO if version is None else self._seen(version, history)

    @staticmethod
    def _seen(version: Version, history: History) -> Timestamp:
        value = b"" if version.deleted else metadata.unpack(version.metadata).etag.encode()
        history.means(version.timestamp, value)
        return version.timestamp


@pytest.mark.parametrize("seed", range(4))
def test_registers_are_linearizable_under_faults(seed: int) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        clients = Clients()
        proxies = await under_faults(cluster, seed, clients.step)
        for key, history in clients.histories.items():
            began = asyncio.get_running_loop().time()
            version = await Register(proxies[0].placement, proxies[0].clock).head(key)
            assert version is not None
            history.events.append(Event(began, began, version.timestamp, False))
            history.check()
        ended_well = sum(len(history.events) for history in clients.histories.values())
        assert ended_well > OPERATIONS // 3, "a history of failures shows nothing"

    scenario()


class Names:
    """Clients that put and delete objects of their own, and look at the listing."""

    def __init__(self) -> None:
        self.present: dict[str, bool | None] = {}  # None: in doubt, or being changed
        self.changes: dict[str, int] = {}
        self.listed_count = 0
        self.unavailable_count = 0

    async def step(self, number: int, chance: random.Random, proxy: LoopbackProxy) -> None:
        """Change one object, or list."""
        if chance.random() < 0.3:
            await self._list(proxy)
        else:
            await self._change(f"{number}-{chance.randrange(4)}", chance, proxy)

    async def _change(self, text: str, chance: random.Random, proxy: LoopbackProxy) -> None:
        name = ObjectName("AUTH_a", "c", text)
        self.present[text] = None
        self.changes[text] = self.changes.get(text, 0) + 1
        try:
            if chance.random() < 0.7:
                data = bytes(MiB + 1) if chance.random() < 0.05 else text.encode()
                await proxy.service.put_object(name, body_of(data), TEXT)
                self.present[text] = True
            else:
                await proxy.service.delete_object(name)
                self.present[text] = False
        except Unavailable:
            self.unavailable_count += 1

    async def _list(self, proxy: LoopbackProxy) -> None:
        before, changes = dict(self.present), dict(self.changes)
        try:
            listing = await proxy.service.list_container("AUTH_a", "c", ListingQuery())
        except Unavailable:
            self.unavailable_count += 1
            return
        self.listed_count += 1
        self.compare({item.name for item in listing.items if not isinstance(item, CommonPrefix)}, before, changes)

    async def look(self, proxy: LoopbackProxy) -> None:
        """Compare the listing, and the objects, with what is certain, now that nobody changes anything."""
        await self._list(proxy)
        for text, present in self.present.items():
            name = ObjectName("AUTH_a", "c", text)
            if present:
                await proxy.service.head_object(name)
            elif present is False:
                with pytest.raises(NoSuchObject):
                    await proxy.service.head_object(name)

    def compare(self, listed: set[str], before: dict[str, bool | None], changes: dict[str, int]) -> None:
        """Fail unless all that was certain, and did not change meanwhile, is listed rightly."""
        for text, present in before.items():
            if present is not None and self.changes[text] == changes[text]:
                assert (text in listed) == present, f"{text} is{' not' * present} listed"


@pytest.mark.parametrize("seed", range(3))
def test_listings_show_what_was_acknowledged_under_faults(seed: int) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        await cluster.proxy().service.create_container("AUTH_a", "c", {})
        names = Names()
        proxies = await under_faults(cluster, seed, names.step)
        assert names.listed_count > OPERATIONS // 10, "a history of failures shows nothing"
        for proxy in proxies:
            await names.look(proxy)
        for device in cluster.devices:
            for kind in DatabaseKind:
                await device.synchronize(kind).step()
        for device in cluster.devices:
            with cluster.without(device):
                await names._list(proxies[0])

    scenario()
