"""Grants: what lets one holder in to one volume, and nobody else: NAME~HOLDER~SEAL in place of NAME.

The seal is made of name, holder and what may be done, by HMAC-SHA256 under a key that comes from the cluster's:
services of the cluster make grants for whom they attach a volume to, and gateways know them without being told of any.
A grant ends when its holder is dismissed (`holders`). Who has one needs no other right; it is a secret, and clients on
a network that others listen to should use TLS.
"""

import hmac
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from blockgw.holders import SEPARATOR

_SEAL_DIGITS = 32  # 128 bits
_KEY_SIZE = 32


class Access(StrEnum):
    """What a grant is for."""

    WRITE = "write"  # and reading
    READ = "read"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the name of an export says that a client asks for."""

    name: str
    holder: str = ""  # for whom; empty: that was not said
    seal: str = field(default="", repr=False)  # empty: it claims no grant


def parted(text: str) -> Asked:
    """Return what a client asks for."""
    name, _separator, rest = text.partition(SEPARATOR)
    holder, _separator, seal = rest.partition(SEPARATOR)
    return Asked(name, holder, seal)


class Grants:
    """Those of a cluster."""

    def __init__(self, cluster_key: bytes) -> None:
        self._key = HKDF(SHA256(), _KEY_SIZE, salt=None, info=b"holdfast volume grants").derive(cluster_key)

    def __repr__(self) -> str:
        return "Grants()"

    def export(self, name: str, holder: str, access: Access = Access.WRITE) -> str:
        """Return the name under which `holder` has the volume, or the snapshot NAME@SNAPSHOT."""
        return SEPARATOR.join((name, holder, self._seal(name, holder, access)))

    def access(self, name: str, holder: str, seal: str) -> Access | None:
        """Return what a grant is for; None: it is none."""
        for access in Access:
            if hmac.compare_digest(self._seal(name, holder, access).encode(), seal.encode()):
                return access
        return None

    def _seal(self, name: str, holder: str, access: Access) -> str:
        text = SEPARATOR.join((name, holder, access))  # none of them has one
        return hmac.new(self._key, text.encode(), "sha256").hexdigest()[:_SEAL_DIGITS]
