"""The options of commands about backups. What they do takes a while to import, and the options are declared without."""

import argparse
from pathlib import Path

from blockgw.backup.workers import WORKERS

PASSPHRASE = "HOLDFAST_BACKUP_PASSPHRASE"  # noqa: S105


def add_place_arguments(parser: argparse.ArgumentParser, sealing: str = "their passphrase") -> None:
    """Let a command take TARGET and what it takes to use it. `sealing`: what --encrypt is for."""
    parser.add_argument("target", metavar="TARGET", help="s3://BUCKET/PREFIX or swift://CONTAINER/PREFIX")
    parser.add_argument("--endpoint", metavar="URL", help="of S3; of Swift: of the service that gives tokens")
    key = parser.add_mutually_exclusive_group()
    key.add_argument(
        "--encrypt", action="store_true", help=f"{sealing} is in {PASSPHRASE}; if that is not set, it is asked for"
    )
    key.add_argument("--key-file", metavar="FILE", type=Path, help="in place of a passphrase: 32 random bytes or more")
    parser.add_argument("--jobs", type=int, default=WORKERS, metavar="N", help=f"pieces at a time (default: {WORKERS})")


def add_list_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `list`."""
    add_place_arguments(parser)


def add_verify_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `verify`."""
    add_place_arguments(parser)
    parser.add_argument("backup", metavar="BACKUP", nargs="*", help="as the list calls them (default: all)")
    parser.add_argument("--fast", action="store_true", help="look only whether all is there, with the right size")


def add_delete_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `delete`."""
    add_place_arguments(parser)
    parser.add_argument("backup", metavar="BACKUP", help="as the list calls it")
