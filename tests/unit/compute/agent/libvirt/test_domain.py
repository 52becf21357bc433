"""How guests are described to libvirt, and what of it is read back."""

import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from compute.agent.guest import Guest
from compute.agent.libvirt import domain, probing
from compute.agent.libvirt.domain import Surroundings, disk_element, domain_xml, free_target, nic_element, text_of
from compute.agent.libvirt.seen import described
from compute.agent.wiring.interface import BRIDGE, USER, Plug
from compute.stored import Refused
from tests.unit.compute.agent.memory import disk, guest, nic

AROUND = Surroundings(
    console_log="/d/console.log", config_drive="/d/config.iso", metadata=("/bin/relay", "/d/m,1.sock")
)
BRIDGED = Plug(BRIDGE, "br-1", "tap-1", 1450)


def xml_of(web: Guest, plugs: Iterable[Plug] = (BRIDGED,), around: Surroundings = AROUND) -> Element:
    found = domain_xml(web, dict(zip((each.mac for each in web.nics), plugs, strict=False)), around)
    return ElementTree.fromstring(found)


def test_a_disk_stops_its_guest_when_it_fails_and_is_never_cached() -> None:
    found = xml_of(guest())
    driver = found.find("devices/disk[@type='network']/driver")
    assert driver is not None
    assert driver.attrib == {
        "name": "qemu", "type": "raw", "cache": "none", "discard": "unmap", "error_policy": "stop",
        "rerror_policy": "stop",
    }  # fmt: skip
    source = found.find("devices/disk/source")
    assert source is not None
    assert source.attrib == {"protocol": "nbd", "name": "volume-1~a"}
    assert found.findtext("devices/disk/serial") == "volume-1"


def test_guests_boot_from_disks_in_their_order() -> None:
    disks = (disk(1), disk(2, boot_index=5), disk(3, boot_index=0))
    found = xml_of(guest(disks=disks))
    ranks = {each.findtext("serial"): each.find("boot") for each in found.findall("devices/disk")}
    assert {serial: boot.get("order") for serial, boot in ranks.items() if boot is not None} == {
        "volume-3": "1", "volume-2": "2",
    }  # fmt: skip


def test_the_config_drive_is_the_last_disk_and_cannot_be_written() -> None:
    drive = xml_of(guest(disks=(disk(1), disk(2)))).findall("devices/disk")[-1]
    assert drive.find("readonly") is not None
    assert drive.find("source[@file='/d/config.iso']") is not None
    assert drive.find("target[@dev='vdz']") is not None
    assert not xml_of(guest(), around=Surroundings()).findall("devices/disk[@type='file']")


def test_strangers_names_are_text_and_nothing_else() -> None:
    name = "</title><devices>\"'&\x00\n\u2028\ud800" + "x" * 1000
    found = xml_of(guest(name=name))
    title = found.findtext("title")
    assert title is not None
    assert len(title) == domain.TITLE_LIMIT
    assert title.startswith("</title><devices>\"'&")
    assert "\n" not in title
    assert len(found.findall("devices")) == 1


def test_limits_are_those_of_cinders_front_end_and_no_others() -> None:
    limits = {"total_iops_sec": 100, "read_bytes_sec_max": 5, "evil": 1, "size": 0}
    found = disk_element(disk(limits=limits), "pc", "vda")
    tuning = found.find("iotune")
    assert tuning is not None
    assert {each.tag: each.text for each in tuning} == {"total_iops_sec": "100", "read_bytes_sec_max": "5"}
    assert disk_element(disk(), "pc", "vda").find("iotune") is None


@pytest.mark.parametrize(
    ("bus", "kind", "machine", "target"),
    [
        ("virtio", "disk", "pc", "vda"),
        ("scsi", "disk", "pc", "sda"),
        ("ide", "disk", "pc", "hda"),
        ("ide", "disk", "q35", "sda"),
        ("sata", "disk", "pc", "hda"),
        ("virtio", "cdrom", "pc", "hda"),
        ("virtio", "cdrom", "q35", "sda"),
    ],
)
def test_each_machine_has_its_buses(bus: str, kind: str, machine: str, target: str) -> None:
    assert free_target(disk(bus=bus, kind=kind), machine, ["vdz"]) == target


def test_there_are_no_more_disks_than_a_bus_has() -> None:
    taken = [f"hd{letter}" for letter in "abcd"]
    with pytest.raises(Refused):
        free_target(disk(bus="ide"), "pc", taken)
    assert free_target(disk(), "pc", ["vda", "vdc"]) == "vdb"


def test_q35_has_ports_for_what_comes_later_and_uefi_is_asked_for() -> None:
    found = xml_of(guest(machine="q35", firmware="uefi"))
    ports = found.findall("devices/controller[@model='pcie-root-port']")
    assert len(ports) >= domain.SPARE_ROOT_PORTS
    assert found.find("devices/controller[@model='pcie-root']") is not None
    system = found.find("os")
    assert system is not None
    assert system.get("firmware") == "efi"
    assert xml_of(guest()).find("os").get("firmware") is None  # type: ignore[union-attr]


def test_a_screen_is_closed_until_it_is_opened() -> None:
    graphics = xml_of(guest()).find("devices/graphics")
    assert graphics is not None
    assert graphics.get("passwdValidTo") == "1970-01-01T00:00:01"
    assert graphics.get("listen") == "127.0.0.1"
    opened = ElementTree.fromstring(domain.screen_xml(5901, "secret12", "2030-01-01T00:00:00"))
    assert (opened.get("port"), opened.get("passwd")) == ("5901", "secret12")
    assert xml_of(guest(video=False)).find("devices/graphics") is None


def test_guests_know_that_they_are_openstacks() -> None:
    """cloud-init, DataSourceOpenStack: it looks at 169.254.169.254 where the product is this."""
    found = xml_of(guest())
    assert found.findtext("sysinfo/system/entry[@name='product']") == "OpenStack Compute"
    assert found.find("os/smbios[@mode='sysinfo']") is not None


def test_a_bridged_card_is_libvirts_and_one_of_user_mode_is_qemus_own() -> None:
    card = xml_of(guest()).find("devices/interface")
    assert card is not None
    assert card.find("target[@dev='tap-1']") is not None
    assert card.find("mtu[@size='1450']") is not None
    web = guest(nics=(nic(1), nic(2)))
    found = domain_xml(web, {each.mac: Plug(USER) for each in web.nics}, AROUND)
    assert ElementTree.fromstring(found).find("devices/interface") is None
    assert [each.mac for each in described(found).nics] == [nic(1).mac, nic(2).mac]
    assert "restrict=on" in found
    assert found.count("guestfwd") == 1
    assert "/d/m,,1.sock" in found  # a comma would end the option


def test_what_is_described_is_read_back() -> None:
    web = guest(disks=(disk(1), disk(2)))
    found = described(domain_xml(web, {web.nics[0].mac: BRIDGED}, AROUND))
    assert [(each.serial, each.target, each.export, each.port) for each in found.disks] == [
        ("volume-1", "vda", "volume-1~a", 10809), ("volume-2", "vdb", "volume-2~a", 10809),
    ]  # fmt: skip
    assert found.targets == ("vda", "vdb", "vdz")
    assert found.nic(web.nics[0].mac.upper()) is not None
    assert found.disk("volume-9") is None
    assert found.vnc_port == 0
    assert described(found.disks[0].xml.join(("<domain><devices>", "</devices></domain>"))).disks[0] == found.disks[0]


def test_what_is_attached_later_is_as_it_would_be_from_the_start() -> None:
    web = guest()
    text = domain_xml(web, {web.nics[0].mac: BRIDGED}, Surroundings())
    rank = replace(web.disks[0], boot_index=None)
    assert text_of(disk_element(web.disks[0], "pc", "vda", 1)) in text
    assert text_of(nic_element(web.nics[0], BRIDGED)) in text
    assert "boot" not in text_of(disk_element(rank, "pc", "vda"))


def test_the_machine_that_tries_kvm_is_that_of_its_source(tmp_path: Path) -> None:
    source = Path(probing.__file__).with_name("trial.s")
    assert len(probing.SECTOR) == 512
    for command in (
        ["as", "--64", "-o", "trial.o", source],
        ["ld", "-m", "elf_x86_64", "-Ttext", "0", "--oformat", "binary", "-o", "trial", "trial.o"],
    ):
        try:
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no assembler")
        if done.returncode:
            pytest.skip(f"the assembler is one for another machine: {done.stderr}")
    assert (tmp_path / "trial").read_bytes() == probing.SECTOR


def test_the_machine_that_tries_kvm_runs_where_it_is_emulated() -> None:
    assert probing.trial("tcg") == ""
    assert "does not run a guest" in probing.trial("nonsense")
