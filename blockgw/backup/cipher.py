"""What makes the pieces of a volume's backups theirs: how they are called, and how they are kept from others' eyes.

Plain: a piece is called by the SHA-256 of its content, and stored as it is.
Sealed: it is called by an HMAC-SHA-256 of it, and stored under AES-256-GCM with a random nonce of 96 bits. Both keys
come from one master key, by HMAC over what they are for. So names say nothing of contents to who lacks the key, not
even to who guesses them; equal contents have equal names all the same. NIST SP 800-38D, 8.3: up to 2^32 messages
under one key, which is 16 PiB of pieces.
"""

import hashlib
import hmac
import os
from enum import IntEnum
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ID_SIZE = 32
KEY_SIZE = 32
NONCE_SIZE = 12


class CipherNumber(IntEnum):
    """As it is in objects."""

    NONE = 0
    AES_256_GCM = 1


class Cipher(Protocol):
    """Of one volume's backups."""

    @property
    def number(self) -> CipherNumber: ...

    def piece_id(self, data: bytes) -> bytes:
        """Return the name of a piece with this content, ID_SIZE bytes."""

    def seal(self, data: bytes, about: bytes) -> bytes:
        """Return what is stored for `data`; it opens with the same `about` only."""

    def open(self, stored: bytes, about: bytes) -> bytes:
        """Undo `seal`. Raise ValueError when it is not what was sealed."""


class Plain:
    """No encryption."""

    number = CipherNumber.NONE

    def piece_id(self, data: bytes) -> bytes:
        """See Cipher."""
        return hashlib.sha256(data).digest()

    def seal(self, data: bytes, about: bytes) -> bytes:
        """See Cipher."""
        del about
        return data

    def open(self, stored: bytes, about: bytes) -> bytes:
        """See Cipher."""
        del about
        return stored


class Sealed:
    """AES-256-GCM."""

    number = CipherNumber.AES_256_GCM

    def __init__(self, master: bytes) -> None:
        assert len(master) == KEY_SIZE
        self._id_key = _derived(master, b"holdfast backup: names of pieces")
        self._sealing = AESGCM(_derived(master, b"holdfast backup: contents"))

    def piece_id(self, data: bytes) -> bytes:
        """See Cipher."""
        return hmac.new(self._id_key, data, hashlib.sha256).digest()

    def seal(self, data: bytes, about: bytes) -> bytes:
        """See Cipher."""
        nonce = os.urandom(NONCE_SIZE)
        return nonce + self._sealing.encrypt(nonce, data, about)

    def open(self, stored: bytes, about: bytes) -> bytes:
        """See Cipher."""
        try:
            return self._sealing.decrypt(stored[:NONCE_SIZE], stored[NONCE_SIZE:], about)
        except (InvalidTag, ValueError) as error:
            raise ValueError("it was not sealed with this key, or was changed since") from error


def _derived(master: bytes, purpose: bytes) -> bytes:
    return hmac.digest(master, purpose, "sha256")
