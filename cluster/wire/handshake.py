"""Who may talk to whom, and in which version: what is said before the first request. No I/O.

    server -> client  CHALLENGE (challenge,)        a nonce, the versions, what the server can take
    client -> server  HELLO     (hello, proof)      a nonce, the version chosen, what the client can take
    server -> client  PROOF     (proof,)

A proof is HMAC-SHA256 with the cluster key over the prover's role and the exact bytes of challenge and
hello. So neither side can be replayed, reflected, or talked into an older version than both speak, and
a server proves nothing to a stranger. What follows is not encrypted or signed: on a network that
is not trusted the connection goes through TLS.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

import msgpack

from cluster.version import WIRE_PROTOCOL
from cluster.wire.errors import HandshakeError, ProtocolError
from cluster.wire.frame import KiB, unpack

OLDEST_VERSION = 1
TAGS_SINCE = 2  # the version that has TAG frames
NEWEST_VERSION = WIRE_PROTOCOL
NONCE_SIZE = 32
NAME_LIMIT = 100  # characters
WINDOW_MINIMUM = 64 * KiB  # bytes; less would cut bodies into crumbs

CLIENT, SERVER = b"client", b"server"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server says first."""

    oldest_version: int
    newest_version: int
    nonce: bytes
    window: int  # bytes of a request's body that may be sent before credit is given
    request_limit: int  # requests that may be under way at once


@dataclass(frozen=True, slots=True)
class Hello:
    """A client's answer."""

    version: int
    nonce: bytes
    name: str  # for logs only
    window: int  # bytes of a reply's body that may be sent before credit is given


def pack_challenge(challenge: Challenge) -> bytes:
    """Encode a challenge: a map, so that newer peers may add to it."""
    packed: bytes = msgpack.packb(
        {
            "oldest": challenge.oldest_version,
            "newest": challenge.newest_version,
            "nonce": challenge.nonce,
            "window": challenge.window,
            "requests": challenge.request_limit,
        }
    )
    return packed


def unpack_challenge(packed: object) -> Challenge:
    """Decode a challenge; names that we do not know are passed over."""
    fields = _unpack_map(packed)
    return Challenge(
        _number(fields, "oldest"),
        _number(fields, "newest"),
        _nonce(fields),
        _number(fields, "window", WINDOW_MINIMUM),
        _number(fields, "requests", 1),
    )


def pack_hello(hello: Hello) -> bytes:
    """Encode a hello."""
    packed: bytes = msgpack.packb(
        {
            "version": hello.version,
            "nonce": hello.nonce,
            "name": hello.name[:NAME_LIMIT],
            "window": hello.window,
        }
    )
    return packed


def unpack_hello(packed: object) -> Hello:
    """Decode a hello; names that we do not know are passed over."""
    fields = _unpack_map(packed)
    name = fields.get("name")
    if not isinstance(name, str) or len(name) > NAME_LIMIT:
        raise HandshakeError("no name")
    return Hello(_number(fields, "version"), _nonce(fields), name, _number(fields, "window", WINDOW_MINIMUM))


def choose_version(challenge: Challenge) -> int:
    """Return the newest version that both sides speak. Raise HandshakeError when there is none."""
    version = min(challenge.newest_version, NEWEST_VERSION)
    if version < max(challenge.oldest_version, OLDEST_VERSION):
        raise HandshakeError(
            f"they speak versions {challenge.oldest_version} to {challenge.newest_version}, "
            f"we {OLDEST_VERSION} to {NEWEST_VERSION}"
        )
    return version


def prove(key: bytes, role: bytes, challenge: bytes, hello: bytes) -> bytes:
    """Return the proof that `role` knows `key`, in the conversation that began with these bytes."""
    lengths = len(challenge).to_bytes(4, "big") + len(hello).to_bytes(4, "big")
    return hmac.digest(key, b"holdfast wire " + role + b"\0" + lengths + challenge + hello, hashlib.sha256)


def check_proof(key: bytes, role: bytes, challenge: bytes, hello: bytes, proof: object) -> None:
    """Raise HandshakeError unless `proof` is what `role` has to show."""
    expected = prove(key, role, challenge, hello)
    if not isinstance(proof, bytes) or not hmac.compare_digest(proof, expected):
        raise HandshakeError("the cluster key differs")


def _unpack_map(packed: object) -> dict[Any, Any]:
    if not isinstance(packed, bytes):
        raise HandshakeError("not a handshake")
    try:
        fields = unpack(packed)
    except ProtocolError as error:
        raise HandshakeError(str(error)) from None
    if not isinstance(fields, dict):
        raise HandshakeError("not a handshake")
    return fields


def _number(fields: dict[Any, Any], name: str, minimum: int = 0) -> int:
    value = fields.get(name)
    if type(value) is not int or not minimum <= value < 1 << 32:
        raise HandshakeError(f"no {name}")
    return value


def _nonce(fields: dict[Any, Any]) -> bytes:
    value = fields.get("nonce")
    if not isinstance(value, bytes) or len(value) != NONCE_SIZE:
        raise HandshakeError("no nonce")
    return value
