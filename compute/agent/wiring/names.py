"""What devices, tables and namespaces of an agent are called: so that agents, of whichever clusters, share a machine.

    hf1a2bt0c9d8e7   tap of a port         hf1a2bb…  bridge of a network      hf1a2bv…  its end of a pair of cables
    hf1a2bx…         its tunnel to other hosts
    hf1a2bi…         interface of a router, its end in the network's bridge
    hf1a2bg…         way out of a router, the host's end
    hf1a2b           nftables' tables      hf1a2b-NETWORK, hf1a2br-ROUTER   namespaces

A name of a device has 15 characters at most: "hf", four digits of who the agent is, a letter, and the first eight of
the id, of which those of one host are all different as far as anybody will live to see.
"""

import hashlib
from dataclasses import dataclass

DEVICE_LIMIT = 15
INSIDE = "dhcp"  # the end of the cables within a namespace
WAY_OUT = "gateway"  # the end of a router's way out within its namespace


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one agent."""

    mark: str

    @staticmethod
    def of(directory: str, agent: int) -> "Names":
        """Return the names of an agent of the cluster in a directory."""
        return Names("hf" + hashlib.sha256(f"{directory}\0{agent}".encode()).hexdigest()[:4])

    def tap(self, port_id: str) -> str:
        """Return the device of a port."""
        return self._device("t", port_id)

    def bridge(self, network_id: str) -> str:
        """Return the bridge of a network."""
        return self._device("b", network_id)

    def cable(self, network_id: str) -> str:
        """Return the end of the cables to a network's namespace that is in its bridge."""
        return self._device("v", network_id)

    def tunnel(self, network_id: str) -> str:
        """Return the device in a network's bridge that leads to the other hosts."""
        return self._device("x", network_id)

    def namespace(self, network_id: str) -> str:
        """Return the namespace of a network."""
        return f"{self.mark}-{network_id}"

    def interface(self, port_id: str) -> str:
        """Return the end of a router's interface that is in the network's bridge."""
        return self._device("i", port_id)

    def inner(self, port_id: str) -> str:
        """Return the end of a router's interface that is in the router's namespace."""
        return self.interface(port_id).removeprefix(self.mark)

    def way_out(self, router_id: str) -> str:
        """Return the host's end of a router's way out."""
        return self._device("g", router_id)

    def router(self, router_id: str) -> str:
        """Return the namespace of a router."""
        return f"{self.routers}{router_id}"

    @property
    def routers(self) -> str:
        """Return what the namespaces of all routers begin with."""
        return f"{self.mark}r-"

    @property
    def interfaces(self) -> str:
        """Return the pattern of all interfaces of routers, as bridges see them."""
        return f"{self.mark}i*"

    @property
    def ways_out(self) -> str:
        """Return the pattern of the host's ends of all ways out."""
        return f"{self.mark}g*"

    @property
    def taps(self) -> str:
        """Return the pattern of all taps."""
        return f"{self.mark}t*"

    @property
    def bridges(self) -> str:
        """Return the pattern of all bridges."""
        return f"{self.mark}b*"

    @property
    def cables(self) -> str:
        """Return the pattern of all ends of cables."""
        return f"{self.mark}v*"

    @property
    def tunnels(self) -> str:
        """Return the pattern of all tunnels."""
        return f"{self.mark}x*"

    def _device(self, letter: str, identifier: str) -> str:
        name = f"{self.mark}{letter}{identifier.replace('-', '')[:8]}"
        assert len(name) <= DEVICE_LIMIT
        return name
