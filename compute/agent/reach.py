"""How guests reach their metadata in user mode, and how the agents within guests are reached: unix sockets."""

import os
import sys
from pathlib import Path
from typing import Protocol

from cluster.layout import Layout
from compute.agent.metadata import relay
from compute.agent.metadata.listeners import Listeners


class Reach(Protocol):
    """The sockets of a host's guests."""

    def command_for(self, guest_id: str) -> tuple[str, ...]:
        """Have a guest's own way be there; return the command that leads along it, or nothing when there is none."""

    def agent_socket(self, guest_id: str) -> str:
        """Return where the agent within a guest is reached; empty: libvirt chooses."""

    def forget(self, guest_id: str) -> None:
        """Have all of it gone."""


class NoReach:
    """Of a libvirt that is not the agent's own: its sandbox lets no command be started."""

    def command_for(self, _guest_id: str) -> tuple[str, ...]:
        """See `Reach`."""
        return ()

    def agent_socket(self, _guest_id: str) -> str:
        """See `Reach`."""
        return ""

    def forget(self, guest_id: str) -> None:
        """See `Reach`."""


class OwnSockets:
    """Where sockets have paths short enough, which libvirt's own are not everywhere."""

    def __init__(self, listeners: Listeners, layout: Layout, number: int) -> None:
        """`number`: of the agent."""
        self._listeners, self._layout, self._number = listeners, layout, number

    def command_for(self, guest_id: str) -> tuple[str, ...]:
        """See `Reach`."""
        path = self._path("m", guest_id)
        self._listeners.open_for(guest_id, path)
        return (sys.executable, "-I", "-S", os.fspath(Path(relay.__file__).absolute()), os.fspath(path))

    def agent_socket(self, guest_id: str) -> str:
        """See `Reach`."""
        return os.fspath(self._path("g", guest_id))

    def forget(self, guest_id: str) -> None:
        """See `Reach`."""
        self._listeners.close_for(guest_id)
        self._path("g", guest_id).unlink(missing_ok=True)

    def _path(self, what: str, guest_id: str) -> Path:
        self._layout.sockets.mkdir(mode=0o700, exist_ok=True)
        return self._layout.sockets / f"{what}{self._number}-{guest_id.replace('-', '')[:16]}.sock"
