"""Making a server anew from an image: the same server, with its ports and volumes, on the same host.

The row has the new image from the beginning on. A volume that the server begins with is filled anew by the volume
service, and is kept for the server meanwhile. Details: `image_id`; `was_off`, then it does not run in the end.
"""

from compute.instances import block_devices
from compute.instances.block_devices import ROOT, BlockDevice
from compute.instances.operations import equipment, power
from compute.instances.operations.work import Work
from compute.instances.statuses import VmState
from compute.stored import InUse, Removal

NAME = "rebuild"


def perform(work: Work) -> None:
    """Do it."""
    server = work.server()
    running = not work.details.get("was_off")
    if not work.details.get("ended"):
        patience_s = power.patience_s(work, server) if running else 0.0
        equipment.end_guest(work, server.host or "", server.id, patience_s)
        equipment.take_away(work, server, server.host or "")
        work.reach("ended", ended=True)
    if not work.details.get("emptied"):
        for device in equipment.devices_of(work):
            if device.use == ROOT:
                _begin_anew(work, device)
            elif device.is_root and device.volume_id is not None:
                _fill_anew(work, device.volume_id)
        work.reach("emptied", emptied=True)
    server = work.server()
    equipment.define(work, server, running)
    work.end(fault=None, launched_at_us=work.now_us(), **(power.RUNNING if running else power.OFF))


def _begin_anew(work: Work, device: BlockDevice) -> None:
    if work.tools.disks.remove(device.local_name) is Removal.KEPT:
        raise InUse(f"{device.local_name} has clones")
    columns = {"image_id": str(work.details["image_id"]), "size": 0, "disk": {}}
    work.note(lambda connection, _now: block_devices.change(connection, device.id, **columns))


def _fill_anew(work: Work, volume_id: str) -> None:
    """Have a volume be filled with the image. After a crash it may be filled twice, with the same."""
    if not work.details.get("filling"):
        volume = work.tools.volumes.show(volume_id)
        if volume is None or volume.status not in equipment.BEING_MADE:
            work.tools.volumes.reimage(volume_id, str(work.details["image_id"]))
        work.reach("filling", filling=True)
    work.soon(lambda: equipment.require_made(work, volume_id))


def fail(work: Work, why: str) -> None:
    """Say so: the server has no disk that it could be started from, perhaps."""
    work.end(why=why, vm_state=VmState.ERROR)
