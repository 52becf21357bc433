"""Where a chunk lies: by the ring of objects, in all layers of a family on the same devices.

So a clone of a chunk is made where its base is, without the network.
"""

from ring.hashing import NameHash

_ACCOUNT = ".chunks"  # no account of a user begins so


def chunk_key(names: NameHash, family: bytes, number: int) -> bytes:
    """Return the placement key of a chunk."""
    return names.key(_ACCOUNT, family.hex(), f"{number:08x}")
