"""TLS for NBD's STARTTLS: with certificates (X.509), or with keys that both sides have (PSK).

A client that has a certificate is known by the common name of its subject, which is what NBD servers
commonly authorise by; one that has a key by the key's name. A key file has lines `name:hex digits`, as GnuTLS' psktool
writes them and other NBD servers read them. PSK needs Python 3.13, whose ssl module is the first that has it.
"""

import ssl
from collections.abc import Mapping
from typing import Any, Protocol

PSK_SUPPORTED = hasattr(ssl.SSLContext, "set_psk_server_callback")
# forward secrecy first; OpenSSL's names
_PSK_CIPHERS = "kECDHEPSK:kDHEPSK:kPSK:!eNULL"


class TlsError(Exception):
    """TLS can't be had as it was configured."""


class TlsSession(Protocol):
    """TLS of one connection."""

    @property
    def context(self) -> ssl.SSLContext: ...

    def identity(self, connection: "ssl.SSLObject") -> str:
        """Return what the client has proved to be; empty: nothing."""


class Tls(Protocol):
    """A way to do TLS."""

    def begin(self) -> TlsSession:
        """Return what one connection needs."""


class Certificates:
    """X.509: the server shows a certificate; with `client_authority` clients have to show one of that authority's."""

    def __init__(self, certificate: str, key: str, client_authority: str | None = None) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(certificate, key)
            if client_authority is not None:
                context.load_verify_locations(client_authority)
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ssl.SSLError) as error:
            raise TlsError(f"certificate {certificate}, key {key}, authority {client_authority}: {error}") from error
        self.context = context

    def begin(self) -> TlsSession:
        """Return what one connection needs: the same for all."""
        return self

    def identity(self, connection: "ssl.SSLObject") -> str:
        """Return the common name of the client's certificate."""
        certificate = connection.getpeercert() or {}
        return common_name(certificate)


class PreSharedKeys:
    """PSK: who knows the key of a name is that name."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = dict(keys)
        if not PSK_SUPPORTED:
            raise TlsError("pre-shared keys need Python 3.13; use certificates, or a newer Python")

    def begin(self) -> TlsSession:
        """Return what one connection needs: a context of its own, which notes the name."""
        return _PreSharedKeySession(self._keys)


class _PreSharedKeySession:
    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = keys
        self._name = ""
        context: Any = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # Any: older type descriptions lack the callback
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_PSK_CIPHERS)
        context.set_psk_server_callback(self._find)
        self.context: ssl.SSLContext = context

    def identity(self, _connection: "ssl.SSLObject") -> str:
        """Return the name of the key."""
        return self._name

    def _find(self, name: str | None) -> bytes:
        self._name = name or ""
        return self._keys.get(self._name, b"")  # nothing: the handshake fails


def common_name(certificate: Mapping[str, Any]) -> str:
    """Return the common name of a certificate's subject, as `getpeercert` shows it; the last, if it has many."""
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return str(names[-1]) if names else ""


def parse_keys(text: str) -> dict[str, bytes]:
    """Return the keys in a key file, by name. Raise TlsError, which says nothing of the keys."""
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, separator, digits = line.strip().rpartition(":")
        if not line.strip() or line.startswith("#"):
            continue
        try:
            key = bytes.fromhex(digits)
        except ValueError:
            key = b""
        if not separator or not name or not key:
            raise TlsError(f"line {number} of the key file is not `name:hex digits`")
        keys[name] = key
    return keys
