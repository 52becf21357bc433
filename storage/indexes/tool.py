"""Look into index databases: `python -m storage.indexes.tool show|rows|verify FILE…`.

For a device that is stopped, or for a copy: a running daemon holds its files locked. This is the one module
here that imports sqlite-utils, which costs 22 MB of memory: no daemon imports it.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlite_utils

from storage.indexes import digest, schema
from storage.indexes.header import COLUMNS, Header, from_columns
from storage.indexes.rows import unpack_all
from storage.messages import Row


class NotAnIndex(Exception):
    """The file is no index database of a version that this program knows."""


def opened(path: Path) -> sqlite_utils.Database:
    """Open the database at `path`, and make the rows readable in SQL: `unpacked(row)` is JSON."""
    if not path.is_file():
        raise NotAnIndex(f"{path}: no such file")
    database = sqlite_utils.Database(path)
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application != schema.APPLICATION_ID or version not in schema.VERSIONS:
        raise NotAnIndex(f"{path}: application id {application:#x}, version {version}")
    database.register_function(unpacked, deterministic=True)
    return database


def unpacked(row: bytes) -> str:
    """Return a packed row as JSON, timestamps in hexadecimal."""
    return json.dumps(Row(*unpack_all(row)[0])._asdict(), default=_hexadecimal)


def header_of(database: sqlite_utils.Database) -> Header:
    """Return what the database says of itself."""
    (values,) = database["info"].rows
    return from_columns(tuple(values[column] for column in COLUMNS))


def rows_of(database: sqlite_utils.Database) -> Iterator[Row]:
    """Yield every row, tombstones included, in listing order."""
    for stored in database["rows"].rows_where(order_by="name, version"):
        yield Row(*unpack_all(stored["row"])[0])


def disagreements(database: sqlite_utils.Database) -> list[str]:
    """Return in plain words what is wrong with the database; nothing when it is sound."""
    found = [line for (line,) in database.execute("PRAGMA integrity_check") if line != "ok"]
    header = header_of(database)
    counted = Header(header.kind, header.key, header.account, header.container, header.incarnation)
    for row in rows_of(database):
        counted.add(row)
    for name in ("object_count", "bytes_used", "container_count", "rows_digest"):
        says, holds = getattr(header, name), getattr(counted, name)
        if says != holds:
            found.append(f"{name} is {says}; the rows amount to {holds}")
    return found


def _shown(database: sqlite_utils.Database) -> dict[str, Any]:
    header = header_of(database)
    shown = dict(zip(COLUMNS, header.to_columns(), strict=True))
    shown["metadata"] = header.metadata
    shown["digest"] = digest.to_bytes(header.rows_digest)
    return shown | {"exists": header.exists, "rows": database["rows"].count}


def _hexadecimal(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else repr(value)


def main(arguments: list[str] | None = None) -> int:
    """Run one command over files; return 1 when something is wrong with one of them."""
    parser = argparse.ArgumentParser(prog="storage.indexes.tool", description=__doc__)
    parser.add_argument("command", choices=["show", "rows", "verify"])
    parser.add_argument("files", nargs="+", type=Path)
    chosen = parser.parse_args(arguments)
    status = 0
    for path in chosen.files:
        try:
            database = opened(path)
        except NotAnIndex as error:
            sys.stderr.write(f"{error}\n")
            status = 1
            continue
        if chosen.command == "show":
            sys.stdout.write(json.dumps(_shown(database), default=_hexadecimal, indent=2) + "\n")
        elif chosen.command == "rows":
            for row in rows_of(database):
                sys.stdout.write(json.dumps(row._asdict(), default=_hexadecimal) + "\n")
        else:
            problems = disagreements(database)
            status = status or int(bool(problems))
            sys.stdout.write(f"{path}: {'; '.join(problems) or 'sound'}\n")
        database.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
