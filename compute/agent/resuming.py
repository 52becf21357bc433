"""Guests that a failed disk has stopped: they go on once the gateways of their disks answer again.

libvirt cannot tell qemu to connect anew by itself. But each failed request of a guest that goes on starts one attempt:
so it is let go on, and stopped by its next request, until one succeeds. No error comes to the guest. It is told to be
running only when it has stayed so for a while.
"""

import threading
from collections.abc import Callable, Iterable

from cluster.telemetry.log import get_logger
from compute.agent.gateways import Gateways
from compute.agent.libvirt.interface import Hypervisor
from compute.agent.libvirt.seen import SeenDisk

AGAIN_S = 0.3  # until a guest that went on is looked at again, or let go on once more
TRIES = 20  # in that pace; one that is stopped still, as its volume is not for it any more, is tried more rarely
RARELY_S = 5.0
SETTLED_S = 1.0  # for which it must have gone on to be taken for running
AWAY_S = 1.0  # until a gateway that does not answer is asked again
_log = get_logger("agent")


class Resuming:
    """Of all guests of a host."""

    def __init__(self, hypervisor: Hypervisor, gateways: Gateways, monotonic_s: Callable[[], float]) -> None:
        self._hypervisor, self._gateways, self._monotonic_s = hypervisor, gateways, monotonic_s
        self._lock = threading.Lock()
        self._resumed: dict[str, tuple[float, int]] = {}  # when a guest that waits went on last, and how often it did

    def try_again(self, guest_id: str, disks: Iterable[SeenDisk]) -> float:
        """Have a guest go on, if its disks' gateways are there; return when to look again, in seconds."""
        with self._lock:
            resumed_s, tries = self._resumed.get(guest_id, (-RARELY_S, 0))
        early_s = resumed_s + (AGAIN_S if tries < TRIES else RARELY_S) - self._monotonic_s()
        if early_s > 0:  # it is told at once that the guest was stopped again
            return early_s
        gateways = {(disk.host, disk.port) for disk in disks}
        if not all(self._gateways.answers(host, port) for host, port in gateways):
            return AWAY_S
        if not tries:
            _log.warning("guest_waits_for_disk", guest=guest_id)
        with self._lock:
            self._resumed[guest_id] = (self._monotonic_s(), tries + 1)
        self._hypervisor.resume(guest_id)
        return AGAIN_S

    def is_settling(self, guest_id: str) -> bool:
        """Tell whether a guest went on a moment ago, so that it may have to wait again."""
        with self._lock:
            resumed_s, _tries = self._resumed.get(guest_id, (-SETTLED_S, 0))
            return self._monotonic_s() - resumed_s < SETTLED_S

    def settled(self, guest_id: str) -> None:
        """Note that a guest runs."""
        if self.forget(guest_id):
            _log.info("guest_goes_on", guest=guest_id)

    def forget(self, guest_id: str) -> bool:
        """Note that a guest is off, or gone; tell whether it had waited."""
        with self._lock:
            return self._resumed.pop(guest_id, None) is not None
