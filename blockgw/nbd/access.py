"""Who may use which export: rules over names, put before whoever has the exports. A grant is as good as a rule."""

import ipaddress
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from blockgw.errors import NotAllowed, NotPermitted, TlsRequired
from blockgw.grants import Access, Grants
from blockgw.interfaces import Client, Description, Export, Exports

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Rule:
    """What a client needs for the exports that `exports` fits. What is empty does not matter."""

    exports: str = "*"  # a shell's pattern over their names
    networks: tuple[Network, ...] = ()  # its address is in one of them; a unix socket is in each
    identities: frozenset[str] = frozenset()  # TLS has proved that it is one of them
    tls_required: bool = False
    read_only: bool = False  # nothing may be changed
    grant_required: bool = False  # only who has a grant comes in (`blockgw.grants`)

    def check(self, client: Client) -> None:
        """Raise NotAllowed or TlsRequired."""
        if self.grant_required:
            raise NotAllowed("this export takes a grant: ask for it by the name that came with the attachment")
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


_OWNER = Rule()
_GRANTED = {Access.WRITE: Rule(), Access.READ: Rule(read_only=True)}


class ReadOnly:
    """An export for a client that may change nothing."""

    read_only = True

    def __init__(self, export: Export) -> None:
        self.export = export
        self.name, self.size, self.description = export.name, export.size, export.description
        self.block_sizes, self.multi_conn = export.block_sizes, export.multi_conn
        self.read, self.cache, self.block_status = export.read, export.cache, export.block_status

    @property
    def contexts(self) -> Sequence[str]:
        """Those of the export."""
        return self.export.contexts

    def write(self, offset: int, data: memoryview, fua: bool) -> Awaitable[object]:
        """Refuse."""
        raise self._refusal()

    def write_zeroes(self, offset: int, length: int, fua: bool, may_trim: bool, fast: bool) -> Awaitable[object]:
        """Refuse."""
        raise self._refusal()

    def trim(self, offset: int, length: int, fua: bool) -> Awaitable[object]:
        """Refuse."""
        raise self._refusal()

    def flush(self) -> Awaitable[object]:
        """Make durable what others have written."""
        return self.export.flush()

    def _refusal(self) -> NotPermitted:
        return NotPermitted(f"{self.name} is read-only for you")


class Guarded:
    """`exports`, each for those only whom a rule lets through.

    The first rule whose pattern fits decides, with those that have the very same pattern: the first of these that a
    client meets says what it may do. Without such a rule an export is for nobody.
    """

    def __init__(
        self, exports: Exports, rules: Sequence[Rule], owner_may: bool = False, grants: Grants | None = None
    ) -> None:
        """`owner_may`: who comes by a unix socket, which is its owner's, needs no rule."""
        self._grants = grants
        self._exports = exports
        self._rules = tuple(rules)
        self._owner_may = owner_may

    def list(self, client: Client) -> Iterable[str]:
        """Return the names of the exports that `client` may open."""
        return [name for name in self._exports.list(client) if self._may_open(name, client)]

    async def describe(self, name: str, client: Client) -> Description:
        """Tell of an export to those who may open it. Raise what that raises, NotAllowed or TlsRequired."""
        rule = self._check(name, client)
        description = await self._exports.describe(name, client)
        return replace(description, read_only=True) if rule.read_only else description

    async def open(self, name: str, client: Client) -> Export:
        """Open an export for those who may. Raise what it raises, NotAllowed or TlsRequired."""
        rule = self._check(name, client)
        export = await self._exports.open(name, client)
        return ReadOnly(export) if rule.read_only else export

    def release(self, export: Export) -> None:
        """Hand it back."""
        self._exports.release(export.export if isinstance(export, ReadOnly) else export)

    def _check(self, name: str, client: Client) -> Rule:
        """Return the rule that lets a client through. Raise NotAllowed, TlsRequired."""
        if self._owner_may and not client.address:
            return _OWNER
        if client.seal:
            return self._granted(name, client)
        pattern = next((rule.exports for rule in self._rules if fnmatchcase(name, rule.exports)), None)
        refusals: list[NotAllowed] = []
        for rule in self._rules:
            if rule.exports == pattern:
                try:
                    rule.check(client)
                except NotAllowed as refusal:
                    refusals.append(refusal)
                else:
                    return rule
        helpful = [each for each in refusals if isinstance(each, TlsRequired)]  # they say what to do
        raise (helpful or refusals or [NotAllowed("this export is not for you")])[0]

    def _granted(self, name: str, client: Client) -> Rule:
        access = self._grants.access(name, client.holder, client.seal) if self._grants else None
        if access is None:
            raise NotAllowed("this grant is not one for this export")
        if any(rule.tls_required and fnmatchcase(name, rule.exports) for rule in self._rules) and not client.secure:
            raise TlsRequired("this export is served through TLS only")
        return _GRANTED[access]

    def _may_open(self, name: str, client: Client) -> bool:
        try:
            self._check(name, client)
        except NotAllowed:
            return False
        return True
