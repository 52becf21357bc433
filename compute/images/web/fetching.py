"""Fetches what is at a URI, by HTTP: a stream of bytes from an address that was looked at.

Names are resolved here, once for each connection, and the connection is made to what came of that, so that no name
server can give one address to who checks and another to who connects. Where a server sends us on, all is checked anew.
"""

import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from urllib.parse import urljoin

import urllib3
from urllib3.exceptions import HTTPError

from compute.errors import BadRequest
from compute.images.settings import WebDownload
from compute.images.web.addresses import is_public
from compute.images.web.uris import Place, place_of

READ_SIZE = 256 * 1024
_SENT_ON = frozenset((301, 302, 303, 307, 308))
_HEADERS = {"User-Agent": "holdfast-images", "Accept": "*/*", "Accept-Encoding": "identity"}

Resolve = Callable[[str, int], list[str]]  # host, port -> addresses


class NotFetched(Exception):
    """There is nothing to be had from there; the text says why, to whoever asked."""


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host. Raise OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class Fetcher:
    """Fetches by the operator's rules."""

    def __init__(
        self, rules: WebDownload, resolve: Resolve = resolve, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._rules = rules
        self._resolve = resolve
        self._monotonic_s = monotonic_s

    def __repr__(self) -> str:
        return f"Fetcher({self._rules})"

    def fetch(self, uri: str) -> Iterator[bytes]:
        """Yield what is at `uri`. Raise NotFetched, also in the midst of it."""
        deadline_s = self._monotonic_s() + self._rules.total_s
        for _ in range(self._rules.redirects + 1):
            try:
                place = place_of(uri, self._rules)
            except BadRequest as error:
                raise NotFetched(str(error)) from None
            with closing(self._pool(place)) as pool:
                onwards = yield from self._one(pool, place, deadline_s)
            if onwards is None:
                return
            uri = urljoin(uri, onwards)
        raise NotFetched(f"{place.host} sends us on too many times.")

    def _one(
        self, pool: urllib3.HTTPConnectionPool, place: Place, deadline_s: float
    ) -> Generator[bytes, None, str | None]:
        """Yield what is at `place`; return where it sends us on, if it does."""
        headers = {**_HEADERS, "Host": place.authority}
        try:
            answer = pool.urlopen(
                "GET", place.target, headers=headers, redirect=False, retries=False, preload_content=False,
                decode_content=False, assert_same_host=False,
            )
            with closing(answer):
                if answer.status in _SENT_ON and answer.headers.get("Location"):
                    return str(answer.headers["Location"])
                if answer.status != 200:
                    raise NotFetched(f"{place.host} answers with status {answer.status}.")
                for piece in answer.stream(READ_SIZE):
                    if self._monotonic_s() > deadline_s:
                        raise NotFetched(f"{place.host} takes too long.")
                    yield piece
        except (HTTPError, OSError, ValueError) as error:
            raise NotFetched(f"Fetching from {place.host} failed: {type(error).__name__}.") from error
        return None

    def _pool(self, place: Place) -> urllib3.HTTPConnectionPool:
        """Return what connects to an address of `place` that is allowed, and to no other."""
        address = self._address(place)
        timeout = urllib3.Timeout(connect=self._rules.timeout_s, read=self._rules.timeout_s)
        if place.scheme == "http":
            return urllib3.HTTPConnectionPool(address, place.port, timeout=timeout, maxsize=1)
        return urllib3.HTTPSConnectionPool(
            address, place.port, timeout=timeout, maxsize=1, ssl_context=ssl.create_default_context(),
            server_hostname=place.host, assert_hostname=place.host,
        )

    def _address(self, place: Place) -> str:
        try:
            found = self._resolve(place.host, place.port)
        except (OSError, UnicodeError):
            raise NotFetched(f"There is no address of {place.host}.") from None
        allowed = [each for each in found if self._rules.private_addresses or is_public(each)]
        if not allowed:
            raise NotFetched(f"URI for web-download does not pass filtering: {place.host} is not a public address.")
        return allowed[0]
