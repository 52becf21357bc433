"""What the host itself is: its processors and memory, as the kernel tells."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

_KEPT = 10  # a tenth of the memory stays the host's
_MIB_KIB = 1024


@dataclass(frozen=True, slots=True)
class Machine:
    """A host."""

    vcpus: int
    memory_mib: int  # for guests
    cpu_model: str


def of_this_host(guest_memory_mib: int) -> Machine:
    """Return this host. `guest_memory_mib`: as configured; 0: what it has, without a tenth."""
    total_mib = int(_field(Path("/proc/meminfo"), "MemTotal").split()[0] or 0) // _MIB_KIB
    memory_mib = guest_memory_mib or total_mib - total_mib // _KEPT
    return Machine(os.cpu_count() or 1, memory_mib, _field(Path("/proc/cpuinfo"), "model name"))


def uptime() -> str:
    """Return since when the host runs, and how busy it is, as its command of that name says it."""
    minutes = int(float(Path("/proc/uptime").read_text().split()[0])) // 60
    days, (hours, rest) = minutes // 1440, divmod(minutes % 1440, 60)
    loads = ", ".join(f"{load:.2f}" for load in os.getloadavg())
    since = f"{days} days, {hours}:{rest:02}" if days else f"{hours}:{rest:02}"
    return f"{time.strftime('%H:%M:%S')} up {since},  0 users,  load average: {loads}"


def _field(path: Path, name: str) -> str:
    for line in path.read_text().splitlines():
        key, _colon, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0"
