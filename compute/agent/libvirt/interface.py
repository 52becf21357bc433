"""The few things that the agent asks of a hypervisor. `hypervisor.LibvirtHypervisor` asks libvirt; tests have one in
memory.

Guests go by id. Calls about one may hang as long as it does, others go on. Raise `compute.stored.BackendError`: NoSuch
for a guest that the hypervisor does not have, Unreachable when it may be tried again, Refused when it cannot be done.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol


class Activity(Enum):
    """What a domain does, and why."""

    RUNNING = auto()
    PAUSED = auto()  # by a call
    WAITING = auto()  # it was stopped by a disk that failed
    ENDED = auto()  # it is off, as it asked for itself, or was told to in time
    DESTROYED = auto()  # it was turned off
    CRASHED = auto()  # it is off, or stands still for good, by a fault
    UNKNOWN = auto()  # it is off, and nobody knows since when: the host was off, too

    @property
    def is_alive(self) -> bool:
        """Whether there is a machine."""
        return self in (Activity.RUNNING, Activity.PAUSED, Activity.WAITING)


@dataclass(frozen=True, slots=True)
class Domain:
    """A guest as the hypervisor has it."""

    activity: Activity
    run: int = 0  # another number for each time it was started; 0: it is off
    saved: bool = False  # it is in a file
    is_broken: bool = False  # it stands still, for good


@dataclass(frozen=True, slots=True)
class Versions:
    """What a hypervisor is."""

    hypervisor: int  # major * 1_000_000 + minor * 1000 + micro
    library: int


class Hypervisor(Protocol):
    """A hypervisor."""

    def versions(self) -> Versions:
        """Return its versions."""

    def domains(self) -> Mapping[str, Domain]:
        """Return all guests that it has, by id."""

    def find(self, guest_id: str) -> Domain | None:
        """Return a guest; None: it has none such."""

    def define(self, xml: str) -> None:
        """Have a guest, or another description of one for its next start."""

    def undefine(self, guest_id: str) -> None:
        """Forget a guest that is off, and the file that it is in. That there is none is no error."""

    def start(self, guest_id: str, paused: bool) -> None:
        """Start a guest, from the file that it is in if there is one."""

    def destroy(self, guest_id: str) -> None:
        """Turn a guest off. That it is off, or there is none, is no error."""

    def shutdown(self, guest_id: str) -> None:
        """Ask a guest to turn itself off."""

    def pause(self, guest_id: str) -> None:
        """Hold a guest."""

    def resume(self, guest_id: str) -> None:
        """Have a guest go on that is paused, or waits."""

    def save(self, guest_id: str) -> None:
        """Keep a guest in a file, and turn it off."""

    def discard_saved(self, guest_id: str) -> None:
        """Drop the file that a guest is in."""

    def description(self, guest_id: str) -> str:
        """Return how a guest is described that is there: while it runs, as it runs."""

    def attach(self, guest_id: str, xml: str) -> None:
        """Give a device to a guest that runs."""

    def detach(self, guest_id: str, xml: str) -> None:
        """Ask a guest that runs to let go of a device. Repeatable."""

    def resize(self, guest_id: str, target: str, size: int) -> None:
        """Tell a guest that runs how large a disk is. Raise NotYet while its connection to the volume is an older one.

        The connection is renewed by the next that is read.
        """

    def update(self, guest_id: str, xml: str) -> None:
        """Change a device of a guest that runs."""

    def statistics(self, guest_id: str) -> Mapping[str, Any]:
        """Return what libvirt's virConnectGetAllDomainStats says of a guest."""

    def freeze(self, guest_id: str) -> bool:
        """Have an agent in the guest bring its file systems to rest; tell whether there is one."""

    def thaw(self, guest_id: str) -> bool:
        """Have them go on."""

    def set_password(self, guest_id: str, user: str, password: str) -> bool:
        """Have an agent in the guest change a user's password; tell whether there is one."""

    def watch(self, changed: Callable[[str], None]) -> None:
        """Call `changed` with the id of a guest whenever something became of it; with "" when it may be any."""

    def close(self) -> None:
        """Ask nothing more. Guests go on."""
