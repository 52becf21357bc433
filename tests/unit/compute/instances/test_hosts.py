"""Aggregates, zones, services, hypervisors: what there is of hosts. Source: Nova's API reference."""

from typing import Any

import pytest

from compute.agent.guest import HostState
from compute.instances import hosts
from compute.instances.hosts import Watcher
from compute.stored import NoSuch, Unreachable
from tests.unit.compute.instances.surroundings import SECOND_US, Surroundings, state_of


def aggregate(around: Surroundings, name: str = "a", zone: str | None = None, *members: str) -> int:
    wanted = {"name": name, **({"availability_zone": zone} if zone else {})}
    number = int(around.admin.post("/os-aggregates", {"aggregate": wanted})["aggregate"]["id"])
    for host in members:
        around.admin.post(f"/os-aggregates/{number}/action", {"add_host": {"host": host}})
    return number


def zones(around: Surroundings) -> dict[str, bool]:
    told = around.reader.get("/os-availability-zone")["availabilityZoneInfo"]
    return {each["zoneName"]: each["zoneState"]["available"] for each in told}


def services(around: Surroundings, minor: int = 96) -> dict[str, Any]:
    return {each["host"]: each for each in around.admin.speaking(minor).get("/os-services")["services"]}


# aggregates


def test_an_aggregate_is_made_changed_and_deleted(around: Surroundings) -> None:
    made = around.admin.post("/os-aggregates", {"aggregate": {"name": "a", "availability_zone": "z"}})["aggregate"]
    assert set(made) == {
        "id",
        "uuid",
        "name",
        "availability_zone",
        "created_at",
        "updated_at",
        "deleted",
        "deleted_at",
    }
    path = f"/os-aggregates/{made['id']}"
    shown = around.admin.get(path)["aggregate"]
    assert shown == {**made, "hosts": [], "metadata": {"availability_zone": "z"}}
    changed = around.admin.put(path, {"aggregate": {"name": "b", "availability_zone": "y"}})["aggregate"]
    assert (changed["name"], changed["availability_zone"]) == ("b", "y")
    around.admin.post("/os-aggregates", {"aggregate": {"name": "b"}}, 409)
    assert "uuid" not in around.admin.speaking(40).get(path)["aggregate"]
    around.admin.delete(path, 200)
    around.admin.get(path, 404)
    around.admin.get("/os-aggregates/x", 400)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"name": ""}, {"name": " a"}, {"name": "a" * 256}, {"name": "a", "availability_zone": "a:b"}, {"name": 1}],
)
def test_what_is_no_aggregate_is_refused(shared: Surroundings, wrong: dict[str, Any]) -> None:
    shared.admin.post("/os-aggregates", {"aggregate": wrong}, 400)


def test_hosts_come_and_go(around: Surroundings) -> None:
    path = f"/os-aggregates/{aggregate(around)}"
    told = around.admin.post(f"{path}/action", {"add_host": {"host": "one"}})["aggregate"]
    assert told["hosts"] == ["one"]
    around.admin.post(f"{path}/action", {"add_host": {"host": "one"}}, 409)
    around.admin.post(f"{path}/action", {"add_host": {"host": "nine"}}, 404)
    around.admin.post(f"{path}/action", {"remove_host": {"host": "two"}}, 404)
    around.admin.delete(path, 400)
    assert around.admin.post(f"{path}/action", {"remove_host": {"host": "one"}})["aggregate"]["hosts"] == []
    around.admin.delete(path, 200)


def test_metadata_is_set_and_taken_away(around: Surroundings) -> None:
    path = f"/os-aggregates/{aggregate(around)}/action"
    told = around.admin.post(path, {"set_metadata": {"metadata": {"fast": "yes", "x": "y"}}})["aggregate"]
    assert told["metadata"] == {"fast": "yes", "x": "y"}
    told = around.admin.post(path, {"set_metadata": {"metadata": {"x": None}}})["aggregate"]
    assert told["metadata"] == {"fast": "yes"}
    around.admin.post(path, {"set_metadata": {"metadata": {"availability_zone": None}}}, 400)
    around.admin.post(path, {"set_metadata": {"metadata": {"a/b": "x"}}}, 400)


def test_a_host_is_in_one_zone(around: Surroundings) -> None:
    aggregate(around, "a", "z", "one")
    other = aggregate(around, "b", "y")
    around.admin.post(f"/os-aggregates/{other}/action", {"add_host": {"host": "one"}}, 409)
    third = aggregate(around, "c", None, "one")
    around.admin.put(f"/os-aggregates/{third}", {"aggregate": {"availability_zone": "y"}}, 400)
    around.admin.put(f"/os-aggregates/{third}", {"aggregate": {"availability_zone": "z"}})


# zones


def test_zones_are_those_of_hosts(around: Surroundings) -> None:
    assert zones(around) == {"nova": True}
    aggregate(around, "a", "z", "one")
    assert zones(around) == {"nova": True, "z": True}
    around.admin.put(f"/os-services/{services(around)['one']['id']}", {"status": "disabled"})
    assert zones(around) == {"nova": True, "z": False}
    told = around.admin.get("/os-availability-zone/detail")["availabilityZoneInfo"]
    assert {each["zoneName"]: set(each["hosts"] or ()) for each in told} == {"nova": {"two"}, "z": set()}
    around.reader.get("/os-availability-zone/detail", 403)


# services


def test_a_host_that_is_not_seen_is_down(around: Surroundings) -> None:
    assert {each["state"] for each in services(around).values()} == {"up"}
    around.clock.now_us += 61 * SECOND_US
    around.see("two")
    assert {name: each["state"] for name, each in services(around).items()} == {"one": "down", "two": "up"}


def test_a_service_is_disabled_with_a_reason_and_enabled(around: Surroundings) -> None:
    path = f"/os-services/{services(around)['one']['id']}"
    told = around.admin.put(path, {"status": "disabled", "disabled_reason": "broken"})["service"]
    assert (told["status"], told["disabled_reason"], told["host"]) == ("disabled", "broken", "one")
    around.admin.put(path, {"status": "enabled", "disabled_reason": "x"}, 400)
    around.admin.put(path, {}, 400)
    told = around.admin.put(path, {"status": "enabled"})["service"]
    assert (told["status"], told["disabled_reason"]) == ("enabled", None)
    assert around.admin.put(path, {"forced_down": True})["service"]["state"] == "down"
    around.admin.put("/os-services/1", {"status": "enabled"}, 400)
    around.admin.put("/os-services/00000000-0000-4000-8000-000000000000", {"status": "enabled"}, 404)


def test_before_2_53_services_are_named(around: Surroundings) -> None:
    admin, named = around.admin.speaking(52), {"host": "one", "binary": "nova-compute"}
    told = admin.put("/os-services/disable", named)["service"]
    assert told == {**named, "status": "disabled"}
    told = admin.put("/os-services/disable-log-reason", {**named, "disabled_reason": "x"})["service"]
    assert told == {**named, "status": "disabled", "disabled_reason": "x"}
    admin.put("/os-services/disable-log-reason", named, 400)
    assert admin.put("/os-services/enable", named)["service"]["status"] == "enabled"
    assert admin.put("/os-services/force-down", {**named, "forced_down": True})["service"]["forced_down"] is True
    assert services(around, 11)["one"]["state"] == "down"
    assert "forced_down" not in services(around, 10)["one"]
    around.admin.speaking(10).put("/os-services/force-down", {**named, "forced_down": True}, 400)
    around.admin.speaking(10).put("/os-services/force-down", named, 404)
    admin.put("/os-services/other", named, 404)
    admin.put("/os-services/enable", {"host": "nine", "binary": "nova-compute"}, 404)
    admin.put("/os-services/enable", {"host": "one", "binary": "nova-scheduler"}, 400)


def test_services_are_found_by_host_and_binary(around: Surroundings) -> None:
    assert [each["host"] for each in around.admin.get("/os-services?host=two")["services"]] == ["two"]
    assert len(around.admin.get("/os-services?binary=nova-compute")["services"]) == 2
    assert around.admin.get("/os-services?binary=other")["services"] == []
    around.admin.get("/os-services?other=x", 400)


def test_a_host_that_is_gone_for_good_is_forgotten(around: Surroundings) -> None:
    number = aggregate(around, "a", None, "one")
    around.admin.delete(f"/os-services/{services(around)['one']['id']}")
    assert set(services(around)) == {"two"}
    assert around.admin.get(f"/os-aggregates/{number}")["aggregate"]["hosts"] == []


# hypervisors


def test_hypervisors_tell_what_hosts_have(around: Surroundings) -> None:
    told = around.admin.speaking(87).get("/os-hypervisors/detail")["hypervisors"]
    first = told[0]
    assert (first["hypervisor_hostname"], first["vcpus"], first["free_ram_mb"]) == ("one", 4, 8192)
    assert first["cpu_info"] == {"arch": "x86_64", "model": ""}
    newest = around.admin.get(f"/os-hypervisors/{first['id']}")["hypervisor"]
    assert "vcpus" not in newest
    assert newest["uptime"] == " 12:00:00 up 1 day"
    assert newest["service"]["host"] == "one"
    around.admin.get(f"/os-hypervisors/{first['id']}/uptime", 404)
    uptime = around.admin.speaking(87).get(f"/os-hypervisors/{first['id']}/uptime")["hypervisor"]
    assert uptime["uptime"] == " 12:00:00 up 1 day"


def test_hypervisors_have_numbers_before_2_53(around: Surroundings) -> None:
    admin = around.admin.speaking(52)
    assert [each["id"] for each in admin.get("/os-hypervisors")["hypervisors"]] == [1, 2]
    assert admin.get("/os-hypervisors/2")["hypervisor"]["service"] == {"id": 2, "host": "two", "disabled_reason": None}
    assert [each["id"] for each in admin.get("/os-hypervisors/tw/search")["hypervisors"]] == [2]
    assert admin.get("/os-hypervisors/one/servers")["hypervisors"][0]["hypervisor_hostname"] == "one"
    admin.get("/os-hypervisors/nine/search", 404)
    admin.get("/os-hypervisors/9", 404)
    around.admin.get("/os-hypervisors/2", 400)
    around.admin.get("/os-hypervisors/one/search", 404)


def test_hypervisors_are_searched_and_paged(around: Surroundings) -> None:
    found = around.admin.get("/os-hypervisors?hypervisor_hostname_pattern=tw&with_servers=true")["hypervisors"]
    assert [(each["hypervisor_hostname"], each["servers"]) for each in found] == [("two", [])]
    around.admin.get("/os-hypervisors?hypervisor_hostname_pattern=nine", 404)
    around.admin.get("/os-hypervisors?hypervisor_hostname_pattern=tw&limit=1", 400)
    around.admin.get("/os-hypervisors?other=1", 400)
    first = around.admin.get("/os-hypervisors?limit=1")
    rest = around.admin.get(first["hypervisors_links"][0]["href"].partition("falconframework.org")[2])
    assert [each["hypervisor_hostname"] for each in rest["hypervisors"]] == ["two"]


def test_statistics_are_of_all_hosts_in_service(around: Surroundings) -> None:
    told = around.admin.speaking(87).get("/os-hypervisors/statistics")["hypervisor_statistics"]
    assert (told["count"], told["vcpus"], told["memory_mb"]) == (2, 8, 16_384)
    around.admin.get("/os-hypervisors/statistics", 404)


def test_hosts_are_for_administrators(around: Surroundings) -> None:
    for path in ("/os-hypervisors", "/os-hypervisors/detail", "/os-services", "/os-aggregates"):
        around.member.get(path, 403)
    around.member.post("/os-aggregates", {"aggregate": {"name": "a"}}, 403)


def test_hosts_are_told_of_until_2_42(around: Surroundings) -> None:
    admin = around.admin.speaking(42)
    told = admin.get("/os-hosts")["hosts"]
    assert told[0] == {"host_name": "one", "service": "compute", "zone": "nova"}
    assert admin.get("/os-hosts?zone=other")["hosts"] == []
    (total, *_rest) = (each["resource"] for each in admin.get("/os-hosts/one")["host"])
    assert total == {"host": "one", "project": "(total)", "cpu": 4, "memory_mb": 8192, "disk_gb": 0}
    assert admin.put("/os-hosts/one", {"status": "disable"}) == {"host": "one", "status": "disabled"}
    assert [each["host_name"] for each in admin.get("/os-hosts")["hosts"]] == ["two"]
    admin.put("/os-hosts/one", {"status": "other"}, 400)
    admin.put("/os-hosts/one", {"maintenance_mode": "enable"}, 501)
    admin.get("/os-hosts/one/reboot", 501)
    admin.get("/os-hosts/nine/shutdown", 404)
    admin.get("/os-hosts/nine", 404)
    around.admin.get("/os-hosts", 404)


# how they are seen


class Asked:
    """Hosts that answer, or do not."""

    def __init__(self, **states: HostState | None) -> None:
        self.states = states

    def names(self) -> list[str]:
        return list(self.states)

    def get(self, name: str) -> Any:
        if name not in self.states:
            raise NoSuch(name)
        return self

    def state(self) -> HostState:
        for state in self.states.values():
            if state is None:
                raise Unreachable("away")
            return state
        raise AssertionError


def test_the_watcher_notes_what_answers_and_what_does_not(around: Surroundings) -> None:
    asked = Asked(three=state_of("three", vcpus=16))
    watcher = Watcher(around.database, asked, around.clock)
    watcher.step()
    asked.states["three"] = None
    watcher.step()
    with around.database.reading() as connection:
        found = hosts.get(connection, "three")
    assert found.state is not None
    assert (found.state.vcpus, found.number) == (16, 3)
    assert found.is_up(around.clock.now_us)
    assert not found.is_up(around.clock.now_us + 61 * SECOND_US)
    away = Watcher(around.database, Asked(four=None), around.clock)
    away.step()
    with around.database.reading() as connection:
        assert not hosts.get(connection, "four").is_up(around.clock.now_us)
