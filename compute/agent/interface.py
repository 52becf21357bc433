"""What a host can be asked. `client.HostClient` asks over HTTP; `agent.serving` answers; tests have one in memory.

All may be asked again after any answer, or none: what is there already, or gone already, is no error. Calls block for
as long as the hypervisor takes, which is seconds at most. Raise `compute.stored.BackendError`: Unreachable when the
host does not answer, Refused when it cannot be done, NoSuch when there is no such guest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from compute.agent.guest import Disk, Guest, GuestState, HostState, Nic, Told


@dataclass(frozen=True, slots=True)
class Seen:
    """All guests of a host at a moment."""

    tag: str  # of this very content; another one when anything differs
    guests: tuple[GuestState, ...]


@dataclass(frozen=True, slots=True)
class Display:
    """Where a guest's screen or serial line is served, for a while.

    Who is on the guest's host finds a screen at `host` and `port`; from anywhere either is carried by the agent, for
    who shows the ticket (`compute.agent.displays`).
    """

    kind: str  # vnc or serial
    host: str
    port: int
    password: str  # of a screen; of a line the ticket
    relay_host: str
    relay_port: int
    ticket: str


class Host(Protocol):
    """One host."""

    def state(self) -> HostState:
        """Return what it has."""

    def seen(self, tag: str = "", wait_s: float = 0.0) -> Seen:
        """Return all guests; with a `tag`, once they differ from what had it, or `wait_s` is over."""

    def find(self, guest_id: str) -> GuestState | None:
        """Return a guest; None: there is none."""

    def define(self, guest: Guest, running: bool) -> GuestState:
        """Have a guest be there, as it is described, and `running` or not; one that runs is not stopped for it.

        A guest that is there and runs gets and loses disks and cards by `attach`, `detach`, `plug`, `unplug` alone.
        """

    def start(self, guest_id: str) -> GuestState:
        """Have a guest run that is off, suspended, paused or crashed."""

    def stop(self, guest_id: str, soft_s: float) -> GuestState:
        """Have a guest be off: ask it to, and after `soft_s` turn it off. Its state tells whether it is already.

        Who asks again while it ends changes nothing.
        """

    def reboot(self, guest_id: str, request_id: str, soft_s: float) -> GuestState:
        """Begin a guest anew, once for each `request_id`: with `soft_s` it is asked to; without, it is turned off."""

    def pause(self, guest_id: str) -> GuestState:
        """Hold a guest in memory."""

    def suspend(self, guest_id: str) -> GuestState:
        """Keep a guest in a file."""

    def remove(self, guest_id: str) -> None:
        """Turn a guest off, and forget it with all it left on the host."""

    def attach(self, guest_id: str, disk: Disk) -> GuestState:
        """Have a guest have a disk: at once when it runs, and whenever it starts."""

    def detach(self, guest_id: str, serial: str) -> GuestState:
        """Have a guest let go of a disk. It is free once `disks` of the state does not name it: ask again till then."""

    def resize(self, guest_id: str, serial: str, size: int) -> GuestState:
        """Have a guest see that a disk is larger now."""

    def plug(self, guest_id: str, nic: Nic) -> GuestState:
        """Have a guest have a network card."""

    def unplug(self, guest_id: str, mac: str) -> GuestState:
        """Have a guest let go of a network card; see `detach`."""

    def tell(self, guest_id: str, told: Told) -> None:
        """Change what a guest is told of itself."""

    def console_log(self, guest_id: str, lines: int | None) -> str:
        """Return what a guest wrote on its serial line, or the last lines of it."""

    def display(self, guest_id: str, kind: str) -> Display:
        """Open a guest's screen, or its serial line, to whoever has the password."""

    def diagnostics(self, guest_id: str) -> dict[str, object]:
        """Return what a guest has used, as Nova's diagnostics of version 2.48 has it."""

    def freeze(self, guest_id: str, frozen: bool) -> bool:
        """Have a guest with an agent of its own bring its file systems to rest, or go on; tell whether it could."""

    def set_password(self, guest_id: str, user: str, password: str) -> bool:
        """Have a guest with an agent of its own change a user's password; tell whether there is one."""


class Hosts(Protocol):
    """All hosts of a cluster."""

    def names(self) -> Sequence[str]:
        """Return their names."""

    def get(self, name: str) -> Host:
        """Return a host. Raise NoSuch."""
