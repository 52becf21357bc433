"""What guests wrote on their serial lines.

It is appended to a file by qemu, whoever else listens; the file is cut when it has grown too large, and what was in it
before is kept in one other.
"""

import os
from pathlib import Path

LOG_LIMIT = 1 << 20  # bytes of a file; there are two
READ_LIMIT = 256 << 10  # bytes of what is told of it


def read_log(path: Path, lines: int | None) -> str:
    """Return the end of what a guest wrote; with `lines`, that many lines at most."""
    data = b"".join(_tail(each, READ_LIMIT) for each in (_older(path), path))[-READ_LIMIT:]
    text = data.decode(errors="replace").replace("\r\n", "\n").replace("\x00", "")
    if lines is None:
        return text
    parts = text.splitlines(keepends=True)
    return "".join(parts[-lines:]) if lines > 0 else ""


def cut_log(path: Path) -> None:
    """Cut a file that has grown too large. qemu appends to it, so that it goes on at its new end."""
    try:
        if path.stat().st_size <= LOG_LIMIT:
            return
        older = _older(path)
        part = older.with_suffix(".part")
        part.write_bytes(_tail(path, LOG_LIMIT))
        os.replace(part, older)
        os.truncate(path, 0)
    except FileNotFoundError:
        return


def _older(path: Path) -> Path:
    return path.with_suffix(".older")


def _tail(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read(size)
    except FileNotFoundError:
        return b""
