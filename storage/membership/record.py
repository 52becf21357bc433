"""What is written about a device's membership, in coordination and on the device: bytes <-> values."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class State(Enum):
    """Of a device's data."""

    WHOLE = "whole"  # it has what it acknowledged: it votes
    REBUILDING = "rebuilding"  # it lost something: it votes on what has been made whole again


@dataclass(frozen=True, slots=True)
class Member:
    """A device, as coordination knows it under `membership/<device id>`."""

    identity: str  # hex id of its log
    incarnation: int  # how many starts there were; of what serves, or is about to
    state: State
    since_us: int = 0  # wall time at which the state began
    reason: str = ""  # of the last loss, in words
    token: str = ""  # of a start that has not come to its end; "": that incarnation has written down that it is
    position: int = 0  # of the log: so far it was durable once
    lost_us: int = 0  # wall time at which a loss was noticed last; 0: never

    @property
    def votes(self) -> bool:
        """Whether its answers count in reads."""
        return self.state is State.WHOLE


@dataclass(frozen=True, slots=True)
class Local:
    """What the device itself has on its disk."""

    incarnation: int = 0
    token: str = ""  # of the start that was begun last
    lost: str = ""  # a loss that coordination may not know of yet


class Unreadable(Exception):
    """Bytes that are no record of this kind."""


def encode(record: Member | Local) -> bytes:
    """Return the record as it is stored."""
    fields = asdict(record)
    if isinstance(record, Member):
        fields["state"] = record.state.value
    return json.dumps(fields, sort_keys=True).encode()


def decode_member(data: bytes) -> Member:
    """Return the member in `data`. Fields that are not known are passed over. Raise Unreadable."""
    fields = _fields(data, Member.__annotations__)
    try:
        fields["state"] = State(fields.get("state"))
        member = Member(**fields)
    except (ValueError, TypeError) as error:
        raise Unreadable(f"not a member: {error}") from error
    _check(member, ints=(member.incarnation, member.since_us, member.position, member.lost_us),
           texts=(member.identity, member.reason, member.token))
    return member


def decode_local(data: bytes) -> Local:
    """Return what a device knows of itself. Raise Unreadable."""
    try:
        local = Local(**_fields(data, Local.__annotations__))
    except TypeError as error:
        raise Unreadable(f"not a local record: {error}") from error
    _check(local, ints=(local.incarnation,), texts=(local.token, local.lost))
    return local


def _fields(data: bytes, known: Mapping[str, Any]) -> dict[str, Any]:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise Unreadable("not an object")
    return {name: value for name, value in fields.items() if name in known}


def _check(record: object, ints: tuple[object, ...], texts: tuple[object, ...]) -> None:
    """Raise Unreadable unless fields have their types."""
    numbers = all(type(value) is int and value >= 0 for value in ints)
    if not numbers or not all(type(value) is str for value in texts):
        raise Unreadable(f"fields of another type: {record!r}")


def voting(members: Mapping[int, Member], device_id: int) -> int | None:
    """Return as which incarnation a device votes; None: it does not.

    A device that coordination does not know, of a cluster older than this record, votes.
    """
    member = members.get(device_id)
    if member is None:
        return 0
    return member.incarnation if member.votes else None
