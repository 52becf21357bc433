"""Where servers go."""

import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from cluster.controlplane.database import retried
from compute.instances import claims, placing, servers
from compute.instances.scheduler.candidates import Candidate, Demand, Group
from compute.instances.scheduler.choice import choose, why_not
from compute.instances.server_groups import AFFINITY, ANTI_AFFINITY, SOFT_AFFINITY, SOFT_ANTI_AFFINITY
from tests.unit.compute.instances.service import Service


def host(name: str, **about: Any) -> Candidate:
    known: dict[str, Any] = {"is_up": True, "disabled": False, "zone": "nova", "vcpus": 4, "memory_mib": 8192, **about}
    return Candidate(name=name, **known)


def chosen(hosts: list[Candidate], **about: Any) -> str | None:
    found = choose(hosts, Demand(**{"vcpus": 1, "memory_mib": 512, **about}))
    return None if found is None else found.name


@pytest.mark.parametrize(
    ("unfit", "about"),
    [
        ({"is_up": False}, {}),
        ({"disabled": True}, {}),
        ({"zone": "other"}, {"zone": "nova"}),
        ({"memory_mib_used": 7700}, {}),
        ({"vcpus_used": 4}, {"vcpu_ratio": 1.0}),
        ({}, {"tried": frozenset({"a"})}),
        ({}, {"host": "b"}),
        ({"servers": frozenset({"x"})}, {"different_host": ("x",)}),
        ({"servers": frozenset({"x"})}, {"group": Group(policy=ANTI_AFFINITY, servers=frozenset({"x"}))}),
        ({"servers": frozenset({"y"})}, {"extra_specs": {"aggregate_instance_extra_specs:ssd": "true"}}),
    ],
)
def test_a_host_that_does_not_fit_is_left_out(unfit: dict[str, Any], about: dict[str, Any]) -> None:
    fit = host("b", aggregates=({"ssd": "true"},))
    assert chosen([host("a", **unfit), fit], **about) == "b"
    assert chosen([host("a", **unfit)], **about) is None


def test_same_host_and_affinity_go_where_the_others_are() -> None:
    hosts = [host("a"), host("b", servers=frozenset({"x"}), memory_mib_used=4096)]
    assert chosen(hosts) == "a"
    assert chosen(hosts, same_host=("x",)) == "b"
    for policy in (AFFINITY, SOFT_AFFINITY):
        assert chosen(hosts, group=Group(policy=policy, servers=frozenset({"x"}))) == "b"
    assert chosen(hosts, group=Group(policy=AFFINITY)) == "a"  # the first of a group goes anywhere


def test_soft_anti_affinity_gives_way_when_there_is_no_other_host() -> None:
    group = Group(policy=SOFT_ANTI_AFFINITY, servers=frozenset({"x"}))
    there = host("a", servers=frozenset({"x"}))
    assert chosen([there, host("b", memory_mib_used=4096)], group=group) == "b"
    assert chosen([there], group=group) == "a"


def test_anti_affinity_takes_as_many_as_its_rule_says() -> None:
    group = Group(policy=ANTI_AFFINITY, servers=frozenset({"x"}), most_per_host=2)
    assert chosen([host("a", servers=frozenset({"x"}))], group=group) == "a"


def test_servers_are_spread_and_stay_where_they_are() -> None:
    hosts = [host("a", memory_mib_used=2048), host("b", memory_mib_used=1024), host("c", memory_mib_used=1024)]
    assert chosen(hosts) == "b"
    assert chosen(hosts, preferred="a") == "a"


def test_a_forced_host_is_taken_whatever_the_filters_say() -> None:
    assert chosen([host("a", disabled=True)], forced_host="a") == "a"


@pytest.mark.parametrize(
    ("wanted", "value", "fits"),
    [("4", "4", True), ("= 4", "5", True), (">= 4", "3", False), ("s== x", "x", True), ("<or> a <or> b", "b", True)],
)
def test_extra_specs_of_aggregates(wanted: str, value: str, fits: bool) -> None:
    there = host("a", aggregates=({"n": value},))
    specs = {"aggregate_instance_extra_specs:n": wanted}
    assert (chosen([there], extra_specs=specs) == "a") is fits


def test_operators_are_told_which_filter_left_nothing() -> None:
    demand = Demand(vcpus=1, memory_mib=99_999)
    assert why_not([host("a")], demand).endswith("has_memory leaves 0")


def test_requests_at_the_same_moment_do_not_overfill_a_host(tmp_path: Path) -> None:
    """Claims are counted in the transaction that adds one: on SQLite and on PostgreSQL."""
    service = Service(tmp_path)
    for name in ("one", "two"):
        service.see(name, memory_mib=1100)  # two of 512 MiB each
    ids = [service.begin_server(imageRef=service.images.put()) for _each in range(8)]
    refused = list[str]()

    def claim(server_id: str) -> None:
        def work(connection: Connection) -> None:
            server = servers.get(connection, server_id)
            placing.place(connection, service.settings, server, service.clock())

        try:
            retried(service.database, work)
        except placing.NoHost:
            refused.append(server_id)

    threads = [threading.Thread(target=claim, args=(each,)) for each in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 4
    with service.database.reading() as connection:
        assert {name: used.memory_mib for name, used in claims.used(connection).items()} == {"one": 1024, "two": 1024}


def test_quotas_are_exact_when_requests_come_at_the_same_moment(tmp_path: Path) -> None:
    service = Service(tmp_path)
    image_id = service.images.put()
    answers = list[int]()

    def ask() -> None:
        document = {"server": {"name": "x", "flavorRef": "42", "imageRef": image_id, "networks": "none"}}
        answers.append(service.member.request("POST", "/servers", document).status_code)

    threads = [threading.Thread(target=ask) for _each in range(13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [202] * 10 + [403] * 3
    assert len(service.member.get("/servers")["servers"]) == 10


def test_groups_hints_and_zones_are_kept(tmp_path: Path) -> None:
    service = Service(tmp_path)
    group = {"server_group": {"name": "apart", "policy": "anti-affinity"}}
    group_id = service.member.post("/os-server-groups", group)["server_group"]["id"]
    document = {"name": "x", "flavorRef": "1", "imageRef": service.images.put(), "networks": "none"}
    hints = {"os:scheduler_hints": {"group": group_id}}
    made = [service.member.post("/servers", {"server": document, **hints}, 202)["server"]["id"] for _each in range(3)]
    service.work()
    states = [service.server(each) for each in made]
    assert [each["status"] for each in states] == ["ACTIVE", "ACTIVE", "ERROR"]
    assert {each["OS-EXT-SRV-ATTR:host"] for each in states[:2]} == {"one", "two"}
    assert states[0]["server_groups"] == [group_id]
    forced = {**document, "availability_zone": "nova:two"}
    service.member.post("/servers", {"server": forced}, 403)
    forced_id = service.admin.post("/servers", {"server": forced}, 202)["server"]["id"]
    service.work()
    assert service.server(forced_id)["OS-EXT-SRV-ATTR:host"] == "two"
