"""Who may come to the gateway's NBD port, as `[block]` of the configuration says.

A rule of `allow` is a line of words:

    PATTERN [from NETWORK,…] [as NAME,…] [tls] [read-only] [granted]

PATTERN is a shell's, over names of volumes, and NAME@SNAPSHOT for their snapshots. NAME is what TLS has proved.
granted: only by a grant, which services make for whom they attach a volume to (`grants`); a grant needs no other rule.
Without rules everybody may do everything but use volumes of OpenStack's services without a grant, so then the port is
open to this host alone, unless TLS tells clients apart.
Who comes by the unix socket is the user who runs the cluster, and needs no rule.
"""

import ipaddress
from collections.abc import Iterable
from pathlib import Path

from blockgw.nbd.access import Network, Rule
from blockgw.nbd.server import PLAIN, Security
from blockgw.nbd.tls import Certificates, PreSharedKeys, Tls, TlsError, parse_keys
from cluster.config import BlockConfig
from cluster.errors import ConfigError

_UUID = "-".join("?" * digits for digits in (8, 4, 4, 4, 12))
_SERVICES = (f"volume-{_UUID}", f"server-{_UUID}*", f"image-{_UUID}*")  # names of volumes that services make
_DEFAULT = (*(Rule(pattern, grant_required=True) for pattern in _SERVICES), Rule())


def security_of(block: BlockConfig, directory: Path) -> Security:
    """Return what the port asks of clients. Paths are relative to `directory`. Raise ConfigError."""
    tls = _tls(block, directory)
    return PLAIN if tls is None else Security(tls, tls_required=True)


def _tls(block: BlockConfig, directory: Path) -> Tls | None:
    if bool(block.tls_certificate) != bool(block.tls_key):
        raise ConfigError("tls_certificate and tls_key, under [block], belong together: give both")
    if block.tls_certificate and block.tls_psk_file:
        raise ConfigError("tls_certificate and tls_psk_file, under [block]: choose one, certificates or shared keys")
    if block.tls_client_authority and not block.tls_certificate:
        raise ConfigError("tls_client_authority, under [block], needs tls_certificate and tls_key")
    try:
        if block.tls_psk_file:
            return PreSharedKeys(parse_keys((directory / block.tls_psk_file).read_text()))
        if not block.tls_certificate:
            return None
        paths = [directory / path for path in (block.tls_certificate, block.tls_key, block.tls_client_authority)]
        return Certificates(str(paths[0]), str(paths[1]), str(paths[2]) if block.tls_client_authority else None)
    except (OSError, TlsError) as error:
        raise ConfigError(f"TLS of volumes cannot be had: {error}") from error


def rules_of(block: BlockConfig) -> list[Rule]:
    """Return who may open what. Raise ConfigError."""
    return [parse_rule(text) for text in block.allow] or list(_DEFAULT)


def parse_rule(text: str) -> Rule:
    """Return the rule that a line of `allow` means. Raise ConfigError."""
    words = iter(text.split())
    pattern = next(words, "")
    networks: tuple[Network, ...] = ()
    identities: frozenset[str] = frozenset()
    flags = set()
    for word in words:
        if word == "from":
            networks = tuple(_network(text, each) for each in _listed(text, next(words, "")))
        elif word == "as":
            identities = frozenset(_listed(text, next(words, "")))
        elif word in ("tls", "read-only", "granted"):
            flags.add(word)
        else:
            raise ConfigError(f"allow, under [block]: {text!r}: {word!r} is none of from, as, tls, read-only, granted")
    if not pattern:
        raise ConfigError("allow, under [block]: a rule begins with a pattern of volumes' names, such as *")
    return Rule(pattern, networks, identities, "tls" in flags, "read-only" in flags, "granted" in flags)


def _listed(text: str, word: str) -> Iterable[str]:
    found = [each for each in word.split(",") if each]
    if not found:
        raise ConfigError(f"allow, under [block]: {text!r}: from and as are followed by a list: a,b,c")
    return found


def _network(text: str, word: str) -> Network:
    try:
        return ipaddress.ip_network(word)
    except ValueError as error:
        raise ConfigError(f"allow, under [block]: {text!r}: {error}") from error
