"""Guests at bridges: addresses by DHCP, metadata in each network's namespace, security groups, a floating address.

Needs root.

The agent finds what the network service told it last on its disk, as it does while that service is away.
"""

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from compute.agent.guest import Guest, Nic
from compute.agent.wiring.choosing import chosen
from compute.agent.wiring.host import lacking
from tests.guests import agents
from tests.guests.agents import Console, Site
from tests.unit.compute.agent.wiring.wanted import (
    EGRESS,
    GROUP_ID,
    NETWORK_ID,
    MemoryNetworkService,
    document,
    interface,
    network,
    port,
    router,
    rule,
)

OPEN_ID = "88888888-8888-4888-8888-888888888888"  # a group that lets pings in
FLOATING = "198.18.4.7"  # leads to the second guest
USER_DATA = b"#!/bin/sh\necho GUEST instance $(fetch /latest/meta-data/instance-id)\n"

pytestmark = [pytest.mark.long, pytest.mark.skipif(os.geteuid() != 0, reason="bridges are for root")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if lacking():
        pytest.skip(f"bridges cannot be had here: {lacking()}")
    out = {"gateway": {"address": "198.18.4.1", "snat": True}, "floating": [[FLOATING, port(1)["addresses"][0]]]}
    joined = [router([interface(0, NETWORK_ID, "10.0.0.1/24")], **out)]
    wanted = document([network()], [port(0), port(1, groups=[GROUP_ID, OPEN_ID])], [EGRESS], routers=joined)
    wanted["groups"][OPEN_ID] = [rule("ingress", protocol=1)]

    def told(made: Site) -> None:
        kept = made.layout.agent(0) / "network.json"
        kept.parent.mkdir(mode=0o700)
        kept.write_text(json.dumps({"tag": "t", "wanted": wanted}))

    made = None
    try:
        for made in agents.running(tmp_path_factory.mktemp("networks"), "bridge", told):
            yield made
    finally:
        if made is not None:
            wiring = chosen("bridge", made.layout, 0, MemoryNetworkService())
            wiring.remove_all()  # type: ignore[attr-defined]


def is_reached(address: str) -> bool:
    """Tell whether this host gets an answer to a ping."""
    return subprocess.run(["busybox", "ping", "-c", "1", "-W", "1", address], check=False, stdout=-3).returncode == 0


def guest(site: Site, number: int) -> Guest:
    told = port(number)
    card = Nic(mac=told["mac"], port_id=told["id"], network_id=NETWORK_ID, addresses=tuple(told["addresses"]), mtu=1450)
    return site.guest(USER_DATA, nics=(card,))


def test_guests_have_their_addresses_learn_their_own_and_are_reached_as_their_groups_say(site: Site) -> None:
    guests = [guest(site, number) for number in (0, 1)]
    for each in guests:
        site.host.define(each, running=True)
    consoles = [Console(site, each.id) for each in guests]
    for console, each in zip(consoles, guests, strict=True):
        console.wait_for("GUEST ready")
        assert console.wait_for("GUEST address").endswith(f"{each.nics[0].addresses[0]}/24")
        assert console.wait_for("GUEST instance").endswith(each.id)
    first, second = consoles
    first.do(f"ping -c 2 -W 10 {guests[1].nics[0].addresses[0]}")  # it lets pings in
    second.do(f"! ping -c 2 -W 3 {guests[0].nics[0].addresses[0]}")  # which the other does not

    agents.until("the second is reached from without", lambda: is_reached(FLOATING))
    first.do("ping -c 2 -W 10 10.0.0.1")  # the router
    first.do("! ping -c 2 -W 3 198.18.4.1")  # the host, beyond it

    # a card that is taken away and given back while it runs
    card = guests[0].nics[0]
    agents.until("the card has left", lambda: card.mac not in site.host.unplug(guests[0].id, card.mac).nics)
    first.do("until [ ! -e /sys/class/net/eth0 ]; do sleep 0.1; done")
    assert card.mac in site.host.plug(guests[0].id, card).nics
    first.do("until [ -e /sys/class/net/eth* ]; do sleep 0.1; done; ip link set $(ls /sys/class/net | grep eth) up;"
             " udhcpc -s /udhcpc.sh -O staticroutes -i $(ls /sys/class/net | grep eth) -n -q -t 20 -T 1")  # fmt: skip
    assert first.do("fetch /latest/meta-data/instance-id") == guests[0].id
    for each in guests:
        site.host.remove(each.id)
