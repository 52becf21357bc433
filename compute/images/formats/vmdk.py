"""What must not be in the header and descriptor of a VMDK image, beside what oslo.utils looks for.

Sources: VMware, "Virtual Disk Format 5.0"; qemu, block/vmdk.c. Integers are little-endian. qemu reads the descriptor of
a sparse image of capacity 0 as if it were a file of its own, which may name any extents; it takes the first createType
in that very spelling, whatever stands before in another; and a parentFileNameHint is a backing file.
"""

import struct

from compute.images.errors import Refused

_HEADER = struct.Struct("<4sIIQQQQ")  # magic, version, flags, capacity, grain, descriptor offset and size; sectors
_SECTOR = 512
_DESCRIPTOR_LIMIT = 1 << 20  # bytes
_TYPES = ('"monolithicsparse"', '"streamoptimized"')
_ACCESS = ("rw ", "rdonly ", "noaccess ")


def check(head: bytes) -> None:
    """Raise Refused unless an image that begins with `head` is one that stands for itself."""
    if len(head) < _HEADER.size or not head.startswith(b"KDMV"):
        raise Refused("The VMDK image is not a sparse one in a single file.")
    _magic, _version, _flags, capacity, _grain, offset, size = _HEADER.unpack_from(head)
    if not capacity:
        raise Refused("The VMDK image has no capacity of its own.")
    begin, end = offset * _SECTOR, (offset + size) * _SECTOR
    if not 0 < size * _SECTOR <= _DESCRIPTOR_LIMIT or end > len(head):
        raise Refused("The VMDK descriptor is not where it belongs.")
    _check_descriptor(head[begin:end])


def _check_descriptor(descriptor: bytes) -> None:
    text = descriptor.partition(b"\0")[0].decode("latin-1").lower()
    lines = [line.strip() for line in text.splitlines()]
    types = [line.partition("=")[2].strip() for line in lines if "createtype" in line]
    if text.count("createtype") != 1 or types[0] not in _TYPES:
        raise Refused("The VMDK descriptor does not say clearly that the image is a sparse one in a single file.")
    if "parentfilenamehint" in text:
        raise Refused("The VMDK image has a backing file.")
    extents = [line for line in lines if line.startswith(_ACCESS)]
    if len(extents) != 1 or " sparse " not in extents[0] or "/" in extents[0] or "\\" in extents[0]:
        raise Refused("The VMDK descriptor names extents that are not in the image.")
