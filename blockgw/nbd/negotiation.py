"""A connection in its handshake: carries out what `Handshake` decides, then makes way for `Transmission`.

A task reads options one by one and answers them. Nothing is opened for INFO and for contexts: to look at an export
takes it from nobody.
"""

import asyncio
import ssl
from dataclasses import replace
from typing import cast

from blockgw.errors import VolumeError
from blockgw.grants import parted
from blockgw.interfaces import Client, Export
from blockgw.nbd import options
from blockgw.nbd.dialect import Dialect, Mode
from blockgw.nbd.errors import ProtocolError
from blockgw.nbd.extended import ExtendedDialect
from blockgw.nbd.handshake import Describe, Handshake, HangUp, List, Open, Policy, Send, StartTls, Step, Transmit
from blockgw.nbd.shared import Shared
from blockgw.nbd.simple import SimpleDialect
from blockgw.nbd.structured import StructuredDialect
from blockgw.nbd.tls import Tls
from blockgw.nbd.transmission import Session, Transmission

DIALECTS: dict[Mode, Dialect] = {
    Mode.SIMPLE: SimpleDialect(),
    Mode.STRUCTURED: StructuredDialect(),
    Mode.EXTENDED: ExtendedDialect(),
}


class ClientLeft(Exception):
    """The client has closed the connection."""


class Negotiation(asyncio.Protocol):
    """The protocol of one connection, until the end of the handshake."""

    def __init__(self, shared: Shared, policy: Policy, tls: Tls | None) -> None:
        self._shared = shared
        self._tls = tls
        self._handshake = Handshake(policy, shared.limits.options)
        self._transport: asyncio.Transport
        self._client = Client("")
        self._received = bytearray()
        self._waiter: asyncio.Future[None] | None = None  # of the task, for bytes
        self._lost = False
        self._paused = False
        self._export: Export | None = None
        self._handed_over = False  # connection and export are Transmission's
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"Negotiation({self._client}, {self._handshake})"

    @property
    def export_name(self) -> str | None:
        """The export that it has open."""
        return None if self._export is None else self._export.name

    @property
    def holder(self) -> str:
        """For whom it was opened."""
        return self._client.holder

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections, or the client has reset it before it was taken."""
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")  # None: it is no connection any more, and nobody knows whose
        if address is None or not self._shared.connections.admit(self):
            self._transport.abort()
            return
        self._client = Client(str(address[0]) if isinstance(address, tuple) else "")
        self._task = self._shared.loop.create_task(self._run())
        self._task.add_done_callback(self._on_end)  # it may be cancelled before it has begun

    def data_received(self, data: bytes) -> None:
        """Keep what has come."""
        self._received += data
        if len(self._received) > self._shared.limits.option_bytes and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """The client sends no more: there is nothing to agree on."""
        self._lost = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._lost = True
        self._wake()

    # what the server calls

    def drain(self) -> None:
        """Hang up: there are no requests yet."""
        self.abort()

    def abort(self) -> None:
        """Hang up now."""
        self._transport.abort()
        if self._task is not None:
            self._task.cancel()

    def sweep(self, now: float) -> None:
        """Nothing to do: a handshake has a deadline of its own."""

    # the task

    async def _run(self) -> None:
        reason: object
        try:
            async with asyncio.timeout(self._shared.limits.handshake_s):
                agreed = await self._negotiate()
        except TimeoutError:
            reason = "the handshake took too long"
        except (ProtocolError, ClientLeft) as error:
            reason = error
        except ssl.SSLError as error:
            reason = f"TLS: {error.reason}"
        except (OSError, asyncio.CancelledError):
            reason = "the connection was lost"
        except Exception as error:
            reason = "internal error"
            self._shared.log.error("nbd_handshake_failed", client=str(self._client), error=error)
        else:
            if isinstance(agreed, Transmit):
                self._hand_over(agreed)
                return
            reason = agreed.reason
        self._shared.log.info("nbd_no_session", client=str(self._client), reason=str(reason))

    def _on_end(self, _task: "asyncio.Task[None]") -> None:
        if not self._handed_over:
            self._let_go()
            self._transport.close()
            self._shared.connections.remove(self)

    async def _negotiate(self) -> Transmit | HangUp:
        """Answer options until there is nothing more to say."""
        self._transport.write(self._handshake.greeting)
        self._handshake.begin(await self._read(options.CLIENT_FLAGS_SIZE))
        while True:
            step = await self._carry_out(await self._take_option())
            self._transport.write(step.data)
            if not isinstance(step, Send):
                return step

    async def _take_option(self) -> Step:
        """Receive an option; return what to do about it."""
        header = options.decode_option_header(await self._read(options.OPTION_HEADER_SIZE))
        if header.length <= self._shared.limits.option_bytes:
            return self._handshake.answer(header.option, await self._read(header.length))
        if header.length > self._shared.limits.skipped_bytes:
            raise ProtocolError(f"an option with {header.length} bytes of data")
        await self._skip(header.length)
        return self._handshake.too_big(header.option)

    async def _carry_out(self, step: Step) -> Send | HangUp | Transmit:
        """Do what a step asks for, until there is something to send."""
        while not isinstance(step, Send | HangUp | Transmit):
            if isinstance(step, List):
                step = self._handshake.listed(self._shared.exports.list(self._client))
            elif isinstance(step, StartTls):
                await self._secure(step)
                step = self._handshake.secured()
            else:
                step = await self._find(step)
        return step

    async def _find(self, step: Describe | Open) -> Step:
        try:
            asked = parted(step.name)
            client = replace(self._client, holder=asked.holder, seal=asked.seal)
            if isinstance(step, Describe):
                return step.then(await self._shared.exports.describe(asked.name, client))
            return step.then(await self._open(asked.name, client))
        except VolumeError as error:
            return self._handshake.not_opened(step.option, error)

    async def _open(self, name: str, client: Client) -> Export:
        """Return the export, opened now or before."""
        if self._export is not None and self._export.name == name and self._client == client:
            return self._export
        self._let_go()
        self._client = client
        self._export = await self._shared.exports.open(name, client)
        return self._export

    def _let_go(self) -> None:
        export, self._export = self._export, None
        if export is not None:
            self._shared.exports.release(export)

    async def _skip(self, length: int) -> None:
        """Throw away the data of an option."""
        while length:
            length -= len(await self._read(min(length, self._shared.limits.option_bytes)))

    async def _read(self, size: int) -> bytes:
        """Return the next `size` bytes. Raise ClientLeft."""
        while len(self._received) < size:
            if self._lost:
                raise ClientLeft("the client has left")
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
            self._waiter = self._shared.loop.create_future()
            await self._waiter
        data = bytes(memoryview(self._received)[:size])
        del self._received[:size]
        return data

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _secure(self, step: StartTls) -> None:
        """Do TLS's handshake, and go on inside."""
        assert self._tls is not None
        if self._received:  # an attacker may have put it there, for us to take for the client's
            raise ProtocolError("there are bytes between STARTTLS and its answer")
        self._let_go()  # opened by whom, we could not tell
        session = self._tls.begin()
        # the client's first bytes may follow our answer at once: they are for TLS
        self._transport.pause_reading()
        self._transport.write(step.data)
        secure = await self._shared.loop.start_tls(self._transport, self, session.context, server_side=True)
        if secure is None:
            raise ClientLeft("the client has left")
        self._transport = secure
        identity = session.identity(secure.get_extra_info("ssl_object"))
        self._client = Client(self._client.address, secure=True, identity=identity)

    def _hand_over(self, agreed: Transmit) -> None:
        """Let `Transmission` have the connection, the export, and what was received behind the handshake."""
        export = self._export
        assert export is not None, "a handshake ends with an export"
        self._handed_over = True
        session = Session(self._client, export, DIALECTS[agreed.mode], agreed.contexts)
        transmission = Transmission(self._shared, self._transport, session, bytes(self._received))
        self._shared.connections.replace(self, transmission)
        if self._lost or self._transport.is_closing():
            transmission.connection_lost(None)
            self._transport.close()
            return
        self._transport.pause_reading()  # so that the transport asks the new protocol for its buffers
        self._transport.set_protocol(transmission)
        self._transport.resume_reading()
        transmission.take()
