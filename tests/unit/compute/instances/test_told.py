"""What guests are told of themselves."""

import base64

from compute.instances.interfaces import Port
from compute.instances.outside.network_service import network_data
from tests.unit.compute.instances.service import Service

SUBNET = {
    "id": "s",
    "cidr": "10.0.0.0/24",
    "gateway_ip": "10.0.0.1",
    "enable_dhcp": False,
    "dns_nameservers": ["9.9.9.9"],
}
PORT = Port("11111111-2222", "net", "net", "fa:16:3e:00:00:01", (("10.0.0.5", "s"),))


def test_a_guest_is_told_all_that_cloud_init_reads(service: Service) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDfsNLDHSyr4YGBhhCoJb6jFNYRnDrEpvtkVy4Fe8g0k me"
    service.member.post("/os-keypairs", {"keypair": {"name": "mine", "public_key": key, "type": "ssh"}}, 201)
    user_data = base64.b64encode(b"#!/bin/sh\n").decode()
    made = service.make_server(
        name="Web 1",
        key_name="mine",
        user_data=user_data,
        networks=[{"uuid": service.network.put()}],
        config_drive=True,
    )
    guest = service.hosts.by_name[made["OS-EXT-SRV-ATTR:host"]].guests[made["id"]].guest
    told = guest.told
    assert told.meta_data["uuid"] == made["id"]
    assert told.meta_data["hostname"] == "web-1"
    assert told.meta_data["public_keys"] == {"mine": key}
    assert len(base64.b64decode(told.meta_data["random_seed"])) == 512
    assert told.user_data == user_data
    assert told.ec2["local-ipv4"] == guest.nics[0].addresses[0]
    assert told.ec2["instance-type"] == "m1.tiny"
    assert guest.config_drive


def test_two_guests_are_told_different_random_numbers(service: Service) -> None:
    seeds = set()
    for _each in range(2):
        made = service.make_server()
        guest = service.hosts.by_name[made["OS-EXT-SRV-ATTR:host"]].guests[made["id"]].guest
        seeds.add(guest.told.meta_data["random_seed"])
    assert len(seeds) == 2


def test_network_data_of_a_static_address() -> None:
    """OpenStack's network metadata schema."""
    found = network_data([PORT], {"s": SUBNET})
    assert found["links"][0]["ethernet_mac_address"] == "fa:16:3e:00:00:01"
    (network,) = found["networks"]
    assert (network["type"], network["ip_address"], network["netmask"]) == ("ipv4", "10.0.0.5", "255.255.255.0")
    assert network["routes"] == [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.0.1"}]
    assert found["services"] == [{"type": "dns", "address": "9.9.9.9"}]


def test_network_data_of_an_address_by_dhcp() -> None:
    found = network_data([PORT], {"s": {**SUBNET, "enable_dhcp": True}})
    assert [each["type"] for each in found["networks"]] == ["ipv4_dhcp"]
