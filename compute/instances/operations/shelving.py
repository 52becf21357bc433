"""Taking a server off its host for a while, and bringing it back, perhaps to another one.

Of a server that begins with a disk of its own an image is made, which its project sees, and which may be used
otherwise meanwhile: the disk goes, and is made anew of the image. Its other disks, and volumes, stay where they are.

Details of shelving: `image`, the document with which it is announced. Of unshelving: `target`, a host.
"""

from contextlib import suppress

from sqlalchemy import Connection

from compute.instances import block_devices, claims, servers
from compute.instances.block_devices import BlockDevice
from compute.instances.operations import equipment, imaging, power
from compute.instances.operations.work import Work
from compute.instances.servers import Server
from compute.instances.statuses import Power, Task, VmState
from compute.stored import InUse


class Shelving:
    """Off its host."""

    NAME = "shelve"

    @staticmethod
    def perform(work: Work) -> None:
        """Do it."""
        server = work.server()
        image, disk = work.details.get("image"), own_disk(work)
        if image is not None:
            work.tools.images.create(image)  # first, as it may be refused
        if not work.details.get("off"):
            equipment.end_guest(work, server.host or "", server.id, power.patience_s(work, server))
            work.reach("off", off=True)
        if image is not None and disk is not None and disk.image_id != image["id"]:
            _become_image(work, server, disk, str(image["id"]))
        work.set(task_state=Task.OFFLOADING)
        equipment.take_away(work, server, server.host or "")
        if image is not None and disk is not None:
            _give_up(work, disk)
        _end(work)

    @staticmethod
    def fail(work: Work, why: str) -> None:
        """Have it be where it was, off if that was reached; what was made an image of is shelved nevertheless."""
        image, disk = work.details.get("image"), own_disk(work)
        if image is not None and disk is not None and disk.image_id == image["id"]:
            _end(work, why)
            return
        if image is not None:
            imaging.undo(work)
        work.end(why=why, **(power.OFF if work.details.get("off") else {}))


class Unshelving:
    """Back to a host."""

    NAME = "unshelve"

    @staticmethod
    def perform(work: Work) -> None:
        """Do it."""
        server = work.server()
        if server.host is None:
            server = equipment.choose_host(work, host=work.details.get("target"))
        equipment.define(work, server, True)
        discard_image(work, server)
        work.end(vm_state=VmState.ACTIVE, power=Power.RUNNING, fault=None)

    @staticmethod
    def fail(work: Work, why: str) -> None:
        """Have it be off all hosts again."""
        server = work.server()
        if server.host is not None:
            equipment.take_away(work, server, server.host)

        def outcome(connection: Connection, now_us: int) -> None:
            claims.release(connection, server.id)
            servers.change(connection, server.id, now_us, host=None)

        work.end(outcome, why=why, vm_state=VmState.OFFLOADED, power=Power.NONE)


def own_disk(work: Work) -> BlockDevice | None:
    """Return the disk that the server begins with, if it is its own."""
    return next((each for each in equipment.devices_of(work) if each.use == block_devices.ROOT), None)


def discard_image(work: Work, server: Server) -> None:
    """Delete the image that a server was shelved as, if it was."""
    disk = own_disk(work)
    if disk is not None and disk.image_id is not None and disk.image_id != server.image_id:
        work.tools.images.discard(disk.image_id)
        work.note(lambda connection, _now: block_devices.change(connection, disk.id, image_id=server.image_id))


def _become_image(work: Work, server: Server, disk: BlockDevice, image_id: str) -> None:
    """Have an image be the disk, and the disk be one that is to be made of the image."""
    work.set(task_state=Task.SHELVING_PENDING)
    imaging.take(work, server, disk)
    work.set(task_state=Task.SHELVING_UPLOADING)
    imaging.send(work, disk, image_id)
    work.note(lambda connection, _now: block_devices.change(connection, disk.id, image_id=image_id))


def _give_up(work: Work, disk: BlockDevice) -> None:
    """Have the disk be made anew of the image; one that cannot be removed is just as good."""
    work.note(lambda connection, _now: block_devices.change(connection, disk.id, size=0))
    with suppress(InUse):
        work.tools.disks.remove(disk.local_name)


def _end(work: Work, why: str | None = None) -> None:
    server_id = work.subject_id
    work.end(
        lambda connection, _now: claims.release(connection, server_id),
        why,
        vm_state=VmState.OFFLOADED,
        power=Power.NONE,
        host=None,
    )
