"""Members in coordination, under `membership/<device id>`; changed by compare-and-set only."""

from collections.abc import Callable
from typing import NamedTuple

from cluster.coordination.errors import Conflict
from cluster.coordination.interface import ABSENT, Coordination
from cluster.telemetry.log import get_logger
from storage.membership import record
from storage.membership.record import Member, State, Unreadable

PREFIX = "membership/"
_log = get_logger("storage.membership")


class Known(NamedTuple):
    """A member, and the version at which coordination has it."""

    version: int
    member: Member | None


def key_of(device_id: int) -> str:
    """Return under which key a device is."""
    return f"{PREFIX}{device_id}"


def read(coordination: Coordination, device_id: int) -> Known:
    """Return what coordination knows of a device; one whose record is damaged is nobody's. Raise CoordinationError."""
    value = coordination.get(key_of(device_id))
    return Known(ABSENT, None) if value is None else Known(value.version, _decoded(device_id, value.data))


def read_all(coordination: Coordination) -> dict[int, Member]:
    """Return all members. Raise CoordinationError."""
    found: dict[int, Member] = {}
    for entry in coordination.range(PREFIX):
        device_id = device_of(entry.key)
        if device_id is not None:
            found[device_id] = _decoded(device_id, entry.data)
    return found


def device_of(key: str) -> int | None:
    """Return which device a key is of."""
    name = key.removeprefix(PREFIX)
    return int(name) if name.isdecimal() else None


def _decoded(device_id: int, data: bytes) -> Member:
    try:
        return record.decode_member(data)
    except Unreadable as error:
        _log.error("member_unreadable", device=device_id, error=str(error))
        return Member("", 0, State.REBUILDING, reason="its record in coordination is damaged")


def change(
    coordination: Coordination, device_id: int, decide: Callable[[Member | None], Member | None]
) -> Member | None:
    """Replace what coordination knows of a device by what `decide` makes of it; return what it knows then.

    None from `decide` changes nothing. When somebody else is quicker, decide anew.
    """
    while True:
        version, known = read(coordination, device_id)
        wanted = decide(known)
        if wanted is None or wanted == known:
            return known
        try:
            coordination.put(key_of(device_id), record.encode(wanted), version)
        except Conflict:
            continue
        return wanted
