"""The file `device.id` at the top of a device's directory: whose it is. Bytes <-> value; no I/O.

    holdfast device 3
    cluster 9b1c0a...        16 hexadecimal digits: a digest of what places names in this cluster
    mount none               only where an operator wrote it: this is a plain directory, also if it was none before

It is written once, when a device first uses a directory, and says nothing of what the directory holds. It is there
so that an empty mount point, or a neighbour's disk, is not taken for the device. Format: docs/sick-hardware.md.
"""

import hashlib
from dataclasses import dataclass

MARKER_FILE = "device.id"
_DIGEST_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Marker:
    """Whose directory it is."""

    device_id: int
    cluster: str
    plain: bool = False  # an operator says that no mount belongs here


def cluster_digest(hash_prefix: str, hash_suffix: str) -> str:
    """Return what tells clusters apart, and betrays nothing."""
    return hashlib.sha256(f"holdfast device\0{hash_prefix}\0{hash_suffix}".encode()).hexdigest()[:_DIGEST_DIGITS]


def encode(marker: Marker) -> bytes:
    """Return the content of the file."""
    plain = "mount none\n" if marker.plain else ""
    return f"holdfast device {marker.device_id}\ncluster {marker.cluster}\n{plain}".encode()


def decode(content: bytes) -> Marker | None:
    """Return what the file says; None when it is damaged. Lines that we do not know are passed over."""
    lines = content.decode(errors="replace").splitlines()
    fields = dict(line.rsplit(" ", 1) for line in lines if " " in line)
    device_id, cluster = fields.get("holdfast device", ""), fields.get("cluster", "")
    if not device_id.isascii() or not device_id.isdigit() or len(cluster) != _DIGEST_DIGITS:
        return None
    return Marker(int(device_id), cluster, fields.get("mount") == "none")


def disagreement(expected: Marker, found: Marker) -> str:
    """Return in words how a marker is not ours; empty when it is."""
    if found.cluster != expected.cluster:
        return "it holds a device of another cluster"
    if found.device_id != expected.device_id:
        return f"it holds device {found.device_id}"
    return ""
