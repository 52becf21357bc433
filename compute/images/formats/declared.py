"""The formats that an image may be declared to have."""

from compute.errors import BadRequest

RAW, QCOW2, VMDK, VDI, ISO = "raw", "qcow2", "vmdk", "vdi", "iso"
_AMAZON = ("ami", "ari", "aki")  # disks, ramdisks and kernels: raw bytes
DISK_FORMATS = (*_AMAZON, RAW, QCOW2, VMDK, VDI, ISO)
BARE = "bare"
CONTAINER_FORMATS = (*_AMAZON, BARE, "ovf", "ova", "docker")

PLAIN = frozenset((RAW, *_AMAZON))  # what has no structure that we know
DISKS = frozenset((RAW, "ami", QCOW2, VMDK, VDI, ISO))  # what a volume can be made of


def check(disk_format: str | None, container_format: str | None) -> None:
    """Raise BadRequest for formats that do not go together."""
    if {disk_format, container_format} & set(_AMAZON) and disk_format != container_format and (
        disk_format is not None and container_format is not None
    ):
        raise BadRequest(
            "Invalid mix of disk and container formats. When setting a disk or container format to one of "
            "'aki', 'ari', or 'ami', the container and disk formats must match."
        )


def is_disk(disk_format: str | None, container_format: str | None) -> bool:
    """Tell whether the bytes are those of a disk, and not of an archive that holds one."""
    return container_format in (BARE, *_AMAZON) and disk_format is not None
