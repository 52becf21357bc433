"""Rescuing a server: it begins with a disk of another image, and has its own disks beside it, until it is unrescued.

The disk is a row like others, of the use `rescue`: as long as it is there, the guest begins with it, and with no other.
"""

from compute.instances import block_devices
from compute.instances.block_devices import RESCUE, BlockDevice
from compute.instances.operations import equipment, power
from compute.instances.operations.work import Work
from compute.instances.statuses import Power, VmState
from compute.operations.work import Outcome


class Rescuing:
    """From the disk of an image, which has a row from the beginning on."""

    NAME = "rescue"

    @staticmethod
    def perform(work: Work) -> None:
        """Do it."""
        server = work.server()
        _end_guest(work, power.patience_s(work, server))
        equipment.define(work, server, True)
        work.end(vm_state=VmState.RESCUED, power=Power.RUNNING, fault=None)

    @staticmethod
    def fail(work: Work, why: str) -> None:
        """Have it be as it was, off if that was reached."""
        is_off = work.details.get("off")
        if is_off:
            _stop(work, 0.0)
        _drop(work)
        work.end(why=why, rescue_image_id=None, **(power.OFF if is_off else {}))


class Unrescuing:
    """From its own disk again."""

    NAME = "unrescue"

    @staticmethod
    def perform(work: Work) -> None:
        """Do it."""
        server = work.server()
        _end_guest(work, 0.0)
        _drop(work)
        equipment.define(work, server, True)
        work.end(rescue_image_id=None, fault=None, **power.RUNNING)

    @staticmethod
    def fail(work: Work, why: str) -> None:
        """Have it be rescued still, or off, if there is nothing to rescue it with."""
        if _disks(work):
            work.end(why=why)
        else:
            work.end(why=why, rescue_image_id=None, **power.OFF)


def _disks(work: Work) -> list[BlockDevice]:
    return [each for each in equipment.devices_of(work) if each.use == RESCUE]


def _end_guest(work: Work, patience_s: float) -> None:
    """Have the guest be off, once: it is to run in the end."""
    if not work.details.get("off"):
        _stop(work, patience_s)
        work.reach("off", off=True)


def _stop(work: Work, patience_s: float) -> None:
    server = work.server()
    equipment.end_guest(work, server.host or "", server.id, patience_s)


def _drop(work: Work) -> None:
    for device in _disks(work):
        equipment.drop_disk(work, device, delete=True)
        work.note(_removed(device))


def _removed(device: BlockDevice) -> Outcome:
    return lambda connection, _now_us: block_devices.remove(connection, device.id)
