"""A guest as its host is told of it, and as the host says that it is: values, and their form in JSON.

Whoever asks sends the whole of what a guest shall be; the host brings it there, however often it is asked. What cannot
be repeated (a reboot) has the id of who wants it, and is done once for each. Sizes are bytes unless they say otherwise.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")


class Power(StrEnum):
    """What a guest does."""

    RUNNING = "running"
    PAUSED = "paused"  # in memory, by somebody's wish
    SUSPENDED = "suspended"  # in a file
    OFF = "off"
    CRASHED = "crashed"
    WAITING = "waiting"  # for a disk that does not answer; it goes on by itself once that does


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A volume as a disk, by NBD."""

    serial: str  # which the guest sees, in its first 20 characters: of Cinder's volumes the id
    host: str  # of the gateway
    port: int
    export: str  # with what lets this guest in; secret
    size: int
    boot_index: int | None = None  # the lowest boots; None: it never does
    read_only: bool = False
    bus: str = "virtio"  # or scsi, sata, ide
    kind: str = "disk"  # or cdrom
    limits: Mapping[str, int] = field(default_factory=dict)  # total_iops_sec, read_bytes_sec, … as Cinder's front end


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """A port of a network as a network card."""

    mac: str
    port_id: str
    network_id: str
    addresses: tuple[str, ...] = ()
    mtu: int = 1500
    model: str = "virtio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a guest is told of itself, at 169.254.169.254 and on its config drive."""

    meta_data: Mapping[str, Any] = field(default_factory=dict)  # OpenStack's meta_data.json
    network_data: Mapping[str, Any] = field(default_factory=dict)  # network_data.json
    vendor_data: Mapping[str, Any] = field(default_factory=dict)
    user_data: str = ""  # base64
    ec2: Mapping[str, Any] = field(default_factory=dict)  # instance-id, ami-id, instance-type, security-groups, …


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """All of what a guest shall be."""

    id: str  # of the server, and of the domain
    name: str  # as its project calls it
    project_id: str
    vcpus: int
    memory_mib: int
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    told: Told = field(default_factory=Told)
    config_drive: bool = False
    machine: str = ""  # pc or q35; empty: the host's choice
    firmware: str = "bios"  # or uefi
    video: bool = True
    extra: Mapping[str, str] = field(default_factory=dict)  # hints of flavor and image, such as hw:cpu_policy


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestState:
    """What a host knows of a guest."""

    id: str
    power: Power
    reason: str = ""  # in words, of what is not as it should be
    disks: tuple[str, ...] = ()  # serials of those that the guest has, also of those that it has not let go of yet
    nics: tuple[str, ...] = ()  # MACs, likewise
    memory_mib: int = 0
    vcpus: int = 0
    since_us: int = 0  # when this was found first


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """What a host has, and what of it guests have."""

    name: str
    hypervisor: str  # QEMU
    hypervisor_version: int  # major * 1_000_000 + minor * 1000 + micro
    virtualization: str  # kvm or qemu
    networking: str  # bridge or user
    machines: tuple[str, ...]  # that guests can be
    vcpus: int
    memory_mib: int  # for guests
    vcpus_used: int
    memory_mib_used: int
    guests: int
    cpu_model: str = ""
    architecture: str = "x86_64"
    address: str = "127.0.0.1"
    uptime: str = ""  # as its command of that name says
    warnings: tuple[str, ...] = ()  # in words: what is missing, and how to get it


def document_of(value: Any) -> dict[str, Any]:
    """Return one of the values above as JSON has it."""
    return dataclasses.asdict(value)


def value_of(kind: type[T], document: Mapping[str, Any]) -> T:
    """Return the value that a document holds. Raise ValueError; names that are not known are let be."""
    hints = get_type_hints(kind)
    try:
        return kind(
            **{
                each.name: _item(hints[each.name], document[each.name])
                for each in dataclasses.fields(kind)  # type: ignore[arg-type]
                if each.name in document
            }
        )
    except (TypeError, KeyError) as error:
        raise ValueError(f"{kind.__name__}: {error}") from None


_LISTS: Mapping[Any, type] = {tuple[Disk, ...]: Disk, tuple[Nic, ...]: Nic}


def _item(hint: Any, value: Any) -> Any:
    if hint in _LISTS:
        return tuple(value_of(_LISTS[hint], each) for each in value)
    if hint is Told:
        return value_of(Told, value)
    if hint is Power:
        return Power(value)
    return tuple(value) if isinstance(value, list) else value
