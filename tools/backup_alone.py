"""`holdfast-backup`: what can be done with backups of volumes where there is no cluster.

    holdfast-backup list TARGET
    holdfast-backup verify TARGET [BACKUP …]
    holdfast-backup restore TARGET BACKUP --to-file FILE
    holdfast-backup delete TARGET BACKUP

`holdfast volume` has the same, and what takes a cluster. Exit code: 0, 1 what can't be done or is damaged.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blockgw.backup.deleting import delete
from blockgw.backup.errors import BackupError, Damaged, NoSuchBackup, WrongKey
from blockgw.backup.file_sink import FileSink
from blockgw.backup.manifest import Kind
from blockgw.backup.repository import Opened, Repository, find, repositories
from blockgw.backup.restoring import Restored, damaged, missing, restore
from tools.backup_options import add_delete_arguments, add_list_arguments, add_place_arguments, add_verify_arguments
from tools.backup_places import Bar, Refused, described, place_of, secret_of, shown
from tools.errors import OperatorError

# those of `holdfast volume` that take no cluster
OTHER_NAMES = {"backups": "list", "verify-backup": "verify", "delete-backup": "delete"}

Row = dict[str, Any]


def list_backups(arguments: argparse.Namespace) -> int:
    """Show which backups there are."""
    rows = [
        _row(repository, backup_id, kind)
        for repository in repositories(place_of(arguments), secret_of(arguments))
        for kind in Kind
        for backup_id in repository.backups(kind)
    ]
    rows = [row for row in rows if row["state"] != "gone"]
    if arguments.json:
        print(json.dumps({"backups": rows}, indent=2))
    else:
        print("\n".join(_table(rows, arguments.target)))
    return 0


def _row(repository: Repository, backup_id: str, kind: Kind) -> Row:
    """Return what is told of a backup, as far as it can be read."""
    row: Row = {"id": backup_id, "volume_id": repository.volume_id, "state": "ok"}
    try:
        row |= described(repository.read(backup_id, kind).manifest)
    except NoSuchBackup:
        row["state"] = "gone"
    except WrongKey:
        row["state"] = "encrypted"
    except Damaged as error:
        row |= {"state": "damaged", "error": str(error)}
    else:
        row["state"] = "ok" if kind is Kind.WHOLE else "unfinished"
    return row


def _table(rows: Sequence[Row], place: str) -> list[str]:
    if not rows:
        return [f"There are no backups in {place}."]
    cells = [("BACKUP", "VOLUME", "SIZE", "STORED", "TAKEN", "KIND", "STATE")]
    for row in rows:
        known = "volume" in row
        cells.append(
            (
                row["id"],
                row["volume"] if known else row["volume_id"],
                shown(row["size"]) if known else "?",
                shown(row["stored"]) if known else "?",
                time_of(row["created_us"]) if known else "?",
                ("incremental" if row["parent"] else "full") if known else "?",
                row["state"],
            )
        )
    widths = [max(len(each[column]) for each in cells) for column in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(each, widths, strict=True)).rstrip() for each in cells]


def time_of(microseconds: int) -> str:
    """Return a time for people."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def verify(arguments: argparse.Namespace) -> int:
    """Look whether backups are whole."""
    target, secret = place_of(arguments), secret_of(arguments)
    by_repository: dict[str, tuple[Repository, list[str]]] = {}
    for backup_id in arguments.backup:
        repository = find(target, backup_id, secret)
        by_repository.setdefault(repository.volume_id, (repository, []))[1].append(backup_id)
    if not arguments.backup:
        by_repository = {each.volume_id: (each, each.backups()) for each in repositories(target, secret)}
    found: list[Damaged] = []
    checked: list[str] = []
    for repository, ids in by_repository.values():
        opened: list[Opened] = []
        for backup_id in ids:
            try:
                opened.append(repository.read(backup_id))
            except Damaged as error:
                found.append(error)
            except NoSuchBackup:
                if arguments.backup:
                    raise
        checked += [each.manifest.id for each in opened]
        found += _damage(repository, opened, arguments)
    _say_verified(arguments, checked, found)
    return 1 if found else 0


def _damage(repository: Repository, opened: Sequence[Opened], arguments: argparse.Namespace) -> list[Damaged]:
    if arguments.fast:
        known = repository.known()
        by_name = {each.name: each for backup in opened for each in missing(repository, backup.manifest, known)}
        return list(by_name.values())
    with Bar("fetched") as show:
        return list(damaged(repository, opened, show, arguments.jobs))


def _say_verified(arguments: argparse.Namespace, checked: Sequence[str], found: Sequence[Damaged]) -> None:
    if arguments.json:
        print(json.dumps({"checked": checked, "damaged": [{"name": e.name, "why": e.why} for e in found]}, indent=2))
        return
    for each in found:
        print(f"{each.name} is damaged: {each.why}")
    how = "is there, with the right size" if arguments.fast else "was fetched, and is what was written"
    if not found:
        print(f"{len(checked)} backups: every object {how}")
    else:
        print(
            f"{len(found)} objects are damaged. The next backup with --full of a volume that still has those contents "
            "sends them again, once the damaged objects are deleted."
        )


def delete_backup(arguments: argparse.Namespace) -> int:
    """Delete a backup."""
    repository = find(place_of(arguments), arguments.backup, secret_of(arguments))
    done = delete(repository, arguments.backup)
    if arguments.json:
        print(json.dumps({"deleted": arguments.backup, "pieces": done.pieces, "size": done.size}))
    else:
        print(f"{arguments.backup} is deleted, with {done.pieces} pieces that no other backup has ({shown(done.size)})")
    return 0


def restore_to_file(arguments: argparse.Namespace) -> int:
    """Make a file what a volume was."""
    path = Path(arguments.to_file)
    repository = find(place_of(arguments), arguments.backup, secret_of(arguments))
    backup = repository.read(arguments.backup)
    with FileSink(path, backup.manifest.origin.size) as sink, Bar("fetched") as show:
        done = restore(repository, backup, sink, sink.is_begun, show, arguments.jobs)
        sink.finish()
    say_restored(arguments, backup, done, str(path))
    return 0


def say_restored(arguments: argparse.Namespace, backup: Opened, done: Restored, where: str) -> None:
    """Say what a restore did."""
    manifest = backup.manifest
    if arguments.json:
        print(json.dumps({"backup": described(manifest), "to": where, **done._asdict()}, indent=2))
        return
    kept = f", {shown(done.kept)} were there already" if done.kept else ""
    print(f"{where} is {manifest.origin.volume_name} as of {time_of(manifest.created_us)}")
    print(f"{shown(manifest.origin.size)}, wrote {shown(done.written)}, fetched {shown(done.fetched)}{kept}")


ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "list": list_backups,
    "verify": verify,
    "restore": restore_to_file,
    "delete": delete_backup,
}


def run(action: str, arguments: argparse.Namespace) -> int:
    """Do it. Raise OperatorError."""
    try:
        return ACTIONS[action](arguments)
    except BackupError as error:
        raise Refused(error) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="holdfast-backup", description="Backups of volumes, without a cluster.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, summary: str) -> argparse.ArgumentParser:
        options = actions.add_parser(name, help=summary)
        options.add_argument("--json", action="store_true", help="for programs")
        return options

    add_list_arguments(action("list", "show which backups there are"))
    add_verify_arguments(action("verify", "look whether backups are whole"))
    add_delete_arguments(action("delete", "delete a backup, and what no other one has of its pieces"))
    options = action("restore", "make a file what a volume was")
    add_place_arguments(options)
    options.add_argument("backup", metavar="BACKUP", help="as the list calls it")
    options.add_argument("--to-file", metavar="FILE", required=True, help="one that is not there yet")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return run(arguments.action, arguments)
    except OperatorError as error:
        print(f"holdfast-backup: {error}.", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"holdfast-backup: {error.filename or ''}: {error.strerror or error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
