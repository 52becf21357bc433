"""What a guest has used, from libvirt's statistics, as Nova tells it. Pure.

Source: docs.openstack.org/api-ref/compute, "Show Server Diagnostics", version 2.48.
"""

from collections.abc import Mapping
from typing import Any

from compute.agent.guest import Guest, Power

_STATES: Mapping[Power, str] = {
    Power.RUNNING: "running",
    Power.WAITING: "paused",
    Power.PAUSED: "paused",
    Power.SUSPENDED: "suspended",
    Power.OFF: "shutdown",
    Power.CRASHED: "crashed",
}


def of(guest: Guest, power: Power, statistics: Mapping[str, Any], uptime_s: int | None) -> dict[str, object]:
    """Return the document."""
    nics = [_nic(statistics, f"net.{number}", nic.mac) for number, nic in enumerate(guest.nics)]
    disks = [_disk(statistics, f"block.{number}") for number in range(int(statistics.get("block.count", 0)))]
    processors = [
        {"id": number, "time": statistics.get(f"vcpu.{number}.time"), "utilisation": None}
        for number in range(int(statistics.get("vcpu.current", 0)))
    ]
    maximum, current = statistics.get("balloon.maximum"), statistics.get("balloon.rss")
    return {
        "state": _STATES[power],
        "driver": "libvirt",
        "hypervisor": "qemu",
        "hypervisor_os": "linux",
        "uptime": uptime_s,
        "config_drive": guest.config_drive,
        "num_cpus": guest.vcpus,
        "num_nics": len(guest.nics),
        "num_disks": len(disks),
        "cpu_details": processors,
        "nic_details": nics,
        "disk_details": disks,
        "memory_details": {
            "maximum": maximum // 1024 if maximum else guest.memory_mib,  # MiB; libvirt tells KiB
            "used": current // 1024 if current else None,
        },
    }


def _nic(statistics: Mapping[str, Any], prefix: str, mac: str) -> dict[str, object]:
    names = {"octets": "bytes", "packets": "pkts", "errors": "errs", "drop": "drop"}
    told = {
        f"{way}_{name}": statistics.get(f"{prefix}.{way}.{their}")
        for way in ("rx", "tx")
        for name, their in names.items()
    }
    return {"mac_address": mac, **told, "rx_rate": None, "tx_rate": None}


def _disk(statistics: Mapping[str, Any], prefix: str) -> dict[str, object]:
    return {
        "read_bytes": statistics.get(f"{prefix}.rd.bytes"),
        "read_requests": statistics.get(f"{prefix}.rd.reqs"),
        "write_bytes": statistics.get(f"{prefix}.wr.bytes"),
        "write_requests": statistics.get(f"{prefix}.wr.reqs"),
        "errors_count": statistics.get(f"{prefix}.errors"),
    }
