"""`[cluster]`: what makes a cluster itself."""

import os
from dataclasses import dataclass, field
from typing import Annotated

from cluster.config.units import DAY_S
from cluster.settings import Choices, Limits, Meaning

KEY_SIZE = 32  # bytes of the cluster key
_HASH_SALT_SIZE = 16  # random bytes in each of hash_prefix and hash_suffix


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """What makes this cluster itself. The secrets must be equal on all its hosts."""

    name: Annotated[str, Meaning("Shown by status and in metrics.")] = "holdfast"
    transport: Annotated[
        str,
        Meaning(
            "How processes reach devices: unix (sockets in the data directory; everything on one host, "
            "fastest) or tcp (each device's host and port)."
        ),
        Choices(("unix", "tcp")),
    ] = "unix"
    key: Annotated[
        str,
        Meaning(
            "64 hexadecimal digits. Peers prove that they know it, and tokens are signed with it: whoever "
            "reads it owns the cluster. Changing it ends all tokens."
        ),
    ] = field(repr=False)
    hash_prefix: Annotated[
        str,
        Meaning(
            "Mixed into the hash that places a name, with hash_suffix, so that nobody outside can aim at one "
            "partition. Fixed for the life of the data: after a change nothing is found."
        ),
    ] = field(repr=False)
    hash_suffix: Annotated[str, Meaning("See hash_prefix.")] = field(repr=False)

    clock_warn_s: Annotated[
        float,
        Meaning(
            "How far a process's clock may be from the others' before status tells. Versions are ordered whatever "
            "clocks say; times that people read, expiry of objects and of signatures go by them."
        ),
        Limits(0.1, DAY_S),
    ] = 5.0

    @property
    def key_bytes(self) -> bytes:
        """The key as the wire and tokens use it."""
        return bytes.fromhex(self.key)


def fresh_cluster(name: str = "holdfast", transport: str = "unix") -> ClusterConfig:
    """Return the identity of a new cluster: random secrets."""
    return ClusterConfig(
        name=name,
        transport=transport,
        key=os.urandom(KEY_SIZE).hex(),
        hash_prefix=os.urandom(_HASH_SALT_SIZE).hex(),
        hash_suffix=os.urandom(_HASH_SALT_SIZE).hex(),
    )
