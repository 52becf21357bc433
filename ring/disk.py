"""Files of rings and builders on disk: read and named when they are no good, written whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ring.errors import RingError

_Value = TypeVar("_Value")


def read(path: str | os.PathLike[str], load: Callable[[bytes], _Value], noun: str) -> _Value:
    """Return what `load` makes of the file `path`. Raise RingError, naming the file, or OSError."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return load(data)
    except RingError as error:
        raise type(error)(f"{os.fspath(path)} is not a {noun} that can be used: {error}") from error


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`, durably, and so that a reader sees the old file or the new one. Raise OSError."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
