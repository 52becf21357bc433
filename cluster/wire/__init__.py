"""The peer protocol: many requests at once over one connection, on unix sockets and TCP.

A `Peer` asks, a `Server` answers. What it promises:
- both sides have proved that they know the cluster key before anything else is said;
- a call is answered, refused (RemoteError) or has failed (PeerUnavailable) within its timeout; when
  the peer is down, at once; when it hangs, within 1.2 s;
- nobody holds more of a body than the receiver gave credit for, and of calls no more than a bound;
- what is not wanted any more is taken back on the other side.

It does not repeat a request: whether that is safe only the caller knows.

Read first: docs/wire.md, frame (the codec), flow (bodies), client and server (one connection), peer.
"""

from cluster.wire.client import UploadStream
from cluster.wire.errors import INTERNAL, OVERLOADED, PeerUnavailable, ProtocolError, RemoteError
from cluster.wire.flow import BodyReader
from cluster.wire.frame import PAYLOAD_LIMIT, Buffer
from cluster.wire.message import Handler, Later, Reply, Request
from cluster.wire.network import Listener, Network, SocketNetwork
from cluster.wire.peer import Peer
from cluster.wire.server import Server

__all__ = [
    "INTERNAL",
    "OVERLOADED",
    "PAYLOAD_LIMIT",
    "BodyReader",
    "Buffer",
    "Handler",
    "Later",
    "Listener",
    "Network",
    "Peer",
    "PeerUnavailable",
    "ProtocolError",
    "RemoteError",
    "Reply",
    "Request",
    "Server",
    "SocketNetwork",
    "UploadStream",
]
