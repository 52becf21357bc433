"""Public keys as users have them: read, their fingerprints, and new pairs. No I/O but the system's randomness.

Source: RFC 4253, section 6.6 (ssh), OpenSSH's authorized_keys; RFC 5280 (x509). A fingerprint is what Nova has always
shown: MD5 of the key with colons, for ssh; SHA-1 of the certificate, for x509.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SSH, X509 = "ssh", "x509"
_RSA_BITS = 2048
_EXPONENT = 65_537
_VALID = timedelta(days=3650)
_COMMON_NAME_LIMIT = 64  # characters: RFC 5280, ub-common-name
_PRINCIPAL_NAME = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")  # Microsoft's user principal name


class NoKey(ValueError):
    """It is no public key of its kind; the text says why."""


@dataclass(frozen=True, slots=True)
class NewPair:
    """A new pair; the private key is shown once, and kept nowhere."""

    public_key: str
    private_key: str


def fingerprint(kind: str, public_key: str) -> str:
    """Return the fingerprint of a key. Raise NoKey."""
    return _ssh_fingerprint(public_key) if kind == SSH else _x509_fingerprint(public_key)


def generate(comment: str) -> NewPair:
    """Return a new pair for ssh, of RSA as Nova makes them, in the forms that all clients read."""
    key = rsa.generate_private_key(_EXPONENT, _RSA_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return NewPair(f"{public.decode()} {comment}\n", private.decode())


def generate_certificate(user_id: str, now: datetime) -> NewPair:
    """Return a new certificate of a user, as Windows takes it, and its key: PKCS #12 without a password, in base64."""
    key = rsa.generate_private_key(_EXPONENT, _RSA_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id[:_COMMON_NAME_LIMIT])])
    principal = f"{user_id}@localhost".encode()
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + _VALID)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.OtherName(_PRINCIPAL_NAME, _utf8_in_der(principal))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    private = pkcs12.serialize_key_and_certificates(None, key, certificate, None, serialization.NoEncryption())
    public = certificate.public_bytes(serialization.Encoding.PEM)
    return NewPair(public.decode(), base64.b64encode(private).decode())


def _utf8_in_der(text: bytes) -> bytes:
    """Return a UTF8String of DER: a tag, the length in one byte or two, the text."""
    assert len(text) < 256
    length = bytes([len(text)]) if len(text) < 128 else bytes([0x81, len(text)])
    return b"\x0c" + length + text


def _ssh_fingerprint(text: str) -> str:
    parts = text.strip().split(None, 2)
    if len(parts) < 2 or "\n" in text.strip():
        raise NoKey("failed to generate fingerprint")
    try:
        serialization.load_ssh_public_key(f"{parts[0]} {parts[1]}".encode())
        blob = base64.b64decode(parts[1], validate=True)
    except UnsupportedAlgorithm:  # of a kind that ssh knows, but not we: sk-…
        blob = _named_blob(parts[0], parts[1])
    except (ValueError, binascii.Error):
        raise NoKey("failed to generate fingerprint") from None
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))


def _named_blob(kind: str, encoded: str) -> bytes:
    """Return the bytes of a key, which begin with the name of its kind. Raise NoKey."""
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise NoKey("failed to generate fingerprint") from None
    name = kind.encode()
    if blob[: 4 + len(name)] != len(name).to_bytes(4, "big") + name:
        raise NoKey("failed to generate fingerprint")
    return blob


def _x509_fingerprint(text: str) -> str:
    encoded = text.encode()
    try:
        certificate = x509.load_pem_x509_certificate(encoded)
    except ValueError:
        raise NoKey("failed to generate X509 fingerprint. Error message: it is no certificate in PEM") from None
    digest = certificate.fingerprint(hashes.SHA1()).hex()  # noqa: S303 what Nova shows
    return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))
