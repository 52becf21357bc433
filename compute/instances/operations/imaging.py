"""Making an image of a server: of a disk of its own, or of snapshots of its volumes.

Details: `image`, the document with which it is announced; `snapshots`, those of volumes that were taken, by disk;
`rotation`, of a backup: how many of its type are kept.
"""

import json

from compute.instances import block_devices
from compute.instances.block_devices import BlockDevice
from compute.instances.operations import equipment
from compute.instances.operations.work import Work
from compute.instances.servers import Server
from compute.instances.statuses import Task
from compute.stored import NoSuch

NAME = "image"


def perform(work: Work) -> None:
    """Make it."""
    server = work.server()
    image = dict(work.details["image"])
    root = next((each for each in equipment.devices_of(work) if each.is_root), None)
    if root is None:
        raise NoSuch("The server has no disk to begin with.")
    if root.is_local:
        work.tools.images.create(image)
        _of_disk(work, server, root, str(image["id"]))
    else:
        _of_volumes(work, server, image)
    if "rotation" in work.details:
        _rotate(work, str(image["backup_type"]), int(work.details["rotation"]))
    work.end()


def fail(work: Work, why: str) -> None:
    """Leave nothing of it, but a backup that was made before others could not be deleted; the server is as it was."""
    if not work.details.get("made"):
        undo(work)
    work.end(why=why)


def undo(work: Work) -> None:
    """Leave nothing of an image."""
    for device in equipment.devices_of(work):
        if device.is_root and device.is_local:
            work.tools.disks.delete_snapshot(device.local_name, _snapshot(work))
    work.tools.images.discard(str(work.details["image"]["id"]))


def _of_disk(work: Work, server: Server, device: BlockDevice, image_id: str) -> None:
    take(work, server, device)
    work.set(task_state=Task.UPLOADING)
    send(work, device, image_id)


def take(work: Work, server: Server, device: BlockDevice) -> None:
    """Keep a disk of the server's own as it is now."""
    if not work.details.get("taken"):
        at_rest = _freeze(work, server, True)
        try:
            work.tools.disks.snapshot(device.local_name, _snapshot(work))
        finally:
            if at_rest:
                _freeze(work, server, False)
        work.reach("uploading", taken=True)


def send(work: Work, device: BlockDevice, image_id: str) -> None:
    """Have an image be what was kept of a disk."""
    work.tools.images.upload_volume(image_id, f"{device.local_name}@{_snapshot(work)}")
    work.tools.disks.delete_snapshot(device.local_name, _snapshot(work))


def _rotate(work: Work, kind: str, count: int) -> None:
    """Delete the oldest backups of a kind that are more than so many."""
    work.reach("rotating", made=True)
    for image_id in work.tools.images.backups(work.subject_id, kind)[count:]:
        work.tools.images.discard(image_id)


def _freeze(work: Work, server: Server, frozen: bool) -> bool:
    """Have a guest bring its file systems to rest, if it wants that and can."""
    if not server.has_agent or server.host is None:
        return False
    return work.host(server.host).freeze(server.id, frozen)


def _of_volumes(work: Work, server: Server, image: dict[str, object]) -> None:
    """Nova's form of it: an image without data, whose property says which snapshots it is made of."""
    taken = dict(work.details.get("snapshots", {}))
    devices = [each for each in equipment.devices_of(work) if each.volume_id and each.state == block_devices.ATTACHED]
    for device in devices:
        if device.id not in taken:
            taken[device.id] = work.tools.volumes.snapshot(str(device.volume_id), f"snapshot for {image['name']}")
            work.reach("snapshots", snapshots=taken)
    mapping = [
        {
            "source_type": "snapshot",
            "destination_type": "volume",
            "snapshot_id": taken[device.id],
            "volume_size": device.volume_gb,
            "boot_index": device.boot_index,
            "device_name": device.device_name,
            "disk_bus": device.bus,
            "device_type": device.device_type,
            "delete_on_termination": device.delete_on_termination,
            "guest_format": None,
            "image_id": None,
            "volume_id": None,
            "no_device": None,
            "volume_type": None,
            "tag": device.tag,
        }
        for device in devices
    ]
    about = {
        "block_device_mapping": json.dumps(mapping),
        "bdm_v2": "True",
        "root_device_name": server.root_device_name or "/dev/vda",
    }
    work.tools.images.create({**image, **about})
    work.tools.images.finish_empty(str(image["id"]))


def _snapshot(work: Work) -> str:
    return f"image-{work.operation.id}"
