"""What there is at which path: the page, what it has to know, how the cluster is, and the services."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from cluster.config import Config
from cluster.telemetry.log import get_logger
from cluster.telemetry.metrics import Registry
from cluster.version import VERSION
from compute.console import pages, upstreams
from compute.console.access import Access
from compute.console.answers import document, failure
from compute.console.displays import LINE, PATHS, SCREEN, Displays
from compute.console.pages import Page
from compute.console.relay import Relay
from compute.console.upstreams import Upstream
from compute.console.view import View

_READING = ("GET", "HEAD")
_log = get_logger("console")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is put together from."""

    config: Config
    pages: Mapping[str, Page]
    upstreams: Mapping[str, Upstream]
    relay: Relay
    access: Access
    view: View
    displays: Displays
    registry: Registry


class Application:
    """Answers requests; for `aiohttp.web.Server`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        names = ("page", "console", *parts.upstreams)
        family = parts.registry.counters("holdfast_console_requests_total", "Requests answered.", ("service", "status"))
        self._counts = {(name, kind): family.child(name, f"{kind}xx") for name in names for kind in range(1, 6)}

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            name, response = await self._answer(request)
        except Exception as error:  # where a request ends: said in words, and told in the log
            if request.transport is None or request.transport.is_closing():
                raise  # the browser has gone, or an answer that had begun was cut: there is nobody to tell
            _log.error("request_failed", method=request.method, error=error)
            name, response = "console", failure(HTTPStatus.INTERNAL_SERVER_ERROR, "The console failed: see its log.")
        kind = min(max(response.status // 100, 1), 5)
        self._counts[name, kind].value += 1
        return response

    async def _answer(self, request: web.BaseRequest) -> tuple[str, web.StreamResponse]:
        path = request.raw_path.partition("?")[0]
        asked = upstreams.split(request.raw_path)
        if asked is not None and (upstream := self._parts.upstreams.get(asked[0])) is not None:
            return upstream.name, await self._parts.relay.relay(request, upstream, asked[1])
        if path in (LINE, SCREEN):
            return "console", await self._parts.displays.answer(request, path)
        if path.startswith(upstreams.PREFIX):
            return "console", await self._own(request, path)
        page = self._parts.pages.get(PATHS.get(path, path))
        if page is None:
            return "page", failure(HTTPStatus.NOT_FOUND, "There is no such page.")
        if request.method not in _READING:
            return "page", failure(HTTPStatus.METHOD_NOT_ALLOWED, "A page can only be read.")
        return "page", pages.answer(page, request.headers)

    async def _own(self, request: web.BaseRequest, path: str) -> web.Response:
        if request.method not in _READING:
            return failure(HTTPStatus.METHOD_NOT_ALLOWED, "This can only be read.")
        if path == "/api/console":
            return document(self._facts())
        if path not in ("/api/me", "/api/cluster"):
            return failure(HTTPStatus.NOT_FOUND, "There is no such service in this cluster.")
        asker = self._parts.access.who(request.method, request.raw_path, request.headers)
        if asker is None:
            return failure(HTTPStatus.UNAUTHORIZED, "The token or the signature is not, or no longer, good: sign in.")
        if path == "/api/me":
            return document({"name": asker.display_name, "account": asker.account, "admin": asker.admin})
        if not asker.admin:
            return failure(HTTPStatus.FORBIDDEN, "How the cluster is, is for its administrators.")
        return document(await self._parts.view.report())

    def _facts(self) -> dict[str, Any]:
        """Return what a page must know before anybody has signed in. None of it is secret."""
        s3 = self._parts.upstreams["s3"]
        return {
            "version": VERSION,
            "services": sorted(self._parts.upstreams),
            "region": self._parts.config.proxy.region,
            "s3": {"host": s3.host, "port": s3.port},
            "swift": {"port": self._parts.upstreams["swift"].port},
        }
