"""What dnsmasq is told; and dnsmasq itself says whether it understands."""

import shutil
import subprocess
from pathlib import Path

import pytest

from compute.agent.wiring import dhcp, host
from compute.agent.wiring.wanted import Wanted
from tests.unit.compute.agent.wiring.wanted import NETWORK_ID, network, port, subnet, wanted

DIRECTORY = Path("/run/somewhere")
needs_dnsmasq = pytest.mark.skipif(shutil.which("dnsmasq") is None, reason="needs dnsmasq-base")


def files(whole: Wanted, directory: Path = DIRECTORY) -> dhcp.Files:
    return dhcp.files(whole.networks[NETWORK_ID], whole.ports_of(NETWORK_ID), directory)


def test_cards_get_their_addresses_and_no_others() -> None:
    made = files(wanted([network()], [port(0), port(1)]))
    assert [line.split(",")[0::2] for line in made.hosts.splitlines()] == [
        ["fa:16:3e:00:01:00", "host-10-0-0-10"],
        ["fa:16:3e:00:01:01", "host-10-0-0-11"],
    ]
    (served,) = [line for line in made.config.splitlines() if line.startswith("dhcp-range=")]
    assert served.endswith(",10.0.0.0,static,255.255.255.0,86400s")
    assert "10.0.0.10 host-10-0-0-10.novalocal host-10-0-0-10" in made.names


def test_they_are_told_of_routes_name_servers_and_the_metadata() -> None:
    """RFC 3442: who understands option 121 does not look at the router."""
    routes = [{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}]
    told = files(wanted([network(subnets=[subnet(dns_nameservers=["1.1.1.1"], host_routes=routes)])], [])).options
    assert "option:classless-static-route,169.254.169.254/32,10.0.0.2,10.9.0.0/16,10.0.0.9,0.0.0.0/0,10.0.0.1" in told
    assert "option:dns-server,1.1.1.1" in told
    assert "option:mtu,1450" in told
    assert "option:router,10.0.0.1" in told
    told = files(wanted([network(subnets=[subnet(gateway_ip=None)])], [])).options
    assert "option:router\n" in told
    assert "0.0.0.0/0" not in told
    assert "option:dns-server,10.0.0.2" in told


@pytest.mark.parametrize(
    ("mode", "kind", "announces", "is_given"),
    [
        ("slaac", "ra-only", True, False),
        ("dhcpv6-stateless", "ra-stateless", True, False),
        ("dhcpv6-stateful", "static", True, True),
        ("", "static", False, True),
    ],
)
def test_ipv6_is_announced_as_its_subnet_says(mode: str, kind: str, announces: bool, is_given: bool) -> None:
    subnets = [subnet("fd00::/64", gateway_ip=None, mode=mode)]
    made = files(wanted([network(addresses=["fd00::2/64"], subnets=subnets)], [port(0, addresses=["fd00::10"])]))
    assert f",fd00::,{kind},64,86400s" in made.config
    assert ("enable-ra" in made.config) == announces
    assert ("[fd00::10]" in made.hosts) == is_given


def test_a_port_is_told_what_it_asked_for() -> None:
    options = [[4, "ntp-server", "1.2.3.4"], [4, "67", "boot"], [6, "ntp-server", "[fd00::9]"]]
    told = files(wanted([network()], [port(0, options=options)])).options.splitlines()[-3:]
    assert [line.partition(",")[2] for line in told] == [
        "option:ntp-server,1.2.3.4",
        "67,boot",
        "option6:ntp-server,[fd00::9]",
    ]


@needs_dnsmasq
def test_dnsmasq_understands_all_of_it(tmp_path: Path) -> None:
    v6 = subnet("fd00::/64", gateway_ip=None, mode="dhcpv6-stateful")
    addresses = ["10.0.0.2/24", "fd00::2/64"]
    options = [[4, "ntp-server", "1.2.3.4"], [4, "67", "boot"]]
    ports = [port(0, addresses=["10.0.0.10", "fd00::10"], options=options), port(1)]
    made = files(wanted([network(addresses=addresses, subnets=[subnet(), v6])], ports), tmp_path)
    together = made.config + "".join(f"dhcp-option={line}\n" for line in made.options.splitlines())
    together += "".join(f"dhcp-host={line}\n" for line in made.hosts.splitlines())
    (tmp_path / "config").write_text(together)
    command = ["dnsmasq", "--test", f"--conf-file={tmp_path / 'config'}"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


@needs_dnsmasq
def test_options_that_would_end_it_are_known() -> None:
    assert host.takes_option(dhcp.option_argument(4, "ntp-server", "1.2.3.4"))
    assert not host.takes_option(dhcp.option_argument(4, "no-such-thing", "1"))
    assert not host.takes_option(dhcp.option_argument(4, "bootfile-name", 'half"'))
    assert not host.takes_option(dhcp.option_argument(4, "router", "nowhere/99,"))
