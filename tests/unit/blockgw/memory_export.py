"""A volume in memory, to test and to measure the NBD server with.

    python -m tests.unit.blockgw.memory_export SOCKET SIZE [--deferred] [--block BYTES] [--certificates FOLDER]

serves two until SIGTERM, "memory" and "second", and "fixed" to alice alone; on a unix socket, and on a port
which it prints. SIGUSR1 closes the connections of "memory", SIGUSR2 prints what was counted of it.

Blocks of 4 KiB that were never written, or were trimmed, are holes.
"""

import argparse
import asyncio
import gc
import json
import signal
from collections.abc import Iterable, Sequence

import uvloop

from blockgw.errors import UnknownExport, VolumeError
from blockgw.interfaces import BlockSizes, Client, Description, Export, Extent, Pieces
from blockgw.nbd.access import Guarded, Rule
from blockgw.nbd.contexts import BASE_ALLOCATION, HOLE, ZERO
from blockgw.nbd.server import PLAIN, NbdServer, Security
from blockgw.nbd.tls import Certificates

BLOCK = 4096
ALLOWED = frozenset({"alice"})
_ZEROES = bytes(1 << 20)


class MemoryExport:
    """See `Export`. `deferred`: writes and reads are done in a later turn of the event loop, as real ones are."""

    def __init__(
        self,
        name: str,
        size: int,
        *,
        read_only: bool = False,
        deferred: bool = False,
        multi_conn: bool = True,
        contexts: Sequence[str] = (BASE_ALLOCATION,),
        block_sizes: BlockSizes = BlockSizes(),  # noqa: B008
    ) -> None:
        self.name, self.size, self.read_only = name, size, read_only
        self.description = "a volume in memory"
        self.block_sizes, self.multi_conn, self.contexts = block_sizes, multi_conn, contexts
        self.dirty: dict[str, list[Extent]] = {}  # by context, what it says of the whole volume
        self.held: asyncio.Future[None] | None = None  # while set, writes wait for it
        self.failure: Exception | None = None  # what every operation raises
        self.log: list[str] = []  # operations other than reads and writes
        self.opened = 0
        self._deferred = deferred
        self._data = bytearray(size)
        self._view = memoryview(self._data)
        self._allocated = bytearray((size + BLOCK - 1) // BLOCK)  # by block, 0: hole
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._done.set_result(None)

    def read(self, offset: int, length: int) -> Pieces | asyncio.Future[Pieces]:
        self._check()
        pieces = self._pieces(offset, length)
        if not self._deferred:
            return pieces
        future: asyncio.Future[Pieces] = self._loop.create_future()
        self._loop.call_soon(future.set_result, pieces)
        return future

    def write(self, offset: int, data: memoryview, fua: bool) -> asyncio.Future[None]:
        self._check()
        length = len(data)
        self._view[offset : offset + length] = data
        self._mark(offset, length, 1)
        if self.held is not None:
            return asyncio.ensure_future(asyncio.shield(self.held))
        return self._finished()

    def write_zeroes(
        self, offset: int, length: int, fua: bool, may_trim: bool, fast: bool
    ) -> asyncio.Future[None]:
        self._check()
        self.log.append(f"write_zeroes {offset} {length} fua={fua} may_trim={may_trim} fast={fast}")
        self._clear(offset, length)
        if not may_trim:
            self._mark(offset, length, 1)
        return self._finished()

    def trim(self, offset: int, length: int, fua: bool) -> asyncio.Future[None]:
        self._check()
        self.log.append(f"trim {offset} {length} fua={fua}")
        self._clear(offset, length)
        return self._finished()

    def flush(self) -> asyncio.Future[None]:
        self._check()
        self.log.append("flush")
        return self._finished()

    def cache(self, offset: int, length: int) -> asyncio.Future[None]:
        self._check()
        self.log.append(f"cache {offset} {length}")
        return self._finished()

    async def block_status(self, context: str, offset: int, length: int) -> list[Extent]:
        self._check()
        if context != BASE_ALLOCATION:
            return list(_cut(self.dirty[context], offset, length))
        return [(size, 0 if there else HOLE | ZERO) for size, there in self._extents(offset, length)]

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _finished(self) -> asyncio.Future[None]:
        if not self._deferred:
            return self._done
        future = self._loop.create_future()
        self._loop.call_soon(future.set_result, None)
        return future

    def _mark(self, offset: int, length: int, value: int) -> None:
        first, last = offset // BLOCK, (offset + length + BLOCK - 1) // BLOCK
        if last - first == 1:
            self._allocated[first] = value
        else:
            self._allocated[first:last] = bytes([value]) * (last - first)

    def _clear(self, offset: int, length: int) -> None:
        for begin in range(offset, offset + length, len(_ZEROES)):
            end = min(begin + len(_ZEROES), offset + length)
            self._view[begin:end] = _ZEROES[: end - begin]
        first, last = (offset + BLOCK - 1) // BLOCK, (offset + length) // BLOCK
        if first < last:
            self._allocated[first:last] = bytes(last - first)

    def _extents(self, offset: int, length: int) -> Iterable[tuple[int, bool]]:
        """Yield (length, whether there are data) from `offset` on."""
        end = offset + length
        while offset < end:
            block = offset // BLOCK
            there = self._allocated[block]
            other = self._allocated.find(1 - there, block)
            stop = end if other < 0 else min(end, other * BLOCK)
            yield stop - offset, bool(there)
            offset = stop

    def _pieces(self, offset: int, length: int) -> Pieces:
        first, last = offset // BLOCK, (offset + length + BLOCK - 1) // BLOCK
        if self._allocated.find(0, first, last) < 0:
            return [self._view[offset : offset + length]]
        pieces: list[memoryview | bytes | bytearray | int] = []
        for size, there in self._extents(offset, length):
            pieces.append(self._view[offset : offset + size] if there else size)
            offset += size
        return pieces


class MemoryExports:
    """See `Exports`."""

    def __init__(self, *exports: MemoryExport) -> None:
        self.exports = {export.name: export for export in exports}
        self.clients: list[Client] = []  # who has opened something
        self.refusal: VolumeError | None = None  # what `open` raises

    def list(self, client: Client) -> Iterable[str]:
        return self.exports

    async def describe(self, name: str, client: Client) -> Description:
        export = await self._find(name)
        return Description(
            export.name, export.size, export.read_only, export.description, export.block_sizes, export.multi_conn,
            tuple(export.contexts)
        )

    async def _find(self, name: str) -> MemoryExport:
        await asyncio.sleep(0)
        if self.refusal is not None:
            raise self.refusal
        if name not in self.exports:
            raise UnknownExport(f"there is no export {name}")
        return self.exports[name]

    async def open(self, name: str, client: Client) -> Export:
        await self._find(name)
        self.clients.append(client)
        self.exports[name].opened += 1
        return self.exports[name]

    def release(self, export: Export) -> None:
        self.exports[export.name].opened -= 1


def _cut(extents: Sequence[Extent], offset: int, length: int) -> Iterable[Extent]:
    """Yield the part of `extents`, which begin at 0, that lies in the range."""
    begin = 0
    for size, flags in extents:
        low, high = max(begin, offset), min(begin + size, offset + length)
        if low < high:
            yield high - low, flags
        begin += size


async def _serve(arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    sizes = BlockSizes(minimum=arguments.block)
    volume = MemoryExport("memory", arguments.size, deferred=arguments.deferred, block_sizes=sizes)
    second = MemoryExport("second", arguments.size, deferred=arguments.deferred)
    fixed = MemoryExport("fixed", 1 << 20, read_only=True)
    server = NbdServer(Guarded(MemoryExports(volume, second, fixed), [Rule("fixed", identities=ALLOWED), Rule()]))
    security = PLAIN
    if arguments.certificates:
        folder = arguments.certificates
        tls = Certificates(f"{folder}/server-cert.pem", f"{folder}/server-key.pem", f"{folder}/ca-cert.pem")
        security = Security(tls)
    await server.listen_unix(arguments.path, security)
    port = await server.listen_tcp("127.0.0.1", 0, security)
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGUSR1, lambda: asyncio.ensure_future(server.close_export("memory")))
    loop.add_signal_handler(signal.SIGUSR2, lambda: print(json.dumps(server.counters("memory").snapshot()), flush=True))
    gc.freeze()
    print(json.dumps({"port": port}), flush=True)
    await stopping.wait()
    await server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("size", type=int)
    parser.add_argument("--deferred", action="store_true")
    parser.add_argument("--block", type=int, default=1)
    parser.add_argument("--certificates", help="folder of server-cert.pem, server-key.pem, ca-cert.pem")
    uvloop.run(_serve(parser.parse_args()))
