"""The options of `holdfast volume backup` and its like."""

import argparse
from collections.abc import Callable

from tools.backup_options import add_delete_arguments, add_list_arguments, add_place_arguments, add_verify_arguments

ACTIONS = ("backup", "restore", "backups", "verify-backup", "delete-backup")

Action = Callable[..., argparse.ArgumentParser]


def add_actions(action: Action) -> None:
    """Declare the actions; `action(NAME, SUMMARY, ARGUMENT …)` makes the parser of one."""
    backup = action("backup", "send to a bucket what it lacks of a volume", "NAME")
    add_place_arguments(backup, "encrypt; the passphrase")
    backup.add_argument("--full", action="store_true", help="read all, not only what has changed since the last one")
    bring_back = action("restore", "make a volume, or a file, of a backup")
    add_place_arguments(bring_back)
    bring_back.add_argument("backup", metavar="BACKUP", help="as `backups` calls it")
    to = bring_back.add_mutually_exclusive_group(required=True)
    to.add_argument("name", metavar="NAME", nargs="?", help="of the volume that is made")
    to.add_argument("--to-file", metavar="FILE", help="one that is not there yet")
    bring_back.add_argument("--resume", action="store_true", help="go on with volume NAME, whose restore broke off")
    bring_back.add_argument(
        "--encrypt-volume", action="store_true", help="make volume NAME as `create --encrypt` does"
    )
    add_list_arguments(action("backups", "show which backups there are in a bucket"))
    add_verify_arguments(action("verify-backup", "look whether backups are whole"))
    add_delete_arguments(action("delete-backup", "delete a backup, and what no other has of its pieces"))
