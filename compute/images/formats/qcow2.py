"""What must not be in the header of a qcow2 image, beside what oslo.utils looks for.

Source: qemu, docs/interop/qcow2.txt. Integers are big-endian.
"""

import struct

from compute.images.errors import Refused

_HEADER = struct.Struct(">4sIQIIQI")  # magic, version, backing offset and size, cluster bits, size, encryption
_CLUSTER_BITS = range(9, 22)
_EXTENSION = struct.Struct(">II")  # type, length
_HEADER_SIZE_AT = 100  # of version 3; version 2 has 72 bytes
_HEADER_SIZE_2 = 72
_END, _DATA_FILE = 0, 0x44415441
_EXTENSIONS_LIMIT = 64


def check(head: bytes) -> None:
    """Raise Refused unless an image that begins with `head` is one that stands for itself."""
    if len(head) < _HEADER_SIZE_AT + 4:
        raise Refused("The qcow2 header is cut off.")
    _magic, version, backing_offset, _length, cluster_bits, _size, encryption = _HEADER.unpack_from(head)
    if backing_offset:
        raise Refused("The qcow2 image has a backing file.")
    if encryption:
        raise Refused("The qcow2 image is encrypted.")
    if cluster_bits not in _CLUSTER_BITS:
        raise Refused("The qcow2 header is damaged: there are no clusters of its size.")
    header_size = _HEADER_SIZE_2 if version == 2 else struct.unpack_from(">I", head, _HEADER_SIZE_AT)[0]
    _check_extensions(head[: 1 << cluster_bits], header_size)


def _check_extensions(first_cluster: bytes, offset: int) -> None:
    for _ in range(_EXTENSIONS_LIMIT):
        if offset + _EXTENSION.size > len(first_cluster):
            return
        kind, length = _EXTENSION.unpack_from(first_cluster, offset)
        if kind == _END:
            return
        if kind == _DATA_FILE:
            raise Refused("The qcow2 image names a data file.")
        offset += _EXTENSION.size + -(-length // 8) * 8
    raise Refused("The qcow2 header has too many extensions.")
