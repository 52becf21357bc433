"""What nftables is told: who may send from which address, and what security groups let pass. Pure: a text comes out.

Two tables. That of the bridge family drops and accepts: in `prerouting` what is sent from an address that a card does
not have, in `forward` what no rule of a group allows. What no rule knows is dropped, so that a tap without a port is
dumb, and a table that is replaced (in one go) has no gap.

Whether a packet belongs to a connection that was let pass is known to conntrack, which bridges' own hooks do not have
everywhere (it is a kernel option, nf_conntrack_bridge). So bridges hand IP packets to the ordinary hooks
(`nf_call_iptables`, by br_netfilter), where the table of the inet family puts a bit into the mark of those that belong
to a connection; the bridge's table reads it. Each network is a zone of conntrack: networks may have the same addresses.

What comes from another host's guests was looked at there as it was sent, and is looked at here as it is received.
Tunnels lead to cards alone: not to the host itself, nor to DHCP, metadata and routers, which each host has for its own.
A host that was lost, and does not know yet that its ports are elsewhere, is not listened to about them.

Only ARP, IPv4 and IPv6 pass. A connection that was let pass goes on until it ends, whatever becomes of the rule.
"""

import ipaddress
import zlib
from collections.abc import Iterable, Iterator, Sequence

from compute.agent.wiring.names import Names
from compute.agent.wiring.wanted import Network, Port, Rule, Wanted

METADATA = "169.254.169.254"
ESTABLISHED = 0x40000000  # bit of a packet's mark
_ZONES = 65_535
_WITH_PORTS = frozenset((6, 17, 33, 132, 136))
_ICMP, _ICMPV6 = 1, 58
_DISCOVERY = "icmpv6 type { 130, 131, 132, 133, 135, 136, 143 }"  # of neighbours, routers, listeners; no router's own


def ruleset(names: Names, wanted: Wanted) -> str:
    """Return what replaces all rules of an agent, at once."""
    bridges = _replaced("bridge", names, _of_bridges(names, wanted))
    return "\n".join((*bridges, *_replaced("inet", names, _of_ip(names, wanted)), ""))


def removal(names: Names) -> str:
    """Return what takes all rules of an agent away."""
    return "\n".join(line for family in ("bridge", "inet") for line in _gone(family, names)) + "\n"


def zones(networks: Iterable[str]) -> dict[str, int]:
    """Return the zone of each network: the same as long as no other one comes that would have it, too."""
    found: dict[str, int] = {}
    for network_id in sorted(networks):
        zone = zlib.crc32(network_id.encode()) % _ZONES
        while zone in found.values():
            zone = (zone + 1) % _ZONES
        found[network_id] = zone
    return {network_id: zone + 1 for network_id, zone in found.items()}  # 0 is everybody else's


def link_local(mac: str) -> str:
    """Return the address that a card gives itself for talking to its neighbours (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    whole = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]]).hex()
    return "fe80::" + ":".join(whole[place : place + 4] for place in range(0, 16, 4))


def _gone(family: str, names: Names) -> tuple[str, str]:
    return f"table {family} {names.mark} {{ }}", f"delete table {family} {names.mark}"  # the first: it may not be there


def _replaced(family: str, names: Names, body: Iterable[str]) -> Iterator[str]:
    yield from _gone(family, names)
    yield f"table {family} {names.mark} {{"
    yield from body
    yield "}"


def _chain(name: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"  chain {name} {{"
    yield from (f"    {line}" for line in lines)
    yield "  }"


def _of_ip(names: Names, wanted: Wanted) -> Iterator[str]:
    zone_of = zones(wanted.networks)
    pairs = ", ".join(f'"{names.bridge(network_id)}" : {zone}' for network_id, zone in zone_of.items())
    if not pairs:
        return
    yield from _chain(
        "zones",
        (
            "type filter hook prerouting priority -310; policy accept;",
            f'iifname "{names.bridges}" ct zone set iifname map {{ {pairs} }}',
        ),
    )
    yield from _chain(
        "connections",
        (
            "type filter hook prerouting priority -150; policy accept;",
            f'iifname "{names.bridges}" ct state established,related meta mark set meta mark or {ESTABLISHED:#x}',
        ),
    )


def _of_bridges(names: Names, wanted: Wanted) -> Iterator[str]:
    ports = [wanted.ports[port_id] for port_id in sorted(wanted.ports) if wanted.ports[port_id].is_up]
    secure = [port for port in ports if port.is_secure]
    yield from _members(wanted)
    yield from _chain(
        "prerouting",
        (
            "type filter hook prerouting priority -250; policy accept;",
            f'iifname "{names.tunnels}" meta mark set meta mark and {~ESTABLISHED & 0xFFFFFFFF:#x}',  # of this machine
            *_strangers(names, wanted),
            f'iifname "{names.taps}" goto senders',
        ),
    )
    yield from _chain("senders", _choice("iifname", names, ports, "s", "accept"))
    yield from _chain(
        "input",
        (
            "type filter hook input priority 0; policy accept;",
            f'iifname "{names.taps}" drop',  # the host itself
            f'iifname "{names.tunnels}" drop',
        ),
    )
    yield from _chain(
        "forward",
        (
            "type filter hook forward priority 0; policy accept;",
            f'iifname "{names.tunnels}" oifname "{names.cables}" drop',
            f'iifname "{names.cables}" oifname "{names.tunnels}" drop',
            f'iifname "{names.tunnels}" oifname "{names.interfaces}" drop',  # each host has the router for its own
            f'iifname "{names.interfaces}" oifname "{names.tunnels}" ether type arp drop',
            f'iifname "{names.taps}" goto out',
            f'oifname "{names.taps}" goto in',
        ),
    )
    known = f"meta mark and {ESTABLISHED:#x} == {ESTABLISHED:#x}"
    yield from _chain("out", (f"{known} goto in", *_choice("iifname", names, ports, "o", "goto in")))
    yield from _chain(
        "in", (f'oifname != "{names.taps}" accept', f"{known} accept", *_choice("oifname", names, ports, "i", "accept"))
    )
    for port in secure:
        tap, network = names.tap(port.id), wanted.networks.get(port.network_id)
        yield from _chain(f"s_{tap}", _senders(port))
        yield from _chain(f"o_{tap}", _out(port, network))
        yield from _chain(f"i_{tap}", _in(port, network))
    for group in sorted({group for port in secure for group in port.groups}):
        rules = wanted.groups.get(group, ())
        yield from _chain(f"{_group(group)}_out", _allowed([rule for rule in rules if not rule.is_ingress], "goto in"))
        yield from _chain(f"{_group(group)}_in", _allowed([rule for rule in rules if rule.is_ingress], "accept"))


def _strangers(names: Names, wanted: Wanted) -> Iterator[str]:
    """Yield what drops, of what comes from other hosts, what calls itself a card of this one: a port that has moved."""
    tunnelled = {network.id for network in wanted.networks.values() if network.tunnel is not None}
    own = [wanted.ports[port_id] for port_id in sorted(wanted.ports)]
    pairs = [f'"{names.tunnel(port.network_id)}" . {port.mac}' for port in own if port.network_id in tunnelled]
    if pairs:
        yield f"iifname . ether saddr {{ {', '.join(pairs)} }} drop"


def _choice(by: str, names: Names, ports: Sequence[Port], letter: str, free: str) -> Iterator[str]:
    """Yield what sends each port to its own chain; `free`: what becomes of those that are not filtered."""
    pairs = (
        f'"{names.tap(port.id)}" : ' + (f"goto {letter}_{names.tap(port.id)}" if port.is_secure else free)
        for port in ports
    )
    if ports:
        yield f"{by} vmap {{ {', '.join(pairs)} }}"
    yield "drop"


def _senders(port: Port) -> Iterator[str]:
    """Yield what a card may call itself."""
    by_mac: dict[str, list[str]] = {port.mac: list(port.addresses)}
    for mac, address in port.pairs:
        by_mac.setdefault(mac, []).append(address)
    yield "meta protocol ip meta l4proto udp udp sport 67 udp dport 68 drop"  # it is no DHCP server,
    yield "meta protocol ip6 meta l4proto udp udp sport 547 udp dport 546 drop"
    yield "meta protocol ip6 icmpv6 type { 134, 137 } drop"  # nor a router
    for mac, addresses in by_mac.items():
        old = _set(address for address in addresses if ":" not in address)
        own = [link_local(mac), *(address for address in addresses if ":" in address)]
        new = _set(own)
        mine = f"ether saddr {mac}"
        yield f"{mine} arp saddr ether {mac} arp saddr ip 0.0.0.0 accept"
        if old:
            yield f"{mine} arp saddr ether {mac} arp saddr ip {old} accept"
            yield f"{mine} ip saddr {old} accept"
        yield f"{mine} ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept"
        yield f"{mine} ip6 saddr :: {_DISCOVERY} accept"
        yield f"{mine} ip6 saddr {new} icmpv6 type 136 {_targets(own)}accept"
        yield f"{mine} ip6 saddr {new} meta l4proto 58 icmpv6 type != 136 accept"
        yield f"{mine} ip6 saddr {new} meta l4proto != 58 accept"
    yield "drop"


def _out(port: Port, network: Network | None) -> Iterator[str]:
    """Yield what a card may send to whom."""
    yield "ether type arp goto in"
    yield f"meta protocol ip6 {_DISCOVERY} goto in"
    yield "meta protocol ip meta l4proto udp udp sport 68 udp dport 67 goto in"
    yield "meta protocol ip6 meta l4proto udp udp sport 546 udp dport 547 goto in"
    yield f"ip daddr {METADATA} tcp dport 80 goto in"
    for address in _own(network):
        family = "ip6" if ":" in address else "ip"
        yield f"{family} daddr {address} meta l4proto {{ 6, 17 }} th dport 53 goto in"
    yield from (f"jump {_group(group)}_out" for group in port.groups)
    yield "drop"


def _in(port: Port, network: Network | None) -> Iterator[str]:
    """Yield what a card is sent by whom."""
    yield "ether type arp accept"
    yield f"meta protocol ip6 {_DISCOVERY} accept"
    yield "meta protocol ip6 icmpv6 type 134 accept"  # no card sends it
    yield "meta protocol ip meta l4proto udp udp sport 67 udp dport 68 accept"  # likewise
    yield "meta protocol ip6 meta l4proto udp udp sport 547 udp dport 546 accept"
    yield from (f"jump {_group(group)}_in" for group in port.groups)
    yield "drop"


def _allowed(rules: Sequence[Rule], verdict: str) -> Iterator[str]:
    seen = dict.fromkeys(f"{_matched(rule)} {verdict}" for rule in rules)
    yield from seen


def _matched(rule: Rule) -> str:
    family, there = ("ip", "saddr") if rule.ip_version == 4 else ("ip6", "saddr")
    if not rule.is_ingress:
        there = "daddr"
    parts = [f"meta protocol {family}"]
    if rule.group is not None:
        parts.append(f"{family} {there} @{_member_set(rule.group, rule.ip_version)}")
    elif rule.prefix is not None and not rule.prefix.endswith("/0"):
        parts.append(f"{family} {there} {rule.prefix}")
    if rule.protocol is not None:
        parts.append(f"meta l4proto {rule.protocol}")
    if rule.first is not None and rule.protocol in (_ICMP, _ICMPV6):
        kind = "icmp" if rule.protocol == _ICMP else "icmpv6"
        parts.append(f"{kind} type {rule.first}")
        if rule.last is not None:
            parts.append(f"{kind} code {rule.last}")
    elif rule.first is not None and rule.protocol in _WITH_PORTS:
        ports = str(rule.first) if rule.first == rule.last else f"{rule.first}-{rule.last}"
        parts.append(f"th dport {ports}")
    return " ".join(parts)


def _members(wanted: Wanted) -> Iterator[str]:
    """Yield the sets of addresses of groups that rules name."""
    for group in sorted({rule.group for rules in wanted.groups.values() for rule in rules if rule.group}):
        for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
            own = _set(each for each in wanted.members.get(group, ()) if (":" in each) == (version == 6))
            yield f"  set {_member_set(group, version)} {{"
            yield f"    type {kind}; flags interval; auto-merge;"
            if own:
                yield f"    elements = {own}"
            yield "  }"


def _own(network: Network | None) -> list[str]:
    return [each.partition("/")[0] for each in network.dhcp_addresses] if network is not None else []


def _group(group: str) -> str:
    return "g_" + group.replace("-", "")


def _member_set(group: str, version: int) -> str:
    return f"m{version}_{group.replace('-', '')}"


def _set(values: Iterable[str]) -> str:
    """Return addresses and prefixes, of which none may be in another, as a set; empty: there are none."""
    found = [str(each).removesuffix("/32").removesuffix("/128") for each in _collapsed(values)]
    return f"{{ {', '.join(found)} }}" if found else ""


def _collapsed(values: Iterable[str]) -> "list[ipaddress.IPv4Network | ipaddress.IPv6Network]":
    networks = [ipaddress.ip_network(each, strict=False) for each in values]
    return list(ipaddress.collapse_addresses(networks))  # type: ignore[type-var]


def _targets(values: Iterable[str]) -> str:
    """Return addresses as numbers, where all are single ones; else nothing is said about them."""
    networks = _collapsed(values)
    if any(each.prefixlen < each.max_prefixlen for each in networks):
        return ""
    return f"@th,64,128 {{ {', '.join(hex(int(each.network_address)) for each in networks)} }} "
