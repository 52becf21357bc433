"""Having a volume: what a gateway knows of one that it has open, and what others may ask of who has volumes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from blockgw.catalog.store import Catalog
from blockgw.catalog.volume import Volume
from blockgw.export import VolumeExport
from blockgw.interfaces import Client, Export
from blockgw.volumes.volume import OpenVolume
from cluster.coordination.lease import Lease
from storage.client import Placement

ResultT = TypeVar("ResultT")


@dataclass(eq=False)
class Opened:
    """A volume that is open for writing here."""

    about: Volume
    volume: OpenVolume
    export: VolumeExport
    lease: Lease
    keeper: asyncio.Task[None]
    users: int = 0  # connections
    pins: int = 0  # work in the background that needs it open
    closing: asyncio.TimerHandle | None = None


class Holder(Protocol):
    """The gateway, as operations see it."""

    @property
    def placement(self) -> Placement: ...

    async def catalog(self, work: Callable[[Catalog], ResultT]) -> ResultT:
        """Return what `work` returns. Raise what it raises; VolumeError when coordination is away."""

    async def refresh(self) -> None:
        """Learn which volumes there are."""

    async def open(self, name: str, client: Client) -> Export:
        """Open a volume for writing, or NAME@SNAPSHOT for reading. Raise UnknownExport, VolumeError."""

    def release(self, export: Export) -> None:
        """Take back what `open` returned."""

    def lock(self, name: str) -> asyncio.Lock:
        """Return the lock of a name: who opens or closes it, or changes its layers, does so alone."""

    async def hold(self, name: str, unused: bool = False, deleting: bool = False) -> Opened:
        """Have a volume open here, for a while at least. Its lock is held. Raise VolumeError, CatalogError."""

    def held(self, name: str) -> Opened | None:
        """Return a volume if it is open here."""

    def close_later(self, opened: Opened) -> None:
        """Close a volume if nobody uses it after a moment."""

    async def switch(
        self,
        opened: Opened,
        change: Callable[[Catalog], Volume],
        ready: Callable[[], Awaitable[object]] | None = None,
    ) -> Volume:
        """Give a volume another chain, between two writes. Its lock is held.

        `ready` is awaited while the volume is quiet, before the change; what it raises leaves all as it was.
        """

    def serve(self, opened: Opened) -> None:
        """Show clients that come from now on how a volume is now."""

    async def close_volume(self, opened: Opened) -> None:
        """Close it, in order. Its lock is held."""

    async def let_go(self, opened: Opened) -> None:
        """Have nothing to do with a volume any more, and let others have it."""

    async def hang_up(self, name: str) -> None:
        """Send the clients of a volume away, after their requests; they may come back at once."""
