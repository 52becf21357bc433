"""What devices, tables and namespaces of an agent are called: so that agents, of whichever clusters, share a machine.

    hf1a2bt0c9d8e7   tap of a port         hf1a2bb…  bridge of a network      hf1a2bv…  its end of a pair of cables
    hf1a2bx…         its tunnel to other hosts
    hf1a2b           nftables' tables      hf1a2b-NETWORK   namespace

A name of a device has 15 characters at most: "hf", four digits of who the agent is, a letter, and the first eight of
the id, of which those of one host are all different as far as anybody will live to see.
"""

import hashlib
from dataclasses import dataclass

DEVICE_LIMIT = 15
INSIDE = "dhcp"  # the end of the cables within a namespace


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
