"""How fast the peer protocol is: one client and one server process, a unix socket, uvloop.

Run: python -m tests.bench.bench_wire [seconds per line] [part of a title]. The second argument picks
lines. Prints rates, and the CPU time of each process.
"""

import asyncio
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import uvloop

from cluster.wire import Buffer, Peer, Reply, Request, Server

KEY = b"k" * 32
MIB = 1 << 20
METADATA = (b"k" * 16, b"t" * 16, 0, b"m" * 200, None)  # the shape of a BlobPut
ECHO, FUTURE, TASK, GET, PUT, DOWNLOAD, UPLOAD, CPU = range(1, 9)
STREAM_PIECES = 64

_payload = bytes(MIB)


async def _pieces() -> AsyncIterator[Buffer]:
    for _ in range(STREAM_PIECES):
        yield _payload


async def _read_all(request: Request) -> Reply:
    assert request.body is not None
    size = 0
    while piece := await request.body.read():
        size += len(piece)
    return Reply((size,))


async def _task() -> Reply:
    return Reply((1,))


def _handler(request: Request) -> "Reply | asyncio.Future[Reply] | Awaitable[Reply]":
    match request.operation:
        case 2:
            future = asyncio.get_running_loop().create_future()
            future.set_result(Reply((1,)))
            return future
        case 3:
            return _task()
        case 4:
            return Reply((1,), _payload)
        case 6:
            return Reply((1,), body=_pieces())
        case 7:
            return _read_all(request)
        case 8:
            return Reply((time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
    return Reply((1,))


def _serve(path: str) -> None:
    async def main() -> None:
        await Server(KEY, _handler).start(f"unix:{path}")
        await asyncio.sleep(600)

    uvloop.run(main())


async def _measure(
    peer: Peer, title: str, depth: int, seconds: float, unit: float, once: Callable[[], Awaitable[object]]
) -> None:
    """Keep `depth` of `once` under way for a while; `unit` is what one of them counts."""
    count = 0
    end = time.perf_counter() + seconds

    async def worker() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await once()
            count += 1

    server_cpu = (await peer.call(CPU, ())).metadata[0]
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(depth)))
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    server_cpu = (await peer.call(CPU, ())).metadata[0] - server_cpu
    per = 1e6 / count
    spent = f"us each: client {cpu * per:8.1f}  server {server_cpu * per:8.1f}"
    print(f"{title:34} {count * unit / elapsed:10.2f}/s   {spent}", flush=True)


async def _upload(peer: Peer) -> None:
    stream = peer.open(UPLOAD, (), 5.0)
    for _ in range(STREAM_PIECES):
        await stream.send(_payload)
    await stream.finish()


async def _download(peer: Peer) -> None:
    body = (await peer.call(DOWNLOAD, ())).body
    while await body.read():
        pass


async def _run(address: str, seconds: float) -> None:
    peer = Peer(address, KEY, name="bench")
    peer.start()
    assert await peer.ready(5.0)
    small = b"p" * 4096
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    lines: list[tuple[str, int, float, Callable[[], Awaitable[object]]]] = [
        ("call, 1 deep", 1, 1, lambda: peer.call(ECHO, METADATA)),
        ("call, 16 deep", 16, 1, lambda: peer.call(ECHO, METADATA)),
        ("call, 64 deep", 64, 1, lambda: peer.call(ECHO, METADATA)),
        ("call + 4 KiB, 16 deep", 16, 1, lambda: peer.call(ECHO, METADATA, small)),
        ("call answered by a future, 16 deep", 16, 1, lambda: peer.call(FUTURE, METADATA)),
        ("call answered by a task, 16 deep", 16, 1, lambda: peer.call(TASK, METADATA)),
        ("1 MiB reply, GB, 4 deep", 4, MIB / 1e9, lambda: peer.call(GET, METADATA)),
        ("1 MiB request, GB, 4 deep", 4, MIB / 1e9, lambda: peer.call(PUT, METADATA, _payload)),
        ("download of 64 MiB, GB", 1, STREAM_PIECES * MIB / 1e9, lambda: _download(peer)),
        ("upload of 64 MiB, GB", 1, STREAM_PIECES * MIB / 1e9, lambda: _upload(peer)),
        ("4 downloads, GB", 4, STREAM_PIECES * MIB / 1e9, lambda: _download(peer)),
        ("4 uploads, GB", 4, STREAM_PIECES * MIB / 1e9, lambda: _upload(peer)),
    ]
    for title, depth, unit, once in lines:
        if only not in title:
            continue
        await _measure(peer, title, depth, seconds, unit, once)
    server_rss = (await peer.call(CPU, ())).metadata[1]
    client_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"max RSS: client {client_rss // 1024} MiB, server {server_rss // 1024} MiB")
    await peer.close()


def main() -> None:
    """Measure."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "wire.sock")
        server = multiprocessing.get_context("fork").Process(target=_serve, args=(path,))
        server.start()
        try:
            uvloop.run(_run(f"unix:{path}", seconds))
        finally:
            server.kill()
            server.join()


if __name__ == "__main__":
    main()
