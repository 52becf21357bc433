"""Clients: what they ask for, by seed, and what they note of the answers.

Each client does one thing after the other through a proxy, mostly its own. It gives up after a while; then, and when
the proxy dies or answers 503, what came of a write is unknown.
"""

import asyncio
import contextlib
import hashlib
import random
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from proxy.objects.errors import (
    ContainerNotEmpty,
    NoSuchContainer,
    NoSuchObject,
    NoSuchUpload,
    ObjectServiceError,
    OutOfSpace,
    SegmentChanged,
    Unavailable,
)
from proxy.objects.model import CommonPrefix, ListingQuery, NewObject, ObjectInfo, ObjectName
from proxy.objects.service import ObjectService
from storage.metadata import ObjectMetadata
from tests.sim.history import (
    History,
    Kind,
    Listing,
    Need,
    Operation,
    Outcome,
    State,
    body_of,
    value_of,
)
from tests.sim.world import ProxyHost, World

ACCOUNT = "AUTH_sim"
LARGE = (1 << 20) + 5000  # bytes: streamed to a file
_GIVE_UP_S = (3.0, 8.0, 30.0)


class ConditionFailed(Exception):
    """412, for one that is checked here."""


class Aborted(Exception):
    """The client has taken its upload back."""


class Damaged(Exception):
    """A client got bytes that nobody has written."""


@dataclass(frozen=True, slots=True)
class Mix:
    """How much of each kind of request there is."""

    weights: dict[str, float]
    think_s: float = 0.13
    large_share: float = 0.04
    hot_share: float = 0.5
    look_again: float = 0.4  # of reads, through any proxy: does anything go back?


STANDARD = Mix(
    {
        "put": 5.0,
        "get": 6.0,
        "stream": 1.0,
        "head": 2.0,
        "delete": 2.0,
        "create": 2.0,
        "replace": 2.0,
        "remove": 0.7,
        "update": 1.0,
        "list": 3.0,
        "multipart": 0.7,
        "brief": 1.0,
    }
)

CONTENDED = Mix(
    {
        "put": 4.0,
        "get": 8.0,
        "stream": 0.3,
        "head": 1.5,
        "delete": 3.0,
        "create": 4.0,
        "replace": 4.0,
        "remove": 1.5,
        "update": 2.5,
        "list": 1.0,
        "multipart": 0.3,
        "brief": 0.3,
    },
    think_s=0.09,
    large_share=0.02,
    hot_share=0.7,
)


class _Body:
    """A request's body, piece by piece, sometimes slowly."""

    def __init__(self, data: bytes, chance: random.Random, known: bool) -> None:
        self.length = len(data) if known else None
        self._data = memoryview(data)
        self._chance = chance
        self._piece = chance.choice([16 << 10, 256 << 10, 1 << 20])

    async def read(self) -> bytes:
        """Return the next piece."""
        if self._chance.random() < 0.3:
            await asyncio.sleep(self._chance.random() * 0.05)
        piece, self._data = self._data[: self._piece], self._data[self._piece :]
        return bytes(piece)


@dataclass(slots=True)
class Workload:
    """All clients of a simulation."""

    world: World
    history: History
    mix: Mix = STANDARD
    containers: tuple[str, ...] = ("c", "e")
    names: tuple[str, ...] = ("a", "b", "d/1", "d/2")
    cold: tuple[str, ...] = ()  # written in the beginning, and read at times
    etags: dict[str, str] = field(default_factory=dict)  # of all values
    damages: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    done: bool = False
    brief: str = "v"  # a container that comes and goes
    _count: int = 0

    async def prepare(self) -> None:
        """Make the containers."""
        for container in self.containers:
            await self._service(self.world.proxies[0]).create_container(ACCOUNT, container, {})
        writer = Client(self, 97)
        for name in self.cold:
            await writer.act(self.world.proxies[0], "put", self.containers[1], name)

    def glance(self, version: int) -> None:
        """Look at every name through every proxy, as soon as it goes by `version` of the rings.

        Not before: it would ask where all was until then, too, and bring to the new places what they lack.
        """

        async def look(number: int, container: str, names: tuple[str, ...]) -> None:
            reader, proxy = Client(self, 90 + number), self.world.proxies[number]
            with contextlib.suppress(TimeoutError):
                await self.world.until(lambda: proxy.goes_by(version), 3.0, "a look")
            for name in names:
                await reader.act(proxy, "get", container, name)

        for number in range(len(self.world.proxies)):
            for container in self.containers:
                self.world.background(look(number, container, self.names[:4]))
            self.world.background(look(number, self.containers[1], self.cold))

    @staticmethod
    def _service(proxy: ProxyHost) -> ObjectService:
        assert proxy.service is not None
        return proxy.service

    async def run(self, client_count: int) -> None:
        """Let clients work until `done`."""
        await asyncio.gather(*(Client(self, number).run() for number in range(client_count)))

    def new_value(self, client: str) -> str:
        """Return a value that nobody has written."""
        self._count += 1
        return f"{client}v{self._count}"

    async def compare(self, lost: Collection[bytes]) -> list[str]:
        """Return where objects and listings differ, now that nobody changes anything.

        An object whose newest version is `lost` may be listed as that: as a PUT of which nobody knows what came of it.
        """
        wrong = []
        key = self._service(self.world.proxies[0])._objects.key
        begin = len(self.history.operations)
        await self.look()
        found = self.history.operations[begin:]
        for listing in (one for one in found if one.listing is not None):
            listed = dict(listing.listing.items) if listing.listing is not None else {}
            for read in (one for one in found if one.kind is Kind.GET and one.container == listing.container):
                fitting = {self.etags[read.seen.data] if read.seen is not None else None}
                if key(ObjectName(ACCOUNT, read.container, read.name)) in lost:
                    fitting |= self._in_doubt(read.container, read.name)
                if read.outcome is Outcome.OK and listed.get(read.name) not in fitting:
                    wrong.append(f"{read}: the container lists {listed.get(read.name)}")
        return wrong

    def _in_doubt(self, container: str, name: str) -> set[str | None]:
        """Return the ETags of PUTs to a name of which their clients do not know what came of them."""
        return {
            self.etags[put.value]
            for put in self.history.of(container, name)
            if put.kind is Kind.PUT and put.outcome is Outcome.UNKNOWN and put.value in self.etags
        }

    def is_being_replaced(self, read: Operation, now: float) -> bool:
        """Tell whether anybody has written the name while it was read."""
        return any(
            other.kind in (Kind.PUT, Kind.DELETE) and other.ended >= read.began and other.began <= now
            for other in self.history.of(read.container, read.name)
        )

    async def look(self) -> None:
        """Read every name and every container once more through each proxy."""
        reader = Client(self, 99)
        for proxy in self.world.proxies:
            for container in self.containers:
                for name in self.names:
                    await reader.act(proxy, "get", container, name)
                await reader.list_all(proxy, container)
            for name in self.names[:2]:
                await reader.act(proxy, "get", self.brief, name)


class Client:
    """One client."""

    def __init__(self, workload: Workload, number: int) -> None:
        self._load = workload
        self._world = workload.world
        self._number = number
        self._name = f"c{number}"
        self._chance = workload.world.chance.stream(f"client {number}")
        self._known: dict[tuple[str, str], str] = {}  # the data that we saw last, for If-Match

    async def run(self) -> None:
        """Work until the workload is done."""
        load, chance = self._load, self._chance
        kinds, weights = list(load.mix.weights), list(load.mix.weights.values())
        while not load.done:
            await asyncio.sleep(chance.expovariate(1 / load.mix.think_s))
            proxy = self._world.proxies[self._number % len(self._world.proxies)]
            if chance.random() < 0.15:
                proxy = chance.choice(self._world.proxies)
            kind = chance.choices(kinds, weights)[0]
            if kind == "brief":
                await self._use_brief(proxy)
            else:
                await self._use(proxy, kind)

    async def _use(self, proxy: ProxyHost, kind: str) -> None:
        """Do something with an object, half of the time with one of the two that everybody wants."""
        load, chance = self._load, self._chance
        hot = chance.random() < load.mix.hot_share
        container = load.containers[0] if hot else chance.choice(load.containers)
        name = chance.choice(load.names[:2] if hot else load.names)
        await self.act(proxy, kind, container, name)
        while kind in ("get", "head") and chance.random() < load.mix.look_again:
            await self.act(chance.choice(self._world.proxies), kind, container, name)

    async def _use_brief(self, proxy: ProxyHost) -> None:
        """Do something with the container that comes and goes."""
        kind = self._chance.choice(["make", "put", "get", "delete", "delete", "drop", "drop"])
        name = "" if kind in ("make", "drop") else self._chance.choice(self._load.names[:2])
        await self.act(proxy, kind, self._load.brief, name)

    async def act(self, proxy: ProxyHost, kind: str, container: str, name: str) -> None:
        """Do one thing, and note what came of it."""
        action: Callable[[ObjectService, str, str], tuple[Operation, Awaitable[None]]]
        action = getattr(self, f"_{kind}")
        service, process = proxy.service, proxy.process
        if service is None or process is None:
            return
        operation, work = action(service, container, name)
        over = asyncio.Event()
        process.on_death(lambda _power_lost: over.set())
        task = process.spawn(_with_outcome(work))
        task.add_done_callback(lambda _task: over.set())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._chance.choice(_GIVE_UP_S)):
                await over.wait()
        if task.done() and process.alive and not task.cancelled():
            self._answered(operation, task.result())
        else:
            operation.note = "(no answer)"
            if process.alive:
                task.cancel()

    def _answered(self, operation: Operation, error: Exception | None) -> None:
        now = self._world.loop.time()
        if error is None:
            operation.ended, operation.outcome = now, Outcome.OK
            return
        operation.note = f"({error!r})"
        nothing = isinstance(error, NoSuchContainer) and operation.container == self._load.brief
        if isinstance(error, NoSuchObject | ConditionFailed) or (nothing and operation.kind is Kind.GET):
            operation.ended, operation.outcome = now, Outcome.REFUSED
            if operation.kind is Kind.GET:
                operation.outcome = Outcome.OK
        elif isinstance(error, Aborted):
            operation.ended, operation.outcome = now, Outcome.ABORTED
        elif isinstance(error, Damaged):
            self._load.damages.append(f"{operation}")
        elif isinstance(error, SegmentChanged) and self._load.is_being_replaced(operation, now):
            # what was replaced can be read on for `multipart_grace_s`, but for two things: a container that is deleted
            # takes its parts along, and a device whose clock is minutes ahead takes those that nobody lets expire, for
            # their proxy has died, for orphans
            return
        elif isinstance(error, ContainerNotEmpty):
            operation.ended, operation.outcome = now, Outcome.REFUSED
        elif not self._may_be(error, operation):
            self._load.unexpected.append(f"{operation}")

    def _may_be(self, error: Exception, operation: Operation) -> bool:
        """Tell whether a client may be answered so; what came of a write is not known then."""
        if isinstance(error, NoSuchContainer):
            return operation.container == self._load.brief
        if isinstance(error, OutOfSpace):
            return self._world.had_full_disks
        return isinstance(error, Unavailable | NoSuchUpload)

    def _begin(self, kind: Kind, container: str, name: str) -> Operation:
        return self._load.history.begin(self._name, kind, container, name, self._world.loop.time())

    # what clients ask for: each returns its operation, and the work that does it

    def _make(self, service: ObjectService, container: str, _name: str) -> tuple[Operation, Awaitable[None]]:
        operation = self._begin(Kind.CREATE, container, "")

        async def work() -> None:
            await service.create_container(ACCOUNT, container, {})

        return operation, work()

    def _drop(self, service: ObjectService, container: str, _name: str) -> tuple[Operation, Awaitable[None]]:
        operation = self._begin(Kind.DROP, container, "")

        async def work() -> None:
            await service.delete_container(ACCOUNT, container)

        return operation, work()

    def _put(self, service: ObjectService, container: str, name: str) -> tuple[Operation, Awaitable[None]]:
        return self._write(service, container, name, Need.NOTHING)

    def _create(self, service: ObjectService, container: str, name: str) -> tuple[Operation, Awaitable[None]]:
        return self._write(service, container, name, Need.ABSENT)

    def _replace(self, service: ObjectService, container: str, name: str) -> tuple[Operation, Awaitable[None]]:
        return self._write(service, container, name, Need.VALUE)

    def _write(
        self, service: ObjectService, container: str, name: str, need: Need
    ) -> tuple[Operation, Awaitable[None]]:
        operation = self._begin(Kind.PUT, container, name)
        data = self._new_body(operation)
        operation.need = need
        operation.needed = self._needed(container, name) if need is Need.VALUE else ""
        new = NewObject("text/plain", user={"v": operation.value}, condition=self._condition(operation))
        body = _Body(data, self._chance, self._chance.random() < 0.5)

        async def work() -> None:
            await service.put_object(ObjectName(ACCOUNT, container, name), body, new)

        return operation, work()

    def _new_body(self, operation: Operation) -> bytes:
        operation.value = self._load.new_value(self._name)
        size = LARGE if self._chance.random() < self._load.mix.large_share else self._chance.choice([0, 100, 5000])
        data = body_of(operation.value, size)
        self._load.etags[operation.value] = hashlib.md5(data).hexdigest()
        return data

    def _needed(self, container: str, name: str) -> str:
        return self._known.get((container, name), "nothing")

    def _condition(self, operation: Operation) -> Callable[[ObjectInfo | None], None] | None:
        if operation.need is Need.NOTHING:
            return None
        etag = self._load.etags.get(operation.needed, "")

        def check(current: ObjectInfo | None) -> None:
            if operation.need is Need.ABSENT:
                fits = current is None
            else:
                fits = current is not None and current.metadata.etag == etag
            if not fits:
                raise ConditionFailed

        return check

    def _delete(self, service: ObjectService, container: str, name: str) -> tuple[Operation, Awaitable[None]]:
        operation = self._begin(Kind.DELETE, container, name)

        async def work() -> None:
            await service.delete_object(ObjectName(ACCOUNT, container, name))

        return operation, work()

    def _remove(self, service: ObjectService, container: str, name: str) -> tuple[Operation, Awaitable[None]]:
        operation = self._begin(Kind.DELETE, container, name)
        operation.need, operation.needed = Need.VALUE, self._needed(container, name)

        async def work() -> None:
            await service.delete_object(ObjectName(ACCOUNT, container, name), self._condition(operation))

        return operation, work()

    def _update(self, service: ObjectService, container: str, name: str) -> tuple[Operation, Awaitable[None]]:
        operation = self._begin(Kind.UPDATE, container, name)
        operation.value = self._load.new_value(self._name)

        def change(metadata: ObjectMetadata) -> ObjectMetadata:
            return metadata._replace(user={"v": operation.value})

        async def work() -> None:
            await service.update_object(ObjectName(ACCOUNT, container, name), change)

        return operation, work()

    def _get(self, service: ObjectService, container: str, name: str) -> tuple[Operation, Awaitable[None]]:
        operation = self._begin(Kind.GET, container, name)

        async def work() -> None:
            reader = await service.get_object(ObjectName(ACCOUNT, container, name))
            data = b"".join([bytes(piece) async for piece in reader.pieces])
            self._saw(operation, reader.info, data)

        return operation, work()

    def _stream(self, service: ObjectService, container: str, name: str) -> tuple[Operation, Awaitable[None]]:
        """Read slowly, while others write."""
        operation = self._begin(Kind.GET, container, name)

        async def work() -> None:
            reader = await service.get_object(ObjectName(ACCOUNT, container, name))
            pieces = []
            try:
                async for piece in reader.pieces:
                    pieces.append(bytes(piece))
                    await asyncio.sleep(self._chance.random() * 0.2)
            finally:
                await reader.pieces.aclose()
            self._saw(operation, reader.info, b"".join(pieces))

        return operation, work()

    def _head(self, service: ObjectService, container: str, name: str) -> tuple[Operation, Awaitable[None]]:
        operation = self._begin(Kind.GET, container, name)

        async def work() -> None:
            info = await service.head_object(ObjectName(ACCOUNT, container, name))
            data = next((v for v, etag in self._load.etags.items() if etag == info.metadata.etag), info.metadata.etag)
            operation.seen = State(data, info.metadata.user["v"])

        return operation, work()

    def _saw(self, operation: Operation, info: ObjectInfo, data: bytes) -> None:
        try:
            value = value_of(data)
        except ValueError as error:
            operation.note = str(error)
            raise Damaged(str(error)) from error
        if self._load.etags.get(value) != info.metadata.etag:
            raise Damaged(f"the ETag says {info.metadata.etag}")
        operation.seen = State(value, info.metadata.user["v"])
        self._known[operation.container, operation.name] = value

    def _list(self, service: ObjectService, container: str, _name: str) -> tuple[Operation, Awaitable[None]]:
        prefix = self._chance.choice(["", "", "d/"])
        marker = self._chance.choice(["", "", self._chance.choice(self._load.names)])
        limit = self._chance.choice([1000, 1000, 2, 10])
        return self._page(service, container, ListingQuery(limit, prefix, marker))

    def _page(
        self, service: ObjectService, container: str, query: ListingQuery
    ) -> tuple[Operation, Awaitable[None]]:
        operation = self._begin(Kind.LIST, container, "")

        async def work() -> None:
            page = await service.list_container(ACCOUNT, container, query)
            rows = [item for item in page.items if not isinstance(item, CommonPrefix)]
            items = tuple((row.name, row.etag) for row in rows)
            operation.listing = Listing(query.prefix, query.marker, query.limit, items, page.truncated)

        return operation, work()

    async def list_all(self, proxy: ProxyHost, container: str) -> None:
        """List a container whole."""
        assert proxy.service is not None
        operation, work = self._page(proxy.service, container, ListingQuery())
        self._answered(operation, await _with_outcome(work))

    def _multipart(self, service: ObjectService, container: str, name: str) -> tuple[Operation, Awaitable[None]]:
        """Upload in one part, and complete or abort."""
        operation = self._begin(Kind.PUT, container, name)
        data = self._new_body(operation)
        self._load.etags[operation.value] = multipart_etag(data)
        target = ObjectName(ACCOUNT, container, name)
        body = _Body(data, self._chance, True)
        aborted = self._chance.random() < 0.3

        async def work() -> None:
            upload = await service.create_upload(target, NewObject("text/plain", user={"v": operation.value}))
            part = await service.put_part(target, upload, 1, body, NewObject(""))
            if aborted:
                await service.abort_upload(target, upload)
                raise Aborted
            await service.complete_upload(target, upload, [(1, part.metadata.etag, {})])

        return operation, work()


async def _with_outcome(work: Awaitable[Any]) -> Exception | None:
    """Return what `work` raises that a client can be told."""
    try:
        await work
    except (ObjectServiceError, Aborted, ConditionFailed, Damaged) as error:
        return error
    return None


def multipart_etag(data: bytes) -> str:
    """Return the ETag of an object of one part."""
    return f"{hashlib.md5(hashlib.md5(data).digest()).hexdigest()}-1"

