"""How networks go on at other hosts, as hosts are told."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cluster.controlplane import migrations
from cluster.controlplane.database import Database
from compute import network as package
from tests.databases import url_in
from tests.unit.compute.network.service import Service
from tests.unit.compute.network.test_hosts import bind, wanted


def report(service: Service, host: str, address: str, port: int = 4789) -> None:
    told = {"mode": "bridge", "tunneling_ip": address, "tunneling_port": port}
    service.compute.put(f"/internal/hosts/{host}", {"up": [], "configurations": told}, 204)


def tunnel(service: Service, host: str = "h") -> Any:
    (network,) = wanted(service, host)["networks"]
    return network["tunnel"]


def made(service: Service, **attributes: Any) -> Any:
    return service.admin.get(f"/networks/{service.admin.make('network', **attributes)['id']}")["network"]


def test_hosts_are_told_where_a_networks_other_ports_are(service: Service) -> None:
    network = service.member.make_network()
    near, far, idle = (service.member.make_port(network) for _each in range(3))
    strange = service.member.make_port(service.member.make_network("10.1.0.0/24"))
    for port, host in ((near, "h"), (far, "i"), (strange, "j")):
        bind(service, port, host)
    assert tunnel(service) is None  # nobody has told where it is
    for host, address in (("h", "192.0.2.1"), ("i", "192.0.2.2"), ("j", "192.0.2.3")):
        report(service, host, address)
    vni = service.admin.get(f"/networks/{network['id']}")["network"]["provider:segmentation_id"]
    cards = [{"mac": far["mac_address"], "addresses": [far["fixed_ips"][0]["ip_address"]]}]
    assert tunnel(service) == {"vni": vni, "peers": [{"address": "192.0.2.2", "port": 4789, "cards": cards}]}
    assert [each["address"] for each in tunnel(service, "i")["peers"]] == ["192.0.2.1"]
    assert tunnel(service, "j") is None
    bind(service, idle, "i")
    assert len(tunnel(service)["peers"][0]["cards"]) == 2
    for port in (far, idle):
        bind(service, port, "h")
    assert tunnel(service) is None


@pytest.mark.parametrize(
    "told",
    [
        {"mode": "user"},
        {"tunneling_ip": "here", "tunneling_port": 4789},
        {"tunneling_ip": "192.0.2.2", "tunneling_port": 0},
        {"tunneling_ip": "192.0.2.2", "tunneling_port": None},
        {"tunneling_ip": "192.0.2.1", "tunneling_port": 4789},  # that of the host itself
    ],
)
def test_a_host_that_cannot_be_reached_is_no_peer(service: Service, told: dict[str, Any]) -> None:
    network = service.member.make_network()
    for host in ("h", "i"):
        bind(service, service.member.make_port(network), host)
    report(service, "h", "192.0.2.1")
    service.compute.put("/internal/hosts/i", {"up": [], "configurations": told}, 204)
    assert tunnel(service) is None


def test_networks_have_numbers_of_their_own(service: Service) -> None:
    first, second = made(service), made(service)
    number = "provider:segmentation_id"
    assert first["provider:network_type"] == "vxlan"
    assert first[number] != second[number]
    assert all(0 < each[number] < 2**24 for each in (first, second))
    assert made(service, **{number: 77})[number] == 77
    assert service.admin.make("network", 409, **{number: 77}) == "TunnelIdInUse"
    for wrong in ({number: 2**24}, {number: 0}, {"provider:physical_network": "wire"}):
        assert service.admin.make("network", 400, **wrong) == "InvalidInput"


def test_a_local_network_stays_on_each_host(service: Service) -> None:
    kind = {"provider:network_type": "local"}
    network = service.admin.make("network", **kind)
    service.admin.make_subnet(network["id"])
    for number, host in enumerate(("h", "i")):
        bind(service, service.admin.make_port(network), host)
        report(service, host, f"192.0.2.{number + 1}")
    assert tunnel(service) is None
    assert network["provider:segmentation_id"] is None
    assert service.admin.make("network", 400, **kind, **{"provider:segmentation_id": 5}) == "InvalidInput"
    for strange in ("vlan", "flat"):
        assert service.admin.make("network", 400, **{"provider:network_type": strange}) == "InvalidInput"


def test_networks_of_an_earlier_release_get_numbers_and_room_for_tunnels(tmp_path: Path) -> None:
    database, scripts = Database(url_in(tmp_path)), Path(package.__file__).parent / "migrations"
    migrations.upgrade(database, scripts, "0001")
    with database.writing() as connection:
        for name, mtu in (("a", 1500), ("b", 9000)):
            connection.execute(
                text(
                    "INSERT INTO networks VALUES (:name, 'p', :name, '', 1, 0, 0, true, false, false, false, true, "
                    ":mtu, '', 'local', NULL, NULL)"
                ),
                {"name": name, "mtu": mtu},
            )
    migrations.upgrade(database, scripts)
    with database.reading() as connection:
        rows = connection.execute(text("SELECT mtu, network_type, segmentation_id FROM networks ORDER BY id")).all()
    assert [row[:2] for row in rows] == [(1450, "vxlan"), (9000, "vxlan")]
    assert len({row[2] for row in rows}) == 2
