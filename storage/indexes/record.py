"""A change as a record of the device's log: msgpack bytes <-> `Change`. No I/O. docs/index-format.md.

A reader takes the fields that it knows and passes over those that a newer writer has added; a
record of another format than its own it refuses, because guessing would lose rows.
"""

import msgpack

from storage.indexes.change import Change
from storage.messages import Row

FORMAT = 1
_FIELD_COUNT = 10

_packer = msgpack.Packer(autoreset=True)  # one per process: `pack` runs on the loop's thread only


def pack(change: Change) -> bytes:
    """Encode `change`. Raise ValueError for what msgpack cannot carry (lone surrogates, huge integers)."""
    try:
        packed: bytes = _packer.pack(
            (
                FORMAT,
                change.kind,
                change.key,
                change.account,
                change.container,
                change.put_timestamp,
                change.delete_timestamp,
                change.created_us,
                change.metadata,
                list(change.rows.values()),
            )
        )
    except (OverflowError, TypeError, ValueError) as error:
        _packer.reset()
        raise ValueError(f"not a change: {error}") from None
    return packed


def unpack(data: bytes | memoryview) -> Change:
    """Decode what `pack` made. Raise ValueError on anything else."""
    values = msgpack.unpackb(data)
    if not isinstance(values, list) or not values or values[0] != FORMAT or len(values) < _FIELD_COUNT:
        raise ValueError("not a change of a database, or of a newer format")
    kind, key, account, container, put, delete, created_us, metadata, rows = values[1:_FIELD_COUNT]
    try:
        return Change(
            kind,
            key,
            account,
            container,
            put,
            delete,
            created_us,
            {name: (value, timestamp) for name, (value, timestamp) in metadata.items()},
            {row.name: row for row in (Row(*items) for items in rows)},
        )
    except (AttributeError, TypeError) as error:
        raise ValueError(f"not a change of a database: {error}") from None
