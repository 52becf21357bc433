"""The mode without privileges: every card is qemu's own network, where guests reach nothing but their metadata.

There is nothing to be done on the host; what cards there are is kept, since the network service wants to know.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from cluster.controlplane.chores import Chore
from compute.agent.guest import Nic
from compute.agent.wiring.interface import USER, Plug
from compute.agent.wiring.source import Reporter

_REPORT_S = 0.5


class UserNetwork:
    """See `interface.Wiring`."""

    mode = USER

    def __init__(self, reporter: Reporter, kept: Path) -> None:
        """`kept`: the file in which it is written which cards there are."""
        self._reporter, self._kept = reporter, kept
        self._lock = threading.Lock()
        self._plugged: frozenset[str] = frozenset()
        with suppress(OSError, ValueError, TypeError):
            self._plugged = frozenset(map(str, json.loads(kept.read_text())))

    def __repr__(self) -> str:
        return f"UserNetwork({len(self._plugged)} cards)"

    @property
    def warnings(self) -> Sequence[str]:
        """See `interface.Wiring`."""
        return ("networks are qemu's own: guests reach nothing but their metadata",)

    def plug(self, guest_id: str, nic: Nic) -> Plug:
        """See `interface.Wiring`."""
        self._keep(self._plugged | {nic.port_id})
        return Plug(USER, mtu=nic.mtu)

    def unplug(self, guest_id: str, nic: Nic) -> None:
        """See `interface.Wiring`."""
        self._keep(self._plugged - {nic.port_id})

    def chores(self) -> tuple[Chore, ...]:
        """See `interface.Wiring`."""
        return (Chore("wiring-report", _REPORT_S, self._report),)

    def namespaces(self) -> Mapping[str, str]:
        """See `interface.Wiring`."""
        return {}

    def close(self) -> None:
        """See `interface.Wiring`."""

    def _report(self) -> None:
        self._reporter.tell(sorted(self._plugged))

    def _keep(self, plugged: frozenset[str]) -> None:
        with self._lock:
            if plugged != self._plugged:
                new = self._kept.with_suffix(".new")
                new.write_text(json.dumps(sorted(plugged)))
                new.replace(self._kept)
                self._plugged = plugged
