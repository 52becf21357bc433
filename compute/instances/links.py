"""Tokens of links to guests' screens and serial lines: they say where one is served and let in there, sealed.

Nothing is stored of them, so whoever serves the page of a link needs the cluster's key alone.
"""

import base64
import json
from dataclasses import asdict, dataclass

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

TOKEN_S = 600  # for which a link is good


@dataclass(frozen=True, slots=True)
class Opened:
    """What a token says."""

    instance_uuid: str
    host: str
    port: int
    password: str
    kind: str  # vnc or serial
    relay_host: str  # where the guest's host carries it from, for who has the ticket
    relay_port: int
    ticket: str


def seal_of(cluster_key: bytes) -> Fernet:
    """Return what the compute service of a cluster seals with."""
    derived = HKDF(SHA256(), 32, salt=None, info=b"holdfast compute tokens").derive(cluster_key)
    return Fernet(base64.urlsafe_b64encode(derived))


def sealed(seal: Fernet, what: Opened) -> str:
    """Return a token."""
    return seal.encrypt(json.dumps(asdict(what)).encode()).decode()


def opened(seal: Fernet, token: str) -> Opened | None:
    """Return what a token says; None: it is none, or no longer good."""
    try:
        return Opened(**json.loads(seal.decrypt(token.encode(), ttl=TOKEN_S)))
    except (InvalidToken, ValueError, TypeError):
        return None
