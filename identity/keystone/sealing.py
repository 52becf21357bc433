"""Secrets at rest: encrypted with a key that is derived from the cluster key, and bound to where they belong.

AES-256-GCM with a random nonce, as nonce | ciphertext | tag. The key comes by HKDF-SHA256 from the cluster key, for
this use alone. What a secret is sealed for (the id of its row) is authenticated with it, so that a blob put into
another row does not open. Some 2**32 secrets may be sealed before random nonces get too close: NIST SP 800-38D, 8.3.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_SIZE = 12
_USE = b"holdfast identity: secrets at rest"


class Unreadable(Exception):
    """A sealed secret does not open: it was damaged, moved, or sealed under another cluster key."""


class Seal:
    """Seals and opens secrets. Stateless but for its key."""

    def __init__(self, cluster_key: bytes) -> None:
        self._cipher = AESGCM(HKDF(SHA256(), length=32, salt=None, info=_USE).derive(cluster_key))

    def __repr__(self) -> str:
        return "Seal()"

    def seal(self, secret: bytes, belongs_to: str) -> bytes:
        """Return `secret` as it may be stored in the place `belongs_to`."""
        nonce = os.urandom(_NONCE_SIZE)
        return nonce + self._cipher.encrypt(nonce, secret, belongs_to.encode())

    def open(self, sealed: bytes, belongs_to: str) -> bytes:
        """Return what was sealed for `belongs_to`. Raise Unreadable."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], belongs_to.encode())
        except (InvalidTag, ValueError):
            raise Unreadable(f"the secret of {belongs_to} does not open with this cluster's key") from None
