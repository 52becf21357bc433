"""The key of a volume's backups: random, and kept beside them wrapped in what their owner knows or has.

A passphrase is stretched by scrypt (RFC 7914), a key file by HMAC alone: it has to be random, of 32 bytes or more. The
wrapped key is stored as JSON, with all that it takes to unwrap it but the secret.
"""

import base64
import hashlib
import hmac
import os
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from blockgw.backup.cipher import KEY_SIZE, NONCE_SIZE, Cipher, Plain, Sealed
from blockgw.backup.errors import BackupError, WrongKey

KEY_FILE_LEAST = 32  # bytes
SALT_SIZE = 16
# 128 MiB and some 0.4 s for each guess
_SCRYPT = {"n": 1 << 17, "r": 8, "p": 1}
_SCRYPT_MEMORY = 1 << 30  # bytes: what a stored document may ask for at most
_WRAPPING = b"holdfast backup: key"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """What an owner gives: a passphrase, or what is in a key file."""

    kind: str  # scrypt or file: as in documents
    data: bytes

    @staticmethod
    def passphrase(text: str) -> "Secret":
        """Return that secret. Raise BackupError when it is empty."""
        if not text:
            raise BackupError("the passphrase is empty")
        return Secret("scrypt", text.encode())

    @staticmethod
    def file(data: bytes) -> "Secret":
        """Return that secret. Raise BackupError when it is too short."""
        if len(data) < KEY_FILE_LEAST:
            raise BackupError(
                f"the key file has less than {KEY_FILE_LEAST} bytes: `head -c 32 /dev/urandom > FILE` makes a good one"
            )
        return Secret("file", data)


def new_key(secret: Secret | None) -> Document | None:
    """Return the document of a new key; None, which stands for no encryption, without a secret."""
    return None if secret is None else _wrapped(os.urandom(KEY_SIZE), secret)


def _wrapped(master: bytes, secret: Secret) -> Document:
    document: Document = {"from": secret.kind, "salt": _text(os.urandom(SALT_SIZE))}
    if secret.kind == "scrypt":
        document |= _SCRYPT
    nonce = os.urandom(NONCE_SIZE)
    sealed = AESGCM(_stretched(document, secret)).encrypt(nonce, master, _WRAPPING)
    return {**document, "wrapped": _text(nonce + sealed)}


def cipher_of(document: Document | None, secret: Secret | None) -> Cipher:
    """Return what opens backups with this document. Raise WrongKey, ValueError when it is no document."""
    if document is None:
        if secret is not None:
            raise WrongKey(
                "the backups of this volume there are not encrypted: leave the key away, or choose another prefix"
            )
        return Plain()
    if secret is None:
        raise WrongKey("these backups are encrypted: give their passphrase (--encrypt) or their key file (--key-file)")
    if secret.kind != document["from"]:
        raise WrongKey(
            "these backups are encrypted with a passphrase: give --encrypt, not a key file"
            if document["from"] == "scrypt"
            else "these backups are encrypted with a key file: give --key-file, not a passphrase"
        )
    wrapped = base64.b64decode(document["wrapped"], validate=True)
    try:
        opened = AESGCM(_stretched(document, secret)).decrypt(wrapped[:NONCE_SIZE], wrapped[NONCE_SIZE:], _WRAPPING)
    except InvalidTag:
        raise WrongKey("this is not the passphrase or key file with which these backups were encrypted") from None
    if len(opened) != KEY_SIZE:
        raise ValueError("the key has another length")
    return Sealed(opened)


def _stretched(document: Document, secret: Secret) -> bytes:
    salt = base64.b64decode(document["salt"], validate=True)
    if secret.kind == "file":
        return hmac.digest(salt, secret.data, "sha256")
    n, r, p = (int(document[name]) for name in ("n", "r", "p"))
    if not (n > 1 and r > 0 and 0 < p <= 16 and 128 * n * r <= _SCRYPT_MEMORY):
        raise ValueError("scrypt is asked for too much")
    return hashlib.scrypt(
        secret.data, salt=salt, n=n, r=r, p=p, maxmem=2 * 128 * n * r + (1 << 20), dklen=KEY_SIZE
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
