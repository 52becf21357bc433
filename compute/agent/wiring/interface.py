"""What the agent needs of its host's wiring. `bridge.Bridges` does it as root, `user.UserNetwork` without privileges.

    plug = wiring.plug(guest.id, nic)     # before the domain starts, or the card is attached; repeatable
    ...                                   # libvirt: <interface type='bridge'>, source plug.bridge, target plug.tap
    wiring.unplug(guest.id, nic)          # once the domain has let go of the card

Raise `compute.stored.BackendError`: Unreachable when it can be tried again, Refused when it cannot be done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cluster.controlplane.chores import Chore
from compute.agent.guest import Nic

BRIDGE, USER = "bridge", "user"


@dataclass(frozen=True, slots=True)
class Plug:
    """Where a card goes on this host."""

    mode: str  # BRIDGE or USER; with USER nothing else counts
    bridge: str = ""  # name of the Linux bridge
    tap: str = ""  # name that the card's tap device must have: filters know it by that
    mtu: int = 1500


class Wiring(Protocol):
    """A host's wiring."""

    @property
    def mode(self) -> str:
        """Return BRIDGE or USER."""

    @property
    def warnings(self) -> Sequence[str]:
        """Return, in words, what is missing, and how to get it."""

    def plug(self, guest_id: str, nic: Nic) -> Plug:
        """Have what a card needs be there. Repeatable; it must be called before the domain has the tap."""

    def unplug(self, guest_id: str, nic: Nic) -> None:
        """Forget a card, with what is there for it alone. Repeatable."""

    def chores(self) -> tuple[Chore, ...]:
        """Return what keeps bridges, filters and DHCP as the network service wants them."""

    def namespaces(self) -> Mapping[str, str]:
        """Return, by network id, the name of the network namespace where metadata is served at 169.254.169.254:80.

        It changes as networks come and go: look again. A server there knows a guest by its source address.
        """

    def close(self) -> None:
        """Stop what is in memory. Guests keep their cards."""
