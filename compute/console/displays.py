"""Guests' serial lines and screens, for who has a link to one.

A link has a token, which the compute service has sealed, and which says where the guest's host carries the line or the
screen from, and has the ticket that lets in there (`compute.agent.displays`): it is all that is needed, and good for
some minutes. What comes of a line or a screen, and goes there, becomes the messages of a WebSocket; a screen's are VNC,
of which the page's viewer makes a picture. The page is told where a screen is, and its password, for viewers that are
programs of their own.
"""

import asyncio
import contextlib
from http import HTTPStatus
from urllib.parse import parse_qs

from aiohttp import WSMsgType, web
from cryptography.fernet import Fernet

from compute.agent.displays import OPEN
from compute.console.answers import document, failure
from compute.instances.links import opened

LINE, SCREEN = "/api/line", "/api/screen"
PATHS = {"/serial": "/serial.html", "/screen": "/screen.html"}  # of links -> of the pages that open them
_CONNECT_S = 10.0
_OPENING_S = 30.0  # for a guest's host to find it
_PIECE = 16_384
_TYPED = 65_536  # bytes of a message from the browser
_BEAT_S = 30.0


class Displays:
    """Opens them."""

    def __init__(self, seal: Fernet, viewer: str | None) -> None:
        """`viewer`: path of the page's module that shows screens; None: it is not installed."""
        self._seal, self._viewer = seal, viewer

    async def answer(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Answer what a page of a link asks for."""
        (token, *_others) = parse_qs(request.raw_path.partition("?")[2]).get("token", [""])
        told = opened(self._seal, token)
        if told is None:
            return failure(HTTPStatus.UNAUTHORIZED, "The link is not, or no longer, good: ask for another one.")
        if path == SCREEN and told.kind == "vnc":
            about = {"host": told.host, "port": told.port, "password": told.password, "viewer": self._viewer}
            return document(about)
        if path != LINE:
            return failure(HTTPStatus.BAD_REQUEST, "The link is one for something else.")
        if request.headers.get("Origin", "").partition("://")[2] not in ("", request.headers.get("Host", "")):
            return failure(HTTPStatus.FORBIDDEN, "A line is opened by the console's own page.")
        try:
            async with asyncio.timeout(_CONNECT_S):
                reader, writer = await asyncio.open_connection(told.relay_host, told.relay_port)
        except OSError as error:
            return failure(HTTPStatus.BAD_GATEWAY, f"The guest's host does not answer: {error}")
        try:
            if not await _let_in(told.ticket, reader, writer):
                return failure(HTTPStatus.GONE, "The guest is off, or the link was used before: ask for another one.")
            return await _bridged(request, reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _let_in(ticket: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Show the ticket; tell whether what comes from now on is the guest's."""
    writer.write(f"{ticket}\n".encode())
    try:
        async with asyncio.timeout(_OPENING_S):
            return await reader.readexactly(len(OPEN)) == OPEN
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False


async def _bridged(
    request: web.BaseRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> web.WebSocketResponse:
    """Pass on what either side says until one of them ends."""
    response = web.WebSocketResponse(heartbeat=_BEAT_S, max_msg_size=_TYPED)
    await response.prepare(request)
    sides = {asyncio.create_task(_said(reader, response)), asyncio.create_task(_typed(response, writer))}
    done, others = await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*done, *others, return_exceptions=True)
    await response.close()
    return response


async def _said(reader: asyncio.StreamReader, response: web.WebSocketResponse) -> None:
    while data := await reader.read(_PIECE):
        await response.send_bytes(data)


async def _typed(response: web.WebSocketResponse, writer: asyncio.StreamWriter) -> None:
    async for message in response:
        if message.type is WSMsgType.TEXT:
            writer.write(message.data.encode())
        elif message.type is WSMsgType.BINARY:
            writer.write(message.data)
        await writer.drain()
