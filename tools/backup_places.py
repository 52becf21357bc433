"""Where backups are and with what they are sealed, as commands are told; and what commands show of backups."""

import argparse
import getpass
import os
import sys
from typing import Any

from blockgw.backup.errors import BackupError
from blockgw.backup.key import Secret
from blockgw.backup.manifest import Manifest
from blockgw.backup.opening import open_target
from blockgw.backup.progress import Progress
from blockgw.backup.target import Address, Target
from tools.backup_options import PASSPHRASE
from tools.errors import OperatorError
from tools.progress import Progress as Line

_BAR_WIDTH = 30


def place_of(arguments: argparse.Namespace) -> Target:
    """Return the target of a command. Raise OperatorError."""
    if not 0 < arguments.jobs <= 64:
        raise OperatorError("--jobs takes a number from 1 to 64")
    return open_target(Address.parse(arguments.target), arguments.endpoint, os.environ, arguments.jobs + 2)


def secret_of(arguments: argparse.Namespace) -> Secret | None:
    """Return what seals the backups, if anything does. Raise OperatorError."""
    if arguments.key_file is not None:
        try:
            return Secret.file(arguments.key_file.read_bytes())
        except OSError as error:
            raise OperatorError(f"{arguments.key_file} cannot be read: {error.strerror}") from error
    if not arguments.encrypt:
        return None
    if PASSPHRASE in os.environ:
        return Secret.passphrase(os.environ[PASSPHRASE])
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise OperatorError(f"there is no terminal on which to ask for the passphrase: set {PASSPHRASE}, or --key-file")
    return Secret.passphrase(getpass.getpass("passphrase of the backups: "))


def shown(size: float) -> str:
    """Return a number of bytes for people."""
    for power, unit in ((50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << power:
            return f"{size / (1 << power):.4g} {unit}"
    return f"{size:.0f} B"


def bar(progress: Progress, moved: str) -> str:
    """Return a line about how far it is; `moved`: what happens to objects."""
    share = progress.done / progress.total if progress.total else 1.0
    filled = int(share * _BAR_WIDTH)
    return (
        f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {share:4.0%}  "
        f"{shown(progress.done)} of {shown(progress.total)}, {shown(progress.moved)} {moved}"
    )


class Bar:
    """A progress bar for `with`; calling it shows how far it is."""

    def __init__(self, moved: str) -> None:
        self._moved, self._line = moved, Line()

    def __enter__(self) -> "Bar":
        self._line.__enter__()
        return self

    def __exit__(self, *about: Any) -> None:
        self._line.__exit__(*about)

    def __call__(self, progress: Progress) -> None:
        self._line.show(bar(progress, self._moved))


def described(manifest: Manifest) -> dict[str, Any]:
    """Return what programs are told of a backup."""
    counts = manifest.counts
    return {
        "id": manifest.id,
        "volume": manifest.origin.volume_name,
        "volume_id": manifest.origin.volume_id,
        "size": manifest.origin.size,
        "created_us": manifest.created_us,
        "parent": manifest.parent,
        "stored": sum(stored.size for stored in set(manifest.pieces.values())),
        "read": counts.read,
        "sent": counts.sent,
        "deduplicated": counts.deduplicated,
        "zeros": counts.zeros,
    }


class Refused(OperatorError):
    """A backup command could not do it."""

    def __init__(self, error: BackupError) -> None:
        super().__init__(str(error).rstrip("."))
