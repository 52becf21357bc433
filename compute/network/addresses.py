"""Arithmetic of addresses: pools, gateways, what is free, and what cards are called. Pure, and of both families."""

import ipaddress
import random
from collections.abc import Collection, Iterable, Mapping, Sequence

from compute.network.errors import (
    GatewayConflictWithAllocationPools,
    InvalidAllocationPool,
    OutOfBoundsAllocationPool,
    OverlappingAllocationPools,
)

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Pool = Mapping[str, str]  # start, end

_OWN_MACS = "fa:16:3e"  # as all of OpenStack's


def network_of(cidr: str) -> IPNetwork:
    """Return the network that a text is."""
    return ipaddress.ip_network(cidr)


def first_of(cidr: str) -> str:
    """Return the address that a gateway has where nobody has said another one."""
    network = network_of(cidr)
    return str(network.network_address + (1 if network.num_addresses > 1 else 0))


def default_pools(cidr: str, gateway: str | None) -> list[dict[str, str]]:
    """Return all addresses that cards can have, but for the gateway."""
    network = network_of(cidr)
    first, last = (int(each) for each in _usable(network))
    if (
        gateway is None
        or not first <= int(ipaddress.ip_address(gateway)) <= last
        or version_of(gateway) != network.version
    ):
        ranges = [(first, last)]
    else:
        between = int(ipaddress.ip_address(gateway))
        ranges = [(first, between - 1), (between + 1, last)]
    return [_pool(network, start, end) for start, end in ranges if start <= end]


def require_pools(pools: Sequence[Pool], cidr: str, gateway: str | None) -> None:
    """Raise unless pools are within a network, apart from each other and from the gateway."""
    network, seen = network_of(cidr), list[tuple[int, int]]()
    first, last = (int(each) for each in _usable(network))
    for pool in pools:
        text = f"{pool['start']}-{pool['end']}"
        start, end = bounds_of(pool)
        if {version_of(pool["start"]), version_of(pool["end"])} != {network.version} or start > end:
            raise InvalidAllocationPool(pool=text)
        if start < first or end > last:
            raise OutOfBoundsAllocationPool(pool=text, cidr=cidr)
        for other_start, other_end in seen:
            if start <= other_end and other_start <= end:
                other = _pool(network, other_start, other_end)
                raise OverlappingAllocationPools(first=f"{other['start']}-{other['end']}", second=text, cidr=cidr)
        seen.append((start, end))
        if gateway is not None and version_of(gateway) == network.version and in_pools(gateway, [pool]):
            raise GatewayConflictWithAllocationPools(ip_address=gateway, pool=text)


def bounds_of(pool: Pool) -> tuple[int, int]:
    """Return the first and the last address of a pool as numbers."""
    return int(ipaddress.ip_address(pool["start"])), int(ipaddress.ip_address(pool["end"]))


def count(pools: Iterable[Pool]) -> int:
    """Return how many addresses pools have."""
    return sum(end - start + 1 for start, end in map(bounds_of, pools))


def free(pools: Iterable[Pool], taken: Collection[str], version: int) -> str | None:
    """Return the lowest address of the pools that is not taken; None: there is none."""
    numbers = {int(ipaddress.ip_address(each)) for each in taken if version_of(each) == version}
    for pool in sorted(pools, key=bounds_of):
        start, end = bounds_of(pool)
        for number in range(start, min(end, start + len(numbers)) + 1):  # of n + 1 numbers one is not among n
            if number not in numbers:
                return str(_address(number, version))
    return None


def in_pools(address: str, pools: Iterable[Pool]) -> bool:
    """Tell whether an address is in one of the pools."""
    number = int(ipaddress.ip_address(address))
    return any(start <= number <= end for start, end in map(bounds_of, pools))


def is_usable(address: str, cidr: str) -> bool:
    """Tell whether a card can have an address in a network."""
    network = network_of(cidr)
    if version_of(address) != network.version:
        return False
    first, last = _usable(network)
    return int(first) <= int(ipaddress.ip_address(address)) <= int(last)


def is_within(address: str, cidr: str) -> bool:
    """Tell whether an address is of a network."""
    return ipaddress.ip_address(address) in network_of(cidr)


def overlap(cidr: str, other: str) -> bool:
    """Tell whether two networks have addresses in common."""
    first, second = network_of(cidr), network_of(other)
    return first.version == second.version and first.overlaps(second)


def by_mac(cidr: str, mac: str) -> str:
    """Return the address that a card gives itself in a network of IPv6 (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    interface = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return str(network_of(cidr).network_address + int.from_bytes(interface, "big"))


def new_mac() -> str:
    """Return a MAC address that most probably nobody has."""
    digits = f"{random.SystemRandom().getrandbits(24):06x}"
    return ":".join((_OWN_MACS, digits[:2], digits[2:4], digits[4:]))


def _usable(network: IPNetwork) -> tuple[IPAddress, IPAddress]:
    """Return the first and the last address that a card can have: none of those that mean the network, or all."""
    first, last = network[0], network[-1]
    if network.version == 4 and network.prefixlen < 31:
        return first + 1, last - 1
    if network.version == 6 and network.prefixlen < 127:
        return first + 1, last
    return first, last


def version_of(address: str) -> int:
    """Return of which family an address is: 4 or 6."""
    return ipaddress.ip_address(address).version


def _address(number: int, version: int) -> IPAddress:
    return ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number)


def _pool(network: IPNetwork, start: int, end: int) -> dict[str, str]:
    return {"start": str(_address(start, network.version)), "end": str(_address(end, network.version))}
