"""A device's answers to the CHUNK_* operations: a table from operation to handler, as storage.service has them."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from cluster.wire import Later, RemoteError, Reply, Request
from storage.chunks import record as records
from storage.chunks.pulls import Ask, Pulls
from storage.chunks.store import ChunkStore
from storage.log.interface import LogRefusal
from storage.messages import ChunkFlag, ChunkPull, ChunkRead, ChunkWrite, Operation, Refusal, parse

WRITES_LIMIT = 1024  # of one CHUNK_WRITE_MANY
MAP_LIMIT = 10_000  # chunks of one CHUNK_MAP

Answer = Reply | Later | Coroutine[Any, Any, Reply]
_BLANK = ChunkFlag.ZERO | ChunkFlag.TRIM
_DONE = Reply()


class ChunkService:
    """Serves the chunks of one device."""

    def __init__(
        self, store: ChunkStore, device_id: int, ask: Ask, spend: Callable[[int], None] = lambda _size: None
    ) -> None:
        """`ask` asks another device; `spend` hears how many bytes are given to others as copies."""
        self._store = store
        self._device_id = device_id
        self.request_count = 0  # reads and writes
        self.pulls = Pulls(store, ask, spend)
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
        }

    async def settle(self) -> None:
        """Wait until every write that was let in before now is durable, or has failed."""
        with suppress(LogRefusal):  # the journal is closed, or its disk has failed: nothing will come of them
            await self._store.journal.settle()

    def _write(self, request: Request) -> Answer:
        self.request_count += 1
        future = self._store.write(parse(ChunkWrite, request.metadata), request.payload)
        return _DONE if future is None else Later(future, _DONE)

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
        message = parse(ChunkPull, request.metadata)
        records.check_place(message.family, message.chunk, message.layer)
        records.check_version(message.version)
        if message.source == self._device_id:
            raise ValueError("a device has nothing to copy from itself")
        return self._pulled(message)

    async def _pulled(self, message: ChunkPull) -> Reply:
        return Reply((await self.pulls.pull(message),))

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
