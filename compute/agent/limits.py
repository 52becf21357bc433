"""What a guest may be for its host: what is not within these limits never reaches libvirt. Pure.

What comes here was made by the compute service; names and the like in it are strangers'.
"""

import re

from compute.agent.guest import Disk, Guest, Nic
from compute.stored import Refused

BUSES = frozenset(("virtio", "scsi", "sata", "ide"))
KINDS = frozenset(("disk", "cdrom"))
MACHINES = frozenset(("", "pc", "q35"))
FIRMWARE = frozenset(("bios", "uefi"))
MODELS = frozenset(("virtio", "e1000", "e1000e", "rtl8139"))
DISKS, NICS = 26, 16
VCPUS, MEMORY_MIB = 255, 4 << 20
USER_DATA = 90_000  # characters of base64; the compute service takes 65 535

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # libvirt's UUIDs; and they are names of files
_SERIAL = re.compile(r"[A-Za-z0-9_.-]{1,36}")
_EXPORT = re.compile(r"[A-Za-z0-9_.@~:+-]{1,512}")
_HOST = re.compile(r"[A-Za-z0-9_.:-]{1,255}")
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")


def check_id(guest_id: str) -> None:
    """Raise Refused for what is no id of a guest."""
    if not _ID.fullmatch(guest_id):
        raise Refused(f"{guest_id[:64]!r} is no id of a guest: it must be a UUID in lower case")


def check(guest: Guest) -> None:
    """Raise Refused for a guest that no host can have."""
    check_id(guest.id)
    _unless(1 <= guest.vcpus <= VCPUS, f"{guest.vcpus} virtual CPUs: 1 to {VCPUS} can be had")
    _unless(1 <= guest.memory_mib <= MEMORY_MIB, f"{guest.memory_mib} MiB of memory: 1 to {MEMORY_MIB} can be had")
    _unless(guest.machine in MACHINES, f"a machine {guest.machine!r} is not known: pc, q35")
    _unless(guest.firmware in FIRMWARE, f"a firmware {guest.firmware!r} is not known: bios, uefi")
    _unless(len(guest.disks) <= DISKS, f"{len(guest.disks)} disks: a guest can have {DISKS}")
    _unless(len(guest.nics) <= NICS, f"{len(guest.nics)} network cards: a guest can have {NICS}")
    _unless(len(guest.told.user_data) <= USER_DATA, "its user data are too large")
    serials = [disk.serial for disk in guest.disks]
    _unless(len(set(serials)) == len(serials), "two of its disks have the same serial")
    macs = [nic.mac.lower() for nic in guest.nics]
    _unless(len(set(macs)) == len(macs), "two of its network cards have the same address")
    for disk in guest.disks:
        check_disk(disk)
    for nic in guest.nics:
        check_nic(nic)


def check_disk(disk: Disk) -> None:
    """Raise Refused for a disk that no guest can have."""
    _unless(_SERIAL.fullmatch(disk.serial), f"{disk.serial[:64]!r} is no serial of a disk")
    _unless(_EXPORT.fullmatch(disk.export), "what a disk is called at the gateway is no name")
    _unless(_HOST.fullmatch(disk.host), f"{disk.host[:64]!r} is no host")
    _unless(1 <= disk.port <= 65_535, f"{disk.port} is no port")
    _unless(disk.bus in BUSES, f"a bus {disk.bus[:64]!r} is not known: {', '.join(sorted(BUSES))}")
    _unless(disk.kind in KINDS, f"a disk that is a {disk.kind[:64]!r} is not known: disk, cdrom")


def check_nic(nic: Nic) -> None:
    """Raise Refused for a network card that no guest can have."""
    _unless(_MAC.fullmatch(nic.mac), f"{nic.mac[:64]!r} is no address of a network card")
    _unless(nic.model in MODELS, f"a network card {nic.model[:64]!r} is not known: {', '.join(sorted(MODELS))}")
    _unless(68 <= nic.mtu <= 65_535, f"packets cannot have {nic.mtu} bytes")


def _unless(fits: object, text: str) -> None:
    if not fits:
        raise Refused(text)
