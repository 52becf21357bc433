"""A device's answers to the CHUNK_* operations: a table from operation to handler, as storage.service has them."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from cluster.wire import Later, RemoteError, Reply, Request
from ring.hashing import NameHash
from storage.chunks import record as records
from storage.chunks.inventory import Inventory
from storage.chunks.pulls import Ask, Pulls
from storage.chunks.store import ChunkStore
from storage.chunks.sums import Sums
from storage.chunks.upkeep import ChunkUpkeep
from storage.chunks.version import CHUNK_SIZE, Version
from storage.log.interface import LogRefusal
from storage.messages import ChunkFlag, ChunkPull, ChunkRead, ChunkWrite, Operation, Refusal, parse

WRITES_LIMIT = 1024  # of one CHUNK_WRITE_MANY
MAP_LIMIT = 10_000  # chunks of one CHUNK_MAP or CHUNK_LIST, fences of one CHUNK_FENCES

Answer = Reply | Later | Coroutine[Any, Any, Reply]
_BLANK = ChunkFlag.ZERO | ChunkFlag.TRIM
_DONE = Reply()


class ChunkService:
    """Serves the chunks of one device."""

    def __init__(
        self,
        store: ChunkStore,
        device_id: int,
        names: NameHash,
        ask: Ask,
        spend: Callable[[int], None] = lambda _size: None,
    ) -> None:
        """`ask` asks another device; `spend` hears how many bytes are given to others as copies."""
        self._store = store
        self._device_id = device_id
        self.request_count = 0  # reads and writes
        self.pulls = Pulls(store, ask, spend)
        self._inventory = Inventory(store, names)
        self._spend = spend
        self.sums = Sums(store)
        self.upkeep = ChunkUpkeep(store, self.pulls, self._inventory)
        self.handlers: dict[int, Callable[[Request], Answer]] = {
            Operation.CHUNK_WRITE: self._write,
            Operation.CHUNK_WRITE_MANY: self._write_many,
            Operation.CHUNK_READ: self._read,
            Operation.CHUNK_FLUSH: self._flush,
            Operation.CHUNK_STAT: self._stat,
            Operation.CHUNK_FENCE: self._fence,
            Operation.CHUNK_COPY: self._copy,
            Operation.CHUNK_PULL: self._pull,
            Operation.CHUNK_MAP: self._map,
            Operation.CHUNK_DROP: self._drop,
            Operation.CHUNK_EXTENTS: self._extents,
            Operation.CHUNK_DIGESTS: self._digests,
            Operation.CHUNK_LIST: self._list,
            Operation.CHUNK_FENCES: self._fences,
            Operation.CHUNK_SUM: self._sum,
            Operation.CHUNK_MEND: self._mend,
        }

    async def settle(self) -> None:
        """Wait until every write that was let in before now is durable, or has failed."""
        with suppress(LogRefusal):  # the journal is closed, or its disk has failed: nothing will come of them
            await self._store.journal.settle()

    def _write(self, request: Request) -> Answer:
        self.request_count += 1
        future = self._store.write(parse(ChunkWrite, request.metadata), request.payload)
        self._store.journal.write_now()
        return _DONE if future is None or _is_done(future) else Later(future, _DONE)

    def _write_many(self, request: Request) -> Answer:
        self.request_count += 1
        if len(request.metadata) > WRITES_LIMIT:
            raise ValueError(f"{len(request.metadata)} writes at a time")
        messages = [parse(ChunkWrite, values) for values in request.metadata]
        sizes = [_payload_size(message) for message in messages]
        if sum(sizes) != len(request.payload):
            raise ValueError(f"{len(request.payload)} bytes for writes of {sum(sizes)}")
        payload, at = memoryview(request.payload), 0
        statuses: list[Any] = []
        waiting = []
        for index, message in enumerate(messages):
            status = None
            try:
                future = self._store.write(message, payload[at : at + sizes[index]])
            except RemoteError as refusal:
                status = refusal.code, refusal.detail
            except ValueError as error:
                status = Refusal.BAD_REQUEST, str(error)
            else:
                if future is not None:
                    waiting.append((index, future))
            statuses.append(status)
            at += sizes[index]
        self._store.journal.write_now()
        waiting = [each for each in waiting if not _is_done(each[1])]
        return _answered(statuses, waiting) if waiting else Reply(tuple(statuses))

    def _read(self, request: Request) -> Answer:
        self.request_count += 1
        return self._store.read(parse(ChunkRead, request.metadata))

    def _flush(self, request: Request) -> Answer:
        _family, _layer = request.metadata
        future = self._store.flush()
        return _DONE if future is None else Later(future, _DONE)

    def _stat(self, request: Request) -> Answer:
        family, layers, number = request.metadata
        for layer in layers:
            records.check_place(family, number, layer)
        return Reply(self._store.stat(family, layers, number))

    def _fence(self, request: Request) -> Answer:
        family, layer, epoch = request.metadata
        return Later(self._store.fence(family, layer, epoch), _DONE)

    def _copy(self, request: Request) -> Answer:
        family, number, layer, version = request.metadata
        records.check_place(family, number, layer)
        records.check_version(version)
        return self.pulls.give(family, number, layer, version)

    def _pull(self, request: Request) -> Answer:
        return self._pulled(self._checked(request), replace=False)

    def _mend(self, request: Request) -> Answer:
        return self._pulled(self._checked(request), replace=True)

    def _checked(self, request: Request) -> ChunkPull:
        message = parse(ChunkPull, request.metadata)
        records.check_place(message.family, message.chunk, message.layer)
        records.check_version(message.version)
        if message.source == self._device_id:
            raise ValueError("a device has nothing to copy from itself")
        return message

    async def _pulled(self, message: ChunkPull, replace: bool) -> Reply:
        version, _size = await self.pulls.copy(message, replace)
        return Reply((version,))

    def _sum(self, request: Request) -> Answer:
        family, number, layer, version = request.metadata
        records.check_place(family, number, layer)
        records.check_version(version)
        return self._summed(family, number, layer, version)

    async def _summed(self, family: bytes, number: int, layer: int, version: Version) -> Reply:
        found = await self.sums.sum_of(family, number, layer, version)
        self._spend(CHUNK_SIZE)  # without waiting: whoever compares waits for its own budget
        return Reply((found,))

    def _map(self, request: Request) -> Answer:
        family, layer, first, limit = request.metadata
        records.check_place(family, first, layer)
        return self._mapped(family, layer, first, max(0, min(limit, MAP_LIMIT)))

    async def _mapped(self, family: bytes, layer: int, first: int, limit: int) -> Reply:
        return Reply(await self._store.map(family, layer, first, limit))

    def _drop(self, request: Request) -> Answer:
        family, layer, numbers = request.metadata
        for number in numbers or (0,):
            records.check_place(family, number, layer)
        return self._dropped(family, layer, numbers)

    async def _dropped(self, family: bytes, layer: int, numbers: tuple[int, ...] | None) -> Reply:
        await self._store.drop(family, layer, numbers)
        return Reply()

    def _extents(self, request: Request) -> Answer:
        family, number, layer = request.metadata
        records.check_place(family, number, layer)
        return self._found_extents(family, number, layer)

    async def _found_extents(self, family: bytes, number: int, layer: int) -> Reply:
        return Reply(tuple(await self._store.extents(family, number, layer)))

    # comparison

    def _digests(self, request: Request) -> Answer:
        part_power, partitions = request.metadata
        return self._found_digests(int(part_power), tuple(map(int, partitions)))

    async def _found_digests(self, part_power: int, partitions: tuple[int, ...]) -> Reply:
        return Reply(tuple(await self._inventory.digests(part_power, partitions)))

    def _list(self, request: Request) -> Answer:
        part_power, partition, after, limit = request.metadata
        if after is not None:
            records.check_place(*after)
        return self._listed(int(part_power), int(partition), after and tuple(after), max(0, min(limit, MAP_LIMIT)))

    async def _listed(
        self, part_power: int, partition: int, after: tuple[bytes, int, int] | None, limit: int
    ) -> Reply:
        return Reply(tuple(await self._inventory.listed(part_power, partition, after, limit)))

    def _fences(self, request: Request) -> Answer:
        digest, after, limit = request.metadata
        if after is not None:
            records.check_place(after[0], 0, after[1])
        return self._found_fences(digest, after and tuple(after), max(0, min(limit, MAP_LIMIT)))

    async def _found_fences(self, digest: bytes, after: tuple[bytes, int] | None, limit: int) -> Reply:
        fences = await self._inventory.fences(after, limit)
        return Reply(None if digest == self._inventory.fence_digest() else tuple(fences))


def _is_done(future: "asyncio.Future[None]") -> bool:
    """Tell whether a write has ended well."""
    return future.done() and future.exception() is None


def _payload_size(message: ChunkWrite) -> int:
    """Return how many bytes of the payload are a write's."""
    if message.flags & _BLANK:
        return 0
    return sum([length for _offset, length in message.extents])


async def _answered(statuses: list[Any], waiting: list[tuple[int, Any]]) -> Reply:
    """Answer when the last is done; by then the others are."""
    for index, future in waiting:
        try:
            await future
        except RemoteError as refusal:
            statuses[index] = refusal.code, refusal.detail
    return Reply(tuple(statuses))
