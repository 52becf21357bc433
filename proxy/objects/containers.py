"""What is known of containers, and believed for some seconds: that they exist, their metadata, where their rows are."""

import asyncio
from collections.abc import Mapping
from typing import Any

from proxy.objects.databases import Database, Databases
from proxy.objects.errors import NoSuchContainer
from proxy.objects.model import ContainerInfo
from proxy.objects.spans import Maps
from storage.messages import Info
from storage.ranges.state import moved_of, visible

CACHE_S = 10.0  # how long a worker believes that a container exists; rows tell it otherwise at once
CACHE_LIMIT = 10_000


class Containers:
    """As one worker knows them."""

    def __init__(self, databases: Databases) -> None:
        self.maps = Maps()
        self._databases = databases
        self._known: dict[tuple[str, str], tuple[float, ContainerInfo]] = {}

    def forget(self, account: str, container: str) -> None:
        """Drop what is believed of a container."""
        self._known.pop((account, container), None)
        self.maps.forget(self._databases.container(account, container).key)

    async def known(self, account: str, container: str) -> ContainerInfo:
        """Return the container's state, confirmed within CACHE_S; its counters may be older. Raise NoSuchContainer."""
        known = self._known.get((account, container))
        now = asyncio.get_running_loop().time()
        if known is not None and known[0] > now:
            return known[1]
        return await self.info(account, container)

    def confirm(self, database: Database) -> None:
        """Go on believing in a container: a quorum has just taken a row for it.

        So whoever writes steadily need not ask. Asking merges replicas, and would hold up all writers at once.
        """
        known = self._known.get((database.account, database.container))
        if known is not None:
            expires = asyncio.get_running_loop().time() + CACHE_S
            self._known[database.account, database.container] = (expires, known[1])

    async def info(self, account: str, container: str) -> ContainerInfo:
        """Return the container's state. Raise NoSuchContainer."""
        info = await self._databases.info(self._databases.container(account, container))
        if info is None:
            self.forget(account, container)
            raise NoSuchContainer(container)
        return self.remember(info)

    def remember(self, info: Info) -> ContainerInfo:
        """Believe what a quorum says of a container that exists."""
        container = ContainerInfo(
            info.account,
            info.container,
            info.put_timestamp,
            info.created_us,
            info.object_count,
            info.bytes_used,
            live(info.metadata),
        )
        moved = moved_of(info.metadata)
        self.maps.learn(self._databases.container(info.account, info.container).key, moved[1] if moved else None)
        if len(self._known) >= CACHE_LIMIT:
            self._known.clear()
        expires = asyncio.get_running_loop().time() + CACHE_S
        self._known[info.account, info.container] = (expires, container)
        return container


def live(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what dialects keep in a database, by name."""
    return {name: value for name, (value, _timestamp) in visible(metadata).items() if value is not None}
