"""A whole cluster in one process and one event loop, for tests of what only several devices can show.

Every device is real (log, blobs, indexes, service) in a directory of its own. Between them and their
clients lies `LoopbackPeer`, which has the interface of `cluster.wire.Peer` and calls the other side's
handler: never in the caller's turn of the loop, with metadata that has been through msgpack, with bodies under
the wire's own flow control. What can go wrong is switched on by the test, per client and device (`Faults`).
A crash of a device loses what it had in memory and leaves its files as they are.

Everybody goes by the rings that `publish` has made known to them; who is left out of that sleeps, and reads
them when a device refuses him.

Read first: connection, device, cluster; playing is what tests begin with.
"""

from tests.loopback.cluster import PART_POWER, LoopbackCluster, LoopbackProxy, ring_of, rings_of, until
from tests.loopback.connection import Faults, LoopbackPeer, Loss
from tests.loopback.device import FIRST_PROXY, LoopbackDevice
from tests.loopback.playing import TEXT, MiB, Pieces, body_of, get, in_cluster, names_in, played_in, put

__all__ = [
    "FIRST_PROXY",
    "PART_POWER",
    "TEXT",
    "Faults",
    "LoopbackCluster",
    "LoopbackDevice",
    "LoopbackPeer",
    "LoopbackProxy",
    "Loss",
    "MiB",
    "Pieces",
    "body_of",
    "get",
    "in_cluster",
    "names_in",
    "played_in",
    "put",
    "ring_of",
    "rings_of",
    "until",
]
