"""Passes requests on to services and their answers back, as streams: what is read is written before more is read.

So memory is bounded by what a connection buffers each way, whatever the size. There are no retries: a request that
may have arrived is not sent twice, and the page says what went wrong.
"""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from cluster.telemetry.log import get_logger
from compute.console import headers
from compute.console.answers import failure
from compute.console.upstreams import Upstream

_BUFFER = 1 << 18  # bytes that a connection to a service reads ahead; twice as many at most
_CONNECT_S = 3.0
_ANSWER_S = 330.0  # for the next bytes of an answer; services have limits of their own, and theirs come first
_STALLED_S = 300.0  # for a browser to send, or to take, the next bytes; people pause downloads
_KEPT_S = 10.0  # an idle connection to a service: shorter than services keep it
_WITH_BODY = ("content-length", "transfer-encoding")

_log = get_logger("console")


class Relay:
    """The way to all services. Make and close it on the event loop."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=_BUFFER,
            skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_ANSWER_S),
        )

    async def close(self) -> None:
        """End all connections."""
        await self._session.close()

    async def relay(self, request: web.BaseRequest, upstream: Upstream, target: str) -> web.StreamResponse:
        """Have `upstream` answer a request for `target`, which is path and query as they came."""
        has_body = any(name in request.headers for name in _WITH_BODY)
        try:
            answer = await self._session.request(
                request.method,
                URL(upstream.origin + target, encoded=True),
                headers=CIMultiDict(headers.asked(request.headers.items(), upstream.host)),
                data=_body(request) if has_body else None,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            return self._refusal(request, upstream, error)
        async with answer:
            return await _passed_on(request, answer)

    def _refusal(self, request: web.BaseRequest, upstream: Upstream, error: Exception) -> web.Response:
        if request.transport is None or isinstance(error.__cause__, ConnectionError | TimeoutError):
            _log.info("request_ended", service=upstream.name, error=error)
        else:
            _log.warning("service_unreachable", service=upstream.name, error=error)
        if isinstance(error, TimeoutError):
            message = f"{upstream.title} has not answered in time. Whether it did what was asked is not known: look."
            return failure(HTTPStatus.GATEWAY_TIMEOUT, message)
        message = f"{upstream.title} does not answer. It may be starting; `holdfast status` tells more."
        return failure(HTTPStatus.BAD_GATEWAY, message)


async def _body(request: web.BaseRequest) -> AsyncIterator[bytes]:
    while True:
        async with asyncio.timeout(_STALLED_S):
            piece = await request.content.readany()
        if not piece:
            return
        yield piece


async def _passed_on(request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(
        status=answer.status,
        reason=answer.reason,
        headers=CIMultiDict(headers.answered(answer.headers.items())),
    )
    if "Content-Length" not in answer.headers and answer.status not in (204, 304) and request.method != "HEAD":
        response.enable_chunked_encoding()
    try:
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            async with asyncio.timeout(_STALLED_S):
                await response.write(piece)
        await response.write_eof()
    except (aiohttp.ClientError, TimeoutError) as error:
        # the head has been sent: what is left is to end the connection, so that nobody takes a part for the whole
        _log.info("answer_ended", error=error)
        if request.transport is not None:
            request.transport.abort()
    return response
