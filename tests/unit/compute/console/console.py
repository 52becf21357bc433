"""The console in this process, before services that are made up."""

import dataclasses
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from yarl import URL

from cluster.config import Config, fresh_cluster
from cluster.telemetry.metrics import Registry
from compute.console import pages
from compute.console.access import Access
from compute.console.application import Application, Parts
from compute.console.displays import Displays
from compute.console.doorway import Doorway
from compute.console.relay import Relay
from compute.console.upstreams import Upstream
from compute.console.view import View
from compute.instances.links import seal_of
from identity.users import User, new_user

ADMIN, ANN = new_user("admin", admin=True), new_user("ann")
TOKENS = {"token-of-admin": ADMIN, "token-of-ann": ANN}
SEAL = seal_of(b"k" * 32)
REPORT = {"state": "healthy", "sentence": "The cluster is healthy."}


class KnownUsers:
    """`identity.interfaces.Users`."""

    def by_access_key(self, access_key: str) -> User | None:
        """Return one of the two."""
        return next((user for user in (ADMIN, ANN) if user.access_key == access_key), None)

    def by_name(self, name: str) -> User | None:
        """Return one of the two."""
        return next((user for user in (ADMIN, ANN) if user.name == name), None)


class KnownTokens:
    """`identity.interfaces.Tokens`."""

    def issue(self, user: User) -> tuple[str, int]:
        """Give out none."""
        raise NotImplementedError

    def verify(self, token: str) -> User | None:
        """Return whose it is."""
        return TOKENS.get(token)


@dataclasses.dataclass
class Console:
    """One that listens; `looks` counts how often the cluster was looked at."""

    port: int
    doorway: Doorway
    looks: list[int]
    client: aiohttp.ClientSession

    def url(self, path: str) -> URL:
        """Return where `path` is, exactly as it is written."""
        return URL(f"http://127.0.0.1:{self.port}{path}", encoded=True)

    async def get(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET", data: Any = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Ask; return status, header fields and body."""
        async with self.client.request(
            method, self.url(path), headers=headers, data=data, allow_redirects=False
        ) as answer:
            return answer.status, answer.headers, await answer.read()


@asynccontextmanager
async def console(services: Mapping[str, int], connections: int = 16, first_s: float = 20.0) -> AsyncIterator[Console]:
    """Run a console before `services`: ports by name."""
    looks: list[int] = []

    def look() -> dict[str, Any]:
        looks.append(1)
        return REPORT

    config: Config = Config(cluster=fresh_cluster())
    s3 = {"s3": 9, "swift": 9} | dict(services)
    upstreams = {name: Upstream(name, f"the {name} service", f"127.0.0.1:{port}", port) for name, port in s3.items()}
    relay = Relay()
    parts = Parts(
        config,
        pages.read_pages(pages.STATIC),
        upstreams,
        relay,
        Access(KnownUsers(), KnownTokens()),
        View(look),
        Displays(SEAL, None),
        Registry(),
    )
    doorway = Doorway(Application(parts).answer, connections, first_s)
    listener = socket.create_server(("127.0.0.1", 0))
    doorway.start(listener)
    async with aiohttp.ClientSession(
        auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar(), connector=aiohttp.TCPConnector(force_close=True)
    ) as client:
        try:
            yield Console(listener.getsockname()[1], doorway, looks, client)
        finally:
            await doorway.close(1.0)
            await relay.close()
