"""Images of all kinds, good and bad, made from nothing: qemu-img's for the good, bytes put together for the bad."""

import struct
import subprocess
from pathlib import Path

MiB = 1 << 20
SECTOR = 512


def made(directory: Path, disk_format: str, size: str = "4M", *options: str) -> bytes:
    """Return an image that qemu-img makes."""
    path = directory / f"image.{disk_format}"
    subprocess.run(["qemu-img", "create", "-q", "-f", disk_format, *options, path, size], check=True, timeout=60)
    return path.read_bytes()


def with_data(directory: Path, disk_format: str, *options: str) -> bytes:
    """Return an image with some data in it."""
    raw, path = directory / "raw", directory / f"data.{disk_format}"
    raw.write_bytes(bytes(MiB) + b"data" * 100_000 + bytes(MiB))
    raw.open("ab").truncate(4 * MiB)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", disk_format, *options, raw, path], check=True, timeout=60)
    return path.read_bytes()


def patched(image: bytes, offset: int, new: bytes) -> bytes:
    """Return `image` with other bytes at `offset`."""
    return image[:offset] + new + image[offset + len(new) :]


def qcow2(  # what its header says, and nothing behind it
    version: int = 3,
    backing: int = 0,
    size: int = 4 * MiB,
    encryption: int = 0,
    features: int = 0,
    cluster_bits: int = 16,
    extensions: bytes = bytes(8),
) -> bytes:
    """Return the first cluster of a qcow2 image."""
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        b"QFI\xfb", version, backing, 8 if backing else 0, cluster_bits, size, encryption, 1, 3 << 16, 1 << 16, 1, 0, 0,
        features, 0, 0, 4, 104,
    )
    assert len(header) == 104
    return (header + extensions).ljust(1 << 16, b"\0")


def vmdk_descriptor(
    kind: str = "monolithicSparse", extents: str = 'RW 8192 SPARSE "disk.vmdk"', first: str = "", more: str = ""
) -> bytes:
    """Return the text in a VMDK image."""
    return (
        f"# Disk DescriptorFile\n{first}version=1\nCID=12345678\nparentCID=ffffffff\n"
        f'createType="{kind}"\n{more}# Extent description\n{extents}\n# The Disk Data Base\nddb.adapterType = "ide"\n'
    ).encode()


def vmdk(descriptor: bytes, capacity: int = 8192, offset: int = 1) -> bytes:
    """Return the beginning of a sparse VMDK image with this descriptor."""
    header = struct.pack("<4sIIQQQQIQQQ", b"KDMV", 1, 3, capacity, 128, offset, 20, 512, 21, 30, 128)
    body = header.ljust(SECTOR, b"\0") + bytes((offset - 1) * SECTOR) + descriptor.ljust(20 * SECTOR, b"\0")
    return body.ljust(128 * SECTOR, b"\0")


def vdi(size: int = 4 * MiB) -> bytes:
    """Return the header of a VDI image."""
    header = bytearray(SECTOR)
    header[0x40:0x44] = struct.pack("<I", 0xBEDA107F)
    header[0x170:0x178] = struct.pack("<Q", size)
    return bytes(header) + bytes(MiB)


def iso(size: int = MiB) -> bytes:
    """Return a CD with nothing on it."""
    descriptor = b"\x01CD001\x01".ljust(2048, b"\0")
    return (bytes(32 * 1024) + descriptor).ljust(size, b"\0")


def partitioned(size: int = MiB) -> bytes:
    """Return a raw disk with a partition table."""
    sector = bytearray(SECTOR)
    sector[446:462] = struct.pack("<B3BB3BII", 0x80, 0, 2, 0, 0x83, 0, 0, 0, 2048, 4096)
    sector[510:512] = b"\x55\xaa"
    return bytes(sector).ljust(size, b"\0")
