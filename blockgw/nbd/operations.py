"""What a request does to a volume: the one place where commands become calls of an `Export`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from blockgw.errors import InvalidRequest
from blockgw.interfaces import Export, Extent
from blockgw.nbd.contexts import Context
from blockgw.nbd.extents import fit
from blockgw.nbd.protocol import Command, CommandFlag, Request

FUA = int(CommandFlag.FUA)

Statuses: TypeAlias = list[tuple[int, list[Extent]]]  # by context: its id, and extents


def _trim(export: Export, request: Request) -> Awaitable[object]:
    return export.trim(request.offset, request.length, bool(request.flags & FUA))


def _write_zeroes(export: Export, request: Request) -> Awaitable[object]:
    flags = request.flags
    may_trim, fast = not flags & CommandFlag.NO_HOLE, bool(flags & CommandFlag.FAST_ZERO)
    return export.write_zeroes(request.offset, request.length, bool(flags & FUA), may_trim, fast)


# those that are neither READ nor WRITE nor need the connection
OPERATIONS: Mapping[int, Callable[[Export, Request], Awaitable[Any]]] = {
    int(Command.FLUSH): lambda export, _request: export.flush(),
    int(Command.TRIM): _trim,
    int(Command.CACHE): lambda export, request: export.cache(request.offset, request.length),
    int(Command.WRITE_ZEROES): _write_zeroes,
}


async def block_status(export: Export, request: Request, contexts: Sequence[Context]) -> Statuses:
    """Return what `contexts` say of the request's range. Raise InvalidRequest when none were chosen."""
    if not contexts:
        raise InvalidRequest("no metadata context was chosen")
    only_one = bool(request.flags & CommandFlag.REQ_ONE)
    statuses: Statuses = []
    for context in contexts:
        extents = await export.block_status(context.name, request.offset, request.length)
        statuses.append((context.id, fit(extents, request.length, only_one)))
    return statuses
