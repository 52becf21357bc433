"""Who may use which export: rules over names, put before whoever has the exports."""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from blockgw.errors import NotAllowed, TlsRequired
from blockgw.interfaces import Client, Export, Exports

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Rule:
    """What a client needs for the exports that `exports` fits. What is empty does not matter."""

    exports: str = "*"  # a shell's pattern over their names
    networks: tuple[Network, ...] = ()  # its address is in one of them; a unix socket is in each
    identities: frozenset[str] = frozenset()  # TLS has proved that it is one of them
    tls_required: bool = False

    def check(self, client: Client) -> None:
        """Raise NotAllowed or TlsRequired."""
        if (self.tls_required or self.identities) and not client.secure:
            raise TlsRequired("this export is served through TLS only")
        if self.identities and client.identity not in self.identities:
            raise NotAllowed("this export is not for you")
        if self.networks and client.address and not self._is_near(client.address):
            raise NotAllowed("this export is not for your address")

    def _is_near(self, text: str) -> bool:
        address = ipaddress.ip_address(text.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)  # how a socket for both families shows IPv4
        return any((mapped or address) in network for network in self.networks)


class Guarded:
    """`exports`, each for those only whom the first rule that fits lets through; without such a rule, for nobody."""

    def __init__(self, exports: Exports, rules: Sequence[Rule]) -> None:
        self._exports = exports
        self._rules = tuple(rules)

    def list(self, client: Client) -> Iterable[str]:
        """Return the names of the exports that `client` may open."""
        return [name for name in self._exports.list(client) if self._may_open(name, client)]

    async def open(self, name: str, client: Client) -> Export:
        """Open an export for those who may. Raise what it raises, NotAllowed or TlsRequired."""
        self._check(name, client)
        return await self._exports.open(name, client)

    def release(self, export: Export) -> None:
        """Hand it back."""
        self._exports.release(export)

    def _check(self, name: str, client: Client) -> None:
        rule = next((rule for rule in self._rules if fnmatchcase(name, rule.exports)), None)
        if rule is None:
            raise NotAllowed("this export is not for you")
        rule.check(client)

    def _may_open(self, name: str, client: Client) -> bool:
        try:
            self._check(name, client)
        except NotAllowed:
            return False
        return True
