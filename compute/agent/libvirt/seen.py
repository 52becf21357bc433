"""What libvirt's description of a guest that it has says: its disks, cards, screen and serial line. Pure."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from compute.agent.libvirt.domain import text_of

_QEMU_ARGUMENT = "{http://libvirt.org/schemas/domain/qemu/1.0}arg"
_MAC = re.compile(r"(?:^|,)mac=([0-9a-f:]{17})(?:,|$)")


@dataclass(frozen=True, slots=True)
class SeenDisk:
    """A volume that a guest has."""

    serial: str
    target: str
    host: str
    port: int
    export: str
    xml: str  # to have it taken away


@dataclass(frozen=True, slots=True)
class SeenNic:
    """A network card that a guest has."""

    mac: str
    xml: str  # to have it taken away; empty: it is qemu's own, and stays


@dataclass(frozen=True, slots=True)
class Description:
    """What a guest has."""

    disks: tuple[SeenDisk, ...] = ()
    nics: tuple[SeenNic, ...] = ()
    targets: tuple[str, ...] = ()  # of all disks, other than volumes too
    vnc_port: int = 0  # 0: no screen
    serial_path: str = ""  # of the serial line's pty
    machine: str = "pc"

    def disk(self, serial: str) -> SeenDisk | None:
        """Return a volume by its serial; None: it has none such."""
        return next((disk for disk in self.disks if disk.serial == serial), None)

    def nic(self, mac: str) -> SeenNic | None:
        """Return a card by its address; None: it has none such."""
        return next((nic for nic in self.nics if nic.mac == mac.lower()), None)


def described(xml: str) -> Description:
    """Return what a description says."""
    domain = ElementTree.fromstring(xml)  # noqa: S314 it is libvirt that wrote it
    disks = domain.findall("devices/disk")
    kind = domain.find("os/type")
    graphics = domain.find("devices/graphics[@type='vnc']")
    return Description(
        disks=tuple(_disk(disk) for disk in disks if disk.get("type") == "network"),
        nics=(*_bridged(domain), *_own(domain)),
        targets=tuple(target.get("dev", "") for disk in disks for target in disk.findall("target")),
        vnc_port=max(0, int(graphics.get("port", "0"))) if graphics is not None else 0,
        serial_path=next((each.get("path", "") for each in domain.findall("devices/serial/source")), ""),
        machine="q35" if kind is not None and "q35" in kind.get("machine", "") else "pc",
    )


def _disk(disk: Element) -> SeenDisk:
    host, source, target = disk.find("source/host"), disk.find("source"), disk.find("target")
    return SeenDisk(
        serial=disk.findtext("serial", ""),
        target=target.get("dev", "") if target is not None else "",
        host=host.get("name", "") if host is not None else "",
        port=int(host.get("port", "0")) if host is not None else 0,
        export=source.get("name", "") if source is not None else "",
        xml=text_of(disk),
    )


def _bridged(domain: Element) -> list[SeenNic]:
    return [
        SeenNic(mac.get("address", "").lower(), text_of(interface))
        for interface in domain.findall("devices/interface")
        for mac in interface.findall("mac")
    ]


def _own(domain: Element) -> list[SeenNic]:
    """Return the cards that libvirt does not know of (`domain.user_network_words`)."""
    found = (_MAC.search(each.get("value", "")) for each in domain.iter(_QEMU_ARGUMENT))
    return [SeenNic(match[1], "") for match in found if match]
