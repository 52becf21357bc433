"""A guest as libvirt is told of it, in XML. Pure: the same guest is always described alike.

Source: libvirt.org, "Domain XML format". What is of use here and not obvious:

- A disk stops its guest on an error (`error_policy`): a volume that does not answer is waited for (`resuming`), as
  libvirt leaves out NBD's own way to connect again. Flushes pass, as `cache` is none.
- Guests know disks by serial; letters of XML's targets mean nothing to them, and are given out as they are free.
- In user mode cards are qemu's own, past libvirt: its user network is the only one that needs no privileges, and
  libvirt's form of it has no way to the metadata, and would let guests reach what listens on the host.
- `smbios` says OpenStack Compute, which is how cloud-init knows to look at 169.254.169.254.
"""

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from compute.agent.guest import Disk, Guest, Nic
from compute.agent.wiring.interface import USER, Plug
from compute.stored import Refused

PRODUCT = "OpenStack Compute"
TITLE_LIMIT = 200  # characters of a guest's name
SPARE_ROOT_PORTS = 16  # of q35, for what comes while it runs
AGENT_CHANNEL = "org.qemu.guest_agent.0"
CONFIG_DRIVE = "config-2"  # serial of the disk
_CLOSED = "1970-01-01T00:00:01"  # until when the screen's password holds that nobody has
_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
_PREFIXES: Mapping[str, str] = {"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd"}
_IDE_DISKS = 4
_LAST_SLOT = 0x1E  # of a PCI bus; libvirt gives out the first ones
# names of Cinder's front-end limits that libvirt has under the same name
_LIMITS = tuple(
    f"{what}_{unit}_sec{ending}"
    for unit in ("bytes", "iops")
    for what in ("total", "read", "write")
    for ending in ("", "_max", "_max_length")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What of its host a guest's description has."""

    kind: str = "qemu"  # or kvm
    console_log: str = ""  # file; empty: none
    config_drive: str = ""  # file; empty: none
    metadata: tuple[str, ...] = ()  # words of the command that leads to its metadata, in user mode; none: no way
    agent_socket: str = ""  # where the agent within the guest is reached; empty: libvirt chooses
    random: str = "/dev/urandom"


def domain_xml(guest: Guest, plugs: Mapping[str, Plug], around: Surroundings) -> str:
    """Return the description of `guest`. `plugs`: by address of the card; without one a card is left out."""
    machine = guest.machine or "pc"
    domain = Element("domain", {"type": around.kind, "xmlns:qemu": _QEMU})
    _text(domain, "name", guest.id)
    _text(domain, "uuid", guest.id)
    _text(domain, "title", _printable(guest.name)[:TITLE_LIMIT] or guest.id)
    _text(domain, "memory", str(guest.memory_mib), unit="MiB")
    _text(domain, "vcpu", str(guest.vcpus))
    _sysinfo(domain, guest)
    _system(domain, guest, machine)
    features = SubElement(domain, "features")
    SubElement(features, "acpi")  # which attachments to a guest that runs need
    SubElement(features, "apic")
    SubElement(domain, "cpu", {"mode": "host-passthrough" if around.kind == "kvm" else "maximum"})
    SubElement(domain, "clock", {"offset": "utc"})
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        _text(domain, event, action)
    _devices(SubElement(domain, "devices"), guest, machine, plugs, around)
    _user_network(domain, guest.nics, plugs, around.metadata)
    return ElementTree.tostring(domain, encoding="unicode")


def _sysinfo(domain: Element, guest: Guest) -> None:
    system = SubElement(SubElement(domain, "sysinfo", {"type": "smbios"}), "system")
    entries = {
        "manufacturer": "OpenStack Foundation",
        "product": PRODUCT,
        "serial": guest.id,
        "uuid": guest.id,
        "family": "Virtual Machine",
    }
    for name, value in entries.items():
        _text(system, "entry", value, name=name)


def _system(domain: Element, guest: Guest, machine: str) -> None:
    system = SubElement(domain, "os", {"firmware": "efi"} if guest.firmware == "uefi" else {})
    _text(system, "type", "hvm", arch="x86_64", machine=machine)
    if guest.firmware == "uefi":
        firmware = SubElement(system, "firmware")
        for feature in ("secure-boot", "enrolled-keys"):
            SubElement(firmware, "feature", {"enabled": "no", "name": feature})
    SubElement(system, "smbios", {"mode": "sysinfo"})


def _devices(
    devices: Element, guest: Guest, machine: str, plugs: Mapping[str, Plug], around: Surroundings
) -> None:
    if machine == "q35":
        SubElement(devices, "controller", {"type": "pci", "index": "0", "model": "pcie-root"})
        for _port in range(SPARE_ROOT_PORTS + len(guest.disks) + len(guest.nics)):
            SubElement(devices, "controller", {"type": "pci", "model": "pcie-root-port"})
    SubElement(devices, "controller", {"type": "usb", "model": "none"})  # emulated ones cost more than they give
    SubElement(devices, "controller", {"type": "scsi", "index": "0", "model": "virtio-scsi"})
    _disks(devices, guest, machine, around)
    for nic in guest.nics:
        plug = plugs.get(nic.mac)
        if plug is not None and plug.mode != USER:
            devices.append(nic_element(nic, plug))
    _serial_line(devices, around.console_log)
    if guest.extra.get("hw_qemu_guest_agent", "yes") != "no":
        channel = SubElement(devices, "channel", {"type": "unix"})
        if around.agent_socket:
            SubElement(channel, "source", {"mode": "bind", "path": around.agent_socket})
        SubElement(channel, "target", {"type": "virtio", "name": AGENT_CHANNEL})
    if guest.video:
        _screen(devices)
    balloon = SubElement(devices, "memballoon", {"model": "virtio"})
    SubElement(balloon, "stats", {"period": "10"})
    if around.random:
        source = SubElement(devices, "rng", {"model": "virtio"})
        _text(source, "backend", around.random, model="random")


def _disks(devices: Element, guest: Guest, machine: str, around: Surroundings) -> None:
    bootable = sorted((disk.boot_index, disk.serial) for disk in guest.disks if disk.boot_index is not None)
    ranks = {serial: rank for rank, (_index, serial) in enumerate(bootable, 1)}
    taken: list[str] = []
    for disk in guest.disks:
        target = free_target(disk, machine, taken)
        taken.append(target)
        devices.append(disk_element(disk, machine, target, ranks.get(disk.serial)))
    if around.config_drive:
        # as a disk, as not every kernel that looks for it knows CD-ROMs; the last, so that it moves no other's name
        drive = SubElement(devices, "disk", {"type": "file", "device": "disk"})
        SubElement(drive, "driver", {"name": "qemu", "type": "raw"})
        SubElement(drive, "source", {"file": around.config_drive})
        SubElement(drive, "target", {"dev": free_target(None, machine, taken), "bus": "virtio"})
        SubElement(drive, "readonly")
        _text(drive, "serial", CONFIG_DRIVE)


def free_target(disk: Disk | None, machine: str, taken: Sequence[str]) -> str:
    """Return a target for a disk that none has. Raise Refused. `disk` None: the last one of virtio's."""
    bus = _bus_of(disk, machine) if disk else "virtio"
    prefix = _PREFIXES[bus]
    letters = string.ascii_lowercase if disk else string.ascii_lowercase[::-1]
    letters = letters[:_IDE_DISKS] if bus == "ide" else letters
    for letter in letters:
        if prefix + letter not in taken:
            return prefix + letter
    raise Refused(f"the guest can have no more disks at its {bus} bus")


def _bus_of(disk: Disk, machine: str) -> str:
    """Return the bus that a disk can have: q35 has no IDE, pc no SATA that could be plugged, virtio no CD-ROMs."""
    bus = "sata" if disk.kind == "cdrom" and disk.bus == "virtio" else disk.bus
    if bus in ("sata", "ide"):
        return "sata" if machine == "q35" else "ide"
    return bus


def disk_element(disk: Disk, machine: str, target: str, rank: int | None = None) -> Element:
    """Return a disk. `rank`: its place among those that the guest boots from, from 1 on; None: it does not."""
    element = Element("disk", {"type": "network", "device": disk.kind})
    policies = {"error_policy": "stop", "rerror_policy": "stop"}
    driver = {"name": "qemu", "type": "raw", "cache": "none", "discard": "unmap", **policies}
    SubElement(element, "driver", driver)
    source = SubElement(element, "source", {"protocol": "nbd", "name": disk.export})
    SubElement(source, "host", {"name": disk.host, "port": str(disk.port), "transport": "tcp"})
    SubElement(element, "target", {"dev": target, "bus": _bus_of(disk, machine)})
    if disk.read_only or disk.kind == "cdrom":
        SubElement(element, "readonly")
    limits = {name: disk.limits[name] for name in _LIMITS if disk.limits.get(name, 0) > 0}
    if limits:
        tuning = SubElement(element, "iotune")
        for name, value in limits.items():
            _text(tuning, name, str(int(value)))
    _text(element, "serial", disk.serial)
    if rank is not None:
        SubElement(element, "boot", {"order": str(rank)})
    return element


def nic_element(nic: Nic, plug: Plug) -> Element:
    """Return a network card at a bridge."""
    element = Element("interface", {"type": "bridge"})
    SubElement(element, "mac", {"address": nic.mac.lower()})
    SubElement(element, "source", {"bridge": plug.bridge})
    SubElement(element, "target", {"dev": plug.tap})
    SubElement(element, "model", {"type": nic.model})
    SubElement(element, "mtu", {"size": str(plug.mtu)})
    SubElement(element, "rom", {"enabled": "no"})  # it would look for something to boot, and take its time
    return element


def text_of(element: Element) -> str:
    """Return an element as libvirt takes it."""
    return ElementTree.tostring(element, encoding="unicode")


def _serial_line(devices: Element, console_log: str) -> None:
    serial = SubElement(devices, "serial", {"type": "pty"})
    if console_log:
        SubElement(serial, "log", {"file": console_log, "append": "on"})
    SubElement(serial, "target", {"port": "0"})
    console = SubElement(devices, "console", {"type": "pty"})
    SubElement(console, "target", {"type": "serial", "port": "0"})


def _screen(devices: Element) -> None:
    """Add a screen that nobody can look at yet: its password has expired (`screen_xml`)."""
    SubElement(devices, "input", {"type": "tablet", "bus": "virtio"})  # so that pointers are where they seem to be
    devices.append(_graphics("closed", _CLOSED))
    SubElement(SubElement(devices, "video"), "model", {"type": "vga", "vram": "16384", "heads": "1"})


def screen_xml(port: int, password: str, until: str) -> str:
    """Return what opens a screen to whoever has the password, `until` a moment such as 2026-01-31T12:00:00 (UTC)."""
    element = _graphics(password, until)
    element.set("port", str(port))
    return text_of(element)


def _graphics(password: str, until: str) -> Element:
    attributes = {"type": "vnc", "port": "-1", "autoport": "yes", "listen": "127.0.0.1", "sharePolicy": "force-shared"}
    element = Element("graphics", {**attributes, "passwd": password, "passwdValidTo": until})
    SubElement(element, "listen", {"type": "address", "address": "127.0.0.1"})
    return element


def _user_network(
    domain: Element, nics: Iterable[Nic], plugs: Mapping[str, Plug], metadata: Sequence[str]
) -> None:
    own = [nic for nic in nics if nic.mac in plugs and plugs[nic.mac].mode == USER]
    if not own:
        return
    line = SubElement(domain, "qemu:commandline")
    for number, nic in enumerate(own):
        for word in user_network_words(nic, number, metadata if number == 0 else ()):
            SubElement(line, "qemu:arg", {"value": word})


def user_network_words(nic: Nic, number: int, metadata: Sequence[str]) -> list[str]:
    """Return options of qemu for a card that leads nowhere, but for the first one's way to the metadata.

    The metadata's address must lie in the card's network; others are apart from it, so that it is reached by one way.
    """
    network = "169.254.0.0/16" if number == 0 else f"169.253.{number}.0/24"
    prefix = network.rsplit(".", 1)[0]
    backend = f"user,id=user{number},net={network},host={prefix}.2,dhcpstart={prefix}.15,restrict=on"
    if metadata:
        command = " ".join(_quoted(word) for word in metadata).replace(",", ",,")  # qemu's options part at commas
        backend += f",guestfwd=tcp:169.254.169.254:80-cmd:{command}"
    model = "virtio-net-pci" if nic.model == "virtio" else nic.model
    card = f"{model},netdev=user{number},id=card{number},mac={nic.mac.lower()},addr={_LAST_SLOT - number:#x},romfile="
    return ["-netdev", backend, "-device", card]


def _quoted(word: str) -> str:
    """Return a word of a command as qemu parts them, which is as shells do."""
    return "'" + word.replace("'", "'\\''") + "'"


def _printable(text: str) -> str:
    """Return what of a name may stand in XML, on one line."""
    return "".join(letter if letter.isprintable() and not "\ud800" <= letter <= "\udfff" else " " for letter in text)


def _text(parent: Element, tag: str, text: str, **attributes: str) -> None:
    SubElement(parent, tag, attributes).text = text
