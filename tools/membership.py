"""`holdfast device accept-loss`: a device that cannot get back all that it lost votes again with what there is.

For when those that would have to be asked are gone for good. What only they had acknowledged is lost then; reads may go
back behind it. Until somebody says so, names that might be concerned are not served.
"""

import argparse
import json
from typing import Any

from cluster.clock import wall_us
from cluster.coordination.embedded import EmbeddedCoordination
from storage.membership import decision, store
from storage.membership.record import Member
from tools.data_directory import Cluster
from tools.errors import OperatorError
from tools.rings.machines import Devices
from tools.rings.terminal import ask


def accept_loss(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Declare a device whole, after the operator has confirmed it."""
    (device_id,) = arguments.ids
    coordination = EmbeddedCoordination(cluster.layout.coordination)
    try:
        member = store.read(coordination, device_id).member
        if member is None:
            raise OperatorError(f"no device {device_id} has ever served in this cluster")
        if member.votes:
            return _say(f"device {device_id} has all its data: there is nothing to accept", arguments)
        answer = Devices(cluster, coordination).health().get(device_id)
        progress = answer.details.get("membership", {}) if answer else {}
        if arguments.dry_run:
            return _say(question(device_id, member, progress), arguments)
        ask(f"{question(device_id, member, progress)} Shall it vote with what it has?", arguments)
        store.change(coordination, device_id, _accept)
    finally:
        coordination.close()
    return _say(f"device {device_id} votes with what it has", arguments)


def _accept(known: Member | None) -> Member | None:
    return None if known is None or known.votes else decision.accepted(known, wall_us())


def question(device_id: int, member: Member, progress: dict[str, Any]) -> str:
    """Return in words what accepting the loss would mean."""
    done, total = progress.get("partitions_done", 0), progress.get("partitions_total", 0)
    copied = f"{done} of its {total} partitions are whole again" if total else "nothing of it has been copied yet"
    waiting = f" ({progress['waiting']})" if progress.get("waiting") else ""
    return (
        f"Device {device_id} lost data: {member.reason}. {copied[0].upper()}{copied[1:]}{waiting}. "
        "Objects, rows and deletions that only this device and others that are gone had acknowledged are lost for good "
        "once it votes, and reads may show older versions of them."
    )


def _say(sentence: str, arguments: argparse.Namespace) -> int:
    text = f"{sentence[0].upper()}{sentence[1:]}"
    print(json.dumps({"note": text}) if arguments.json else f"{text.removesuffix('.')}.")
    return 0
