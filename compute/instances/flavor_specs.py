"""Which extra specs of flavors there are, and what they can be: checked from version 2.86 on.

A name without a colon, or with something before it that is not known here, is anybody's own.
Source: Nova's documentation, "Extra Specs".
"""

import re
from collections.abc import Callable, Mapping

from compute.instances.errors import Invalid

Check = Callable[[str], str | None]  # of the value; returns what is wrong with it

_TRUTH = frozenset(("1", "t", "true", "on", "y", "yes", "0", "f", "false", "off", "n", "no"))


def check(name: str, value: str) -> None:
    """Raise Invalid unless an extra spec is what it can be."""
    found = next((each for pattern, each in _PATTERNS if pattern.fullmatch(name)), None)
    if found is None:
        namespace, colon, _rest = name.partition(":")
        if colon and _NAMESPACES.fullmatch(namespace):
            raise Invalid(f"Validation failed; extra spec '{name}' does not appear to be a valid extra spec.")
        return
    wrong = found(value)
    if wrong is not None:
        raise Invalid(f"Validation failed; '{value}' {wrong}.")


def _anything(_value: str) -> str | None:
    return None


def _truth(value: str) -> str | None:
    return None if value.strip().lower() in _TRUTH else "is not a valid boolean-like value"


def _integer(least: int | None = None, most: int | None = None) -> Check:
    def wrong(value: str) -> str | None:
        if re.fullmatch(r"\s*[-+]?[0-9]{1,20}\s*", value) is None:
            return "is not a valid integer value"
        if most is not None and int(value) > most:
            return f"is greater than the max value of '{most}'"
        if least is not None and int(value) < least:
            return f"is less than the min value of '{least}'"
        return None

    return wrong


def _one_of(*words: str) -> Check:
    return lambda value: None if value in words else f"is not one of: {', '.join(words)}"


def _like(pattern: str) -> Check:
    compiled = re.compile(pattern)
    return lambda value: None if compiled.fullmatch(value) else f"is not of the format '{pattern}'"


_HW: Mapping[str, Check] = {
    "boot_menu": _truth,
    "cpu_cores": _integer(1),
    "cpu_dedicated_mask": _like(r"(\^)?\d+((-\d+)?(,\^?\d+(-\d+)?)?)*"),
    "cpu_policy": _one_of("dedicated", "shared", "mixed"),
    "cpu_realtime": _truth,
    "cpu_realtime_mask": _like(r"(\^)?\d+((-\d+)?(,\^?\d+(-\d+)?)?)*"),
    "cpu_sockets": _integer(1),
    "cpu_thread_policy": _one_of("prefer", "isolate", "require"),
    "cpu_threads": _integer(1),
    "emulator_threads_policy": _one_of("isolate", "share"),
    "ephemeral_encryption": _truth,
    "ephemeral_encryption_format": _one_of("luks", "plain"),
    "hide_hypervisor_id": _truth,
    "locked_memory": _truth,
    "maxphysaddr_bits": _integer(1),
    "maxphysaddr_mode": _one_of("passthrough", "emulate"),
    "max_cpu_cores": _integer(1),
    "max_cpu_sockets": _integer(1),
    "max_cpu_threads": _integer(1),
    "mem_encryption": _truth,
    "mem_page_size": _like(r"(large|small|any|\d+([kKMGT]i?)?(b|bit|B)?)"),
    r"numa_cpus\.\d+": _like(r"\^?\d+((-\d+)?(,\^?\d+(-\d+)?)?)*"),
    r"numa_mem\.\d+": _integer(1),
    "numa_nodes": _integer(1),
    "pci_numa_affinity_policy": _one_of("required", "preferred", "legacy", "socket"),
    "pmem": _anything,
    "pmu": _truth,
    "serial_port_count": _integer(0),
    "sound_model": _one_of("sb16", "es1370", "pcspk", "ac97", "ich6", "ich9", "usb", "virtio"),
    "tpm_model": _one_of("tpm-tis", "tpm-crb"),
    "tpm_secret_security": _one_of("user", "host", "deployment"),
    "tpm_version": _one_of("1.2", "2.0"),
    "usb_model": _one_of("piix3-uhci", "qemu-xhci", "nec-xhci"),
    "vif_multiqueue_enabled": _truth,
    "viommu_model": _one_of("intel", "smmuv3", "virtio", "auto"),
    "virtio_packed_ring": _truth,
    "watchdog_action": _one_of("none", "pause", "poweroff", "reset", "disabled"),
}
_QUOTA: Mapping[str, Check] = {
    "cpu_shares": _integer(0),
    "cpu_period": _integer(0),
    "cpu_quota": _integer(),
    r"disk_(read|write|total)_(bytes|iops)_sec": _integer(0),
    r"vif_(inbound|outbound)_(average|peak|burst)": _integer(0),
    r"(cpu|memory|disk_io|vif)_(limit|reservation)": _integer(),
    r"(cpu|memory|disk_io|vif)_shares_level": _one_of("custom", "high", "normal", "low"),
    r"(cpu|memory|disk_io|vif)_shares_share": _integer(0),
}
_OTHERS: Mapping[str, Check] = {
    r"hw_rng:allowed": _truth,
    r"hw_rng:rate_bytes": _integer(0),
    r"hw_rng:rate_period": _integer(0),
    r"hw_video:ram_max_mb": _integer(0),
    r"os:secure_boot": _one_of("disabled", "required"),
    r"accel:device_profile": _anything,
    r"pci_passthrough:alias": _anything,
    r"hide_hypervisor_id": _truth,
    r"resources(_?[a-zA-Z0-9_-]{1,64})?:(CUSTOM_)?[A-Z0-9_]+": _integer(0),
    r"trait(_?[a-zA-Z0-9_-]{1,64})?:(CUSTOM_)?[A-Z0-9_]+": _one_of("required", "forbidden"),
    r"group_policy": _one_of("isolate", "none"),
    r"aggregate_instance_extra_specs:.+": _anything,
    r"capabilities:.+": _anything,
}
_NAMESPACES = re.compile(
    r"hw|hw_rng|hw_video|os|quota|accel|pci_passthrough|resources.*|trait.*|"
    r"aggregate_instance_extra_specs|capabilities"
)
_PATTERNS = tuple(
    (re.compile(name), checks)
    for name, checks in (
        *((f"hw:{name}", each) for name, each in _HW.items()),
        *((f"quota:{name}", each) for name, each in _QUOTA.items()),
        *_OTHERS.items(),
    )
)
