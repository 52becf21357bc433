"""Whether guests run with KVM or are emulated: as configured, or as was seen on this host.

That /dev/kvm is there proves nothing: it may be refused, or not do what kernels need where the host is a guest itself.
So a machine of our own is tried (`libvirt.probing`), once per start of the host, as the outcome is kept:

    {"boot": ID, "kind": "qemu", "why": "…"}

The trial runs beside everything else; only the start of a guest waits for it.
"""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster.config.compute_service import AUTO
from cluster.telemetry.log import get_logger

KVM, QEMU = "kvm", "qemu"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_WAIT_S = 60.0  # more than a trial takes
_log = get_logger("agent")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found."""

    boot: str  # of the host, for which it holds
    kind: str
    why: str = ""  # not KVM


class Virtualization:
    """Of one agent."""

    def __init__(self, configured: str, kept: Path, trial: Callable[[], str]) -> None:
        """`trial` returns why KVM is of no use here, or nothing. `kept`: the file."""
        self._configured, self._kept, self._trial = configured, kept, trial
        self._known = threading.Event()
        self._outcome = Outcome("", QEMU if configured == AUTO else configured)
        if configured != AUTO:
            self._known.set()

    def start(self) -> None:
        """Begin to find out."""
        if not self._known.is_set():
            threading.Thread(target=self._find_out, name="virtualization", daemon=True).start()

    def kind(self) -> str:
        """Return KVM or QEMU; wait for it if need be."""
        self._known.wait(_WAIT_S)
        return self._outcome.kind

    def now(self) -> str:
        """Return the same as far as is known now."""
        return self._outcome.kind

    @property
    def warnings(self) -> tuple[str, ...]:
        """In words, why guests are emulated where nobody asked for that."""
        return (f"guests are emulated, and slow: {self._outcome.why}",) if self._outcome.why else ()

    def _find_out(self) -> None:
        try:
            boot = _BOOT.read_text().strip()
            self._outcome = _read(self._kept, boot) or self._tried(boot)
        except Exception as error:  # guests are emulated then
            _log.error("virtualization_not_found_out", error=error)
        finally:
            self._known.set()

    def _tried(self, boot: str) -> Outcome:
        why = self._trial()
        outcome = Outcome(boot, QEMU if why else KVM, why)
        part = self._kept.with_suffix(".part")
        part.write_text(json.dumps(asdict(outcome)))
        os.replace(part, self._kept)
        _log.info("virtualization", kind=outcome.kind, why=why)
        return outcome


def _read(path: Path, boot: str) -> Outcome | None:
    try:
        found = Outcome(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return found if found.boot == boot and found.kind in (KVM, QEMU) else None
