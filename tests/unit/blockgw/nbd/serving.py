"""A server with volumes in memory, on a unix socket, for the length of a test; under asyncio or uvloop."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from blockgw.nbd.limits import Limits
from blockgw.nbd.server import PLAIN, NbdServer, Security
from tests.unit.blockgw.memory_export import MemoryExport, MemoryExports

MiB = 1 << 20
RUNNERS = [asyncio.run, uvloop.run]
on_both_loops = pytest.mark.parametrize("runner", RUNNERS, ids=["asyncio", "uvloop"])


class Serving:
    """What a test has in hand."""

    def __init__(self, server: NbdServer, exports: MemoryExports, path: str) -> None:
        self.server, self.exports, self.path = server, exports, path

    @property
    def volume(self) -> MemoryExport:
        return self.exports.exports["volume"]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what comes soon."""
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - what is waited for is plain state
                await asyncio.sleep(0.005)


def serve(
    runner: Callable[..., None],
    scenario: Callable[[Serving], Awaitable[None]],
    *,
    size: int = 4 * MiB,
    limits: Limits | None = None,
    security: Security = PLAIN,
    **options: object,
) -> None:
    """Run `scenario`, then see that nothing is left open or held."""

    async def run() -> None:
        exports = MemoryExports(
            MemoryExport("volume", size, **options),  # type: ignore[arg-type]
            MemoryExport("fixed", size, read_only=True),
        )
        server = NbdServer(exports, limits=limits)
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "nbd.sock")
            await server.listen_unix(path, security)
            serving = Serving(server, exports, path)
            try:
                await scenario(serving)
            finally:
                await server.close(deadline_s=5.0)
            await serving.until(lambda: server.connection_count == 0)
            assert [export.opened for export in exports.exports.values()] == [0, 0]
            assert server._shared.budget.used == 0
            assert not Path(path).exists()

    runner(run())
