"""Which URIs images may be fetched from, by the operator's lists."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from compute.errors import BadRequest
from compute.images.settings import WebDownload

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is fetched from."""

    scheme: str
    host: str  # in lower case; an IPv6 address without brackets
    port: int
    target: str  # path and query, as they are sent

    @property
    def authority(self) -> str:
        """Return what the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def place_of(uri: str, rules: WebDownload) -> Place:
    """Return what `uri` leads to. Raise BadRequest when nothing may be fetched from there."""
    if not uri.isascii() or any(letter <= " " or letter == "\x7f" for letter in uri):
        raise _refusal(uri)
    try:
        parts = urlsplit(uri)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise _refusal(uri) from None
    scheme = parts.scheme.lower()
    if scheme not in rules.schemes or scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc:
        raise _refusal(uri)
    port = port or _DEFAULT_PORTS[scheme]
    if rules.ports and port not in rules.ports:
        raise _refusal(uri)
    if host in rules.refused_hosts or (rules.hosts and host not in rules.hosts):
        raise _refusal(uri)
    return Place(scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def _refusal(uri: str) -> BadRequest:
    return BadRequest(f"URI for web-download does not pass filtering: {uri[:200]}")
