"""The handshake: what each option is answered with, and what has been agreed at its end. No I/O.

Source: doc/proto.md, "Fixed newstyle negotiation". Options come in any order, and any number of times;
each is answered before the next one is looked at. A step says what to do now; when it wants something from
outside (a list, an export, TLS), its outcome is handed back and gives the next step.

Invariants: nothing agreed before TLS holds after it; what is refused changes nothing; contexts are those of
the export that is used, or none.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from blockgw.errors import NotAllowed, ShuttingDown, TlsRequired, UnknownExport, VolumeError
from blockgw.interfaces import Described, Export
from blockgw.nbd import contexts, options
from blockgw.nbd.contexts import Context
from blockgw.nbd.dialect import Mode
from blockgw.nbd.errors import ProtocolError
from blockgw.nbd.options import (
    ContextRequest,
    HandshakeFlag,
    InfoType,
    Malformed,
    OptionType,
    ReplyType,
    encode_error,
    encode_reply,
)
from blockgw.nbd.protocol import transmission_flags

OFFERED = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES


@dataclass(frozen=True, slots=True)
class Send:
    """Send this; the next option comes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class HangUp:
    """Send this, if it is anything, and close."""

    data: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class StartTls:
    """Send this, do TLS's handshake, call `secured`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class List:
    """Call `listed` with the names of all exports."""


@dataclass(frozen=True, slots=True)
class Describe:
    """Call `then` with what this export is, which need not be opened for that, or `not_opened` with the error."""

    name: str
    option: OptionType
    then: Callable[[Described], "Step"]


@dataclass(frozen=True, slots=True)
class Open:
    """Open this export; call `then` with it, or `not_opened` with the error."""

    name: str
    option: OptionType
    then: Callable[[Export], "Step"]


@dataclass(frozen=True, slots=True)
class Transmit:
    """Send this; requests come. The export that was opened last is used."""

    data: bytes
    mode: Mode
    contexts: tuple[Context, ...]


Step: TypeAlias = Send | HangUp | StartTls | List | Describe | Open | Transmit

# by how an export could not be opened; the first that fits
_REFUSALS: tuple[tuple[type[VolumeError], ReplyType], ...] = (
    (UnknownExport, ReplyType.ERR_UNKNOWN),
    (TlsRequired, ReplyType.ERR_TLS_REQD),
    (NotAllowed, ReplyType.ERR_POLICY),
    (ShuttingDown, ReplyType.ERR_SHUTDOWN),
    (VolumeError, ReplyType.ERR_PLATFORM),
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a listener lets clients do."""

    tls: bool = False  # it can
    tls_required: bool = False  # nothing else is answered before
    listing: bool = True

    def __post_init__(self) -> None:
        assert self.tls or not self.tls_required


class Handshake:
    """One client's. `begin` first, then `answer` for each option."""

    def __init__(self, policy: Policy, options_limit: int = 256) -> None:
        self._policy = policy
        self._options_left = options_limit
        self._flags = HandshakeFlag(0)
        self._secure = False
        self._mode = Mode.SIMPLE
        self._chosen: tuple[str, tuple[Context, ...]] = ("", ())  # export and its contexts
        self._handlers: Mapping[int, Callable[[bytes], Step]] = {
            OptionType.EXPORT_NAME: self._export_name,
            OptionType.ABORT: self._abort,
            OptionType.LIST: self._list,
            OptionType.STARTTLS: self._start_tls,
            OptionType.INFO: self._info,
            OptionType.GO: self._go,
            OptionType.STRUCTURED_REPLY: lambda data: self._agree(Mode.STRUCTURED, data),
            OptionType.LIST_META_CONTEXT: lambda data: self._contexts(OptionType.LIST_META_CONTEXT, data),
            OptionType.SET_META_CONTEXT: lambda data: self._contexts(OptionType.SET_META_CONTEXT, data),
            OptionType.EXTENDED_HEADERS: lambda data: self._agree(Mode.EXTENDED, data),
        }

    def __repr__(self) -> str:
        return f"Handshake({self._mode.name}, secure={self._secure}, flags={self._flags!r})"

    @property
    def greeting(self) -> bytes:
        """What is sent before anything is received."""
        return options.encode_greeting(OFFERED)

    def begin(self, client_flags: bytes) -> None:
        """Take the client's flags. Raise ProtocolError."""
        self._flags = options.decode_client_flags(client_flags)

    def answer(self, option: int, data: bytes) -> Step:
        """Return what to do about an option. Raise ProtocolError when there is no way to answer."""
        self._count()
        if option != OptionType.EXPORT_NAME and HandshakeFlag.FIXED_NEWSTYLE not in self._flags:
            raise ProtocolError("an option that is not part of the newstyle handshake, which is not fixed")
        if self._policy.tls_required and not self._secure:
            if option == OptionType.EXPORT_NAME:
                raise ProtocolError("an export was asked for without TLS")
            if option not in (OptionType.STARTTLS, OptionType.ABORT):
                return Send(encode_error(option, ReplyType.ERR_TLS_REQD, "use TLS first"))
        handler = self._handlers.get(option)
        if handler is None:
            return Send(encode_error(option, ReplyType.ERR_UNSUP, "unknown option"))
        try:
            return handler(data)
        except Malformed as error:
            if option == OptionType.EXPORT_NAME:
                raise ProtocolError(str(error)) from None
            return Send(encode_error(option, ReplyType.ERR_INVALID, str(error)))

    def too_big(self, option: int) -> Step:
        """Return what to do about an option whose data were too long to be looked at."""
        self._count()
        if option == OptionType.EXPORT_NAME or HandshakeFlag.FIXED_NEWSTYLE not in self._flags:
            raise ProtocolError("the name of an export is too long")
        return Send(encode_error(option, ReplyType.ERR_TOO_BIG, "too much data"))

    def secured(self) -> Step:
        """TLS is up: begin again."""
        self._secure = True
        self._mode = Mode.SIMPLE
        self._chosen = ("", ())
        return Send(b"")

    def listed(self, names: Iterable[str]) -> Step:
        """Return the answer to LIST."""
        replies = [options.encode_server(OptionType.LIST, name) for name in names]
        return Send(b"".join((*replies, encode_reply(OptionType.LIST, ReplyType.ACK))))

    def not_opened(self, option: OptionType, error: VolumeError) -> Step:
        """Return the answer when an export could not be opened, or described."""
        if option == OptionType.EXPORT_NAME:
            return HangUp(b"", str(error))
        reply = next(reply for kind, reply in _REFUSALS if isinstance(error, kind))
        return Send(encode_error(option, reply, str(error)))

    # the options

    def _count(self) -> None:
        self._options_left -= 1
        if self._options_left < 0:
            raise ProtocolError("too many options")

    def _export_name(self, data: bytes) -> Step:
        return Open(options.decode_name(data), OptionType.EXPORT_NAME, self._old_transmit)

    def _abort(self, _data: bytes) -> Step:
        return HangUp(encode_reply(OptionType.ABORT, ReplyType.ACK), "the client has changed its mind")

    def _list(self, data: bytes) -> Step:
        _check_empty(data)
        if not self._policy.listing:
            return Send(encode_error(OptionType.LIST, ReplyType.ERR_POLICY, "exports are not listed"))
        return List()

    def _start_tls(self, data: bytes) -> Step:
        _check_empty(data)
        if not self._policy.tls:
            return Send(encode_error(OptionType.STARTTLS, ReplyType.ERR_POLICY, "TLS is not configured"))
        if self._secure:
            return Send(encode_error(OptionType.STARTTLS, ReplyType.ERR_INVALID, "TLS is in use"))
        return StartTls(encode_reply(OptionType.STARTTLS, ReplyType.ACK))

    def _agree(self, mode: Mode, data: bytes) -> Step:
        """Agree on a dialect that says more than that in use."""
        option = OptionType.STRUCTURED_REPLY if mode is Mode.STRUCTURED else OptionType.EXTENDED_HEADERS
        _check_empty(data)
        if self._mode is mode:
            return Send(encode_error(option, ReplyType.ERR_INVALID, "agreed already"))
        if self._mode > mode:
            return Send(encode_error(option, ReplyType.ERR_EXT_HEADER_REQD, "extended headers are agreed"))
        self._mode = mode
        return Send(encode_reply(option, ReplyType.ACK))

    def _info(self, data: bytes) -> Step:
        name, infos = options.decode_export_request(data)

        def then(export: Described) -> Step:
            refused = _block_size_refusal(OptionType.INFO, export, infos)
            return refused or Send(self._describe(OptionType.INFO, export, infos))

        return Describe(name, OptionType.INFO, then)

    def _go(self, data: bytes) -> Step:
        name, infos = options.decode_export_request(data)

        def then(export: Export) -> Step:
            refused = _block_size_refusal(OptionType.GO, export, infos)
            return refused or self._transmit(export, self._describe(OptionType.GO, export, infos))

        return Open(name, OptionType.GO, then)

    def _contexts(self, option: OptionType, data: bytes) -> Step:
        request = options.decode_context_request(data)
        if self._mode is Mode.SIMPLE:
            raise Malformed("structured replies or extended headers have to be agreed on before")
        return Describe(request.name, option, lambda export: self._show_contexts(option, request, export))

    def _show_contexts(self, option: OptionType, request: ContextRequest, export: Described) -> Step:
        if option is OptionType.SET_META_CONTEXT:
            shown = contexts.chosen(request.queries, export.contexts)
            self._chosen = (request.name, tuple(shown))
        else:
            shown = contexts.listed(request.queries, export.contexts)
        replies = [options.encode_context(option, context.id, context.name) for context in shown]
        return Send(b"".join((*replies, encode_reply(option, ReplyType.ACK))))

    # what an export is

    def _describe(self, option: OptionType, export: Described, infos: frozenset[int]) -> bytes:
        flags = transmission_flags(export, self._mode is not Mode.SIMPLE)
        told = [
            options.encode_info(option, InfoType.EXPORT, options.encode_export(export.size, flags)),
            # told unasked: who does not look for it is not hurt
            options.encode_info(option, InfoType.BLOCK_SIZE, options.encode_block_sizes(export.block_sizes)),
        ]
        if InfoType.NAME in infos:
            told.append(options.encode_info(option, InfoType.NAME, export.name.encode()))
        if InfoType.DESCRIPTION in infos:
            told.append(options.encode_info(option, InfoType.DESCRIPTION, export.description.encode()))
        return b"".join((*told, encode_reply(option, ReplyType.ACK)))

    def _transmit(self, export: Export, answer: bytes) -> Step:
        name, chosen = self._chosen
        return Transmit(answer, self._mode, chosen if name == export.name else ())

    def _old_transmit(self, export: Export) -> Step:
        flags = transmission_flags(export, self._mode is not Mode.SIMPLE)
        with_zeroes = HandshakeFlag.NO_ZEROES not in self._flags
        return self._transmit(export, options.encode_old_answer(export.size, flags, with_zeroes))


def _check_empty(data: bytes) -> None:
    if data:
        raise Malformed("this option has no data")


def _block_size_refusal(option: OptionType, export: Described, infos: frozenset[int]) -> Step | None:
    """Return a refusal if the export has a block size which the client does not ask for."""
    if export.block_sizes.minimum == 1 or InfoType.BLOCK_SIZE in infos:
        return None
    return Send(encode_error(option, ReplyType.ERR_BLOCK_SIZE_REQD, "ask for the block size, and keep to it"))
