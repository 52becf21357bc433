"""`holdfast volume backup` and its like: backups of volumes of a cluster."""

import argparse
import json
import os
from typing import Any

from blockgw.backup.errors import BackupError
from blockgw.backup.gateway_volume import GatewayVolume
from blockgw.backup.nbd import NbdVolume
from blockgw.backup.repository import Opened, Repository, find
from blockgw.backup.restoring import Restored, restore
from blockgw.backup.taking import Outcome, Taking, Wishes
from tools import backup_alone
from tools.backup_alone import say_restored
from tools.backup_places import Bar, Refused, described, place_of, secret_of, shown
from tools.data_directory import Cluster, open_cluster
from tools.errors import OperatorError
from tools.volumes.asking import Answer, ask_gateway


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    other = backup_alone.OTHER_NAMES.get(arguments.action)
    if other is not None:
        return backup_alone.run(other, arguments)
    if arguments.action == "restore" and arguments.to_file is not None:
        if arguments.encrypt_volume:
            raise OperatorError("--encrypt-volume is for a volume, not for a file")
        return backup_alone.run("restore", arguments)
    try:
        gateway = Gateway(open_cluster(arguments))
        return _backup(gateway, arguments) if arguments.action == "backup" else _restore(gateway, arguments)
    except BackupError as error:
        raise Refused(error) from error


class Gateway:
    """The block gateway of a cluster that runs."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.socket = cluster.layout.nbd_socket(0)

    def ask(self, do: str, **about: Any) -> Answer:
        """Return the answer. Raise BackupError."""
        try:
            return ask_gateway(self._cluster, do, **about)
        except OperatorError as error:
            raise BackupError(str(error)) from error


def _backup(gateway: Gateway, arguments: argparse.Namespace) -> int:
    volume = GatewayVolume(gateway.ask, gateway.socket, arguments.name)
    repository = Repository(place_of(arguments), volume.id, secret_of(arguments))
    with Bar("sent") as show:
        outcome = Taking(volume, repository, Wishes(arguments.full, arguments.jobs), show).run()
    if arguments.json:
        about = {**described(outcome.manifest), "resumed": outcome.resumed, "remarks": outcome.remarks}
        print(json.dumps({"backup": about}, indent=2))
    else:
        print("\n".join(_summary(outcome, arguments.target)))
    return 0


def _summary(outcome: Outcome, place: str) -> list[str]:
    """Return what there is to say of a backup that was taken."""
    manifest, counts = outcome.manifest, outcome.manifest.counts
    kind = "all that there is" if manifest.parent is None else f"what changed since {manifest.parent}"
    went_on = ", after an interruption" if outcome.resumed else ""
    read, size, sent = shown(counts.read), shown(manifest.origin.size), shown(counts.sent)
    return [
        *outcome.remarks,
        f"{manifest.id} of {manifest.origin.volume_name} is in {place}: {kind}{went_on}",
        f"read {read} of {size}, sent {sent}, deduplicated {shown(counts.deduplicated)}",
    ]


def _restore(gateway: Gateway, arguments: argparse.Namespace) -> int:
    repository = find(place_of(arguments), arguments.backup, secret_of(arguments))
    backup = repository.read(arguments.backup)
    description = f"restored from backup {backup.manifest.id} of {backup.manifest.origin.volume_name}"
    if arguments.resume:
        about = gateway.ask("show", name=arguments.name)["volume"]
        if about["description"] != description or about["size"] != backup.manifest.origin.size:
            raise OperatorError(f"{arguments.name} is not what a restore of {backup.manifest.id} has begun")
    else:
        size, encrypted = backup.manifest.origin.size, arguments.encrypt_volume
        gateway.ask("create", name=arguments.name, size=size, description=description, encrypted=encrypted)
    done = _fill(gateway, repository, backup, arguments)
    say_restored(arguments, backup, done, f"volume {arguments.name}")
    return 0


def _fill(gateway: Gateway, repository: Repository, backup: Opened, arguments: argparse.Namespace) -> Restored:
    """Write a volume; if that fails and the volume is new, it goes again."""
    try:
        with NbdVolume(os.fspath(gateway.socket), arguments.name) as sink, Bar("fetched") as show:
            return restore(repository, backup, sink, arguments.resume, show, arguments.jobs)
    except BackupError as error:
        if arguments.resume:
            raise
        try:
            gateway.ask("delete", name=arguments.name)
        except BackupError as other:
            raise BackupError(f"{error}; volume {arguments.name} is not whole: delete it ({other})") from error
        raise BackupError(f"{error}; so volume {arguments.name} was not made") from error
