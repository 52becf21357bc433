"""Usage: how long servers were there. Source: Nova's API reference."""

from cluster.controlplane.database import retried
from compute.instances import usage
from compute.instances.flavors import Flavor
from compute.instances.moments import iso_micro
from tests.unit.compute.instances.surroundings import ALICES, BOBS, SECOND_US, START_US, Surroundings

HOUR_US = 3600 * SECOND_US
SMALL = Flavor(id="s", name="small", memory_mib=100, vcpus=1, disk_gb=2, ephemeral_gb=1)
LARGE = Flavor(id="l", name="large", memory_mib=200, vcpus=4, disk_gb=10)


def begin(around: Surroundings, server_id: str, project_id: str, hour: int, flavor: Flavor = SMALL) -> None:
    now_us = START_US + hour * HOUR_US
    retried(
        around.database,
        lambda connection: usage.begin(connection, server_id, project_id, "u", f"name-{server_id}", flavor, now_us),
    )


def end(around: Surroundings, server_id: str, hour: int) -> None:
    retried(around.database, lambda connection: usage.end(connection, server_id, START_US + hour * HOUR_US))


def span(first: int, last: int) -> str:
    return f"start={iso_micro(START_US + first * HOUR_US)}&end={iso_micro(START_US + last * HOUR_US)}"


def test_hours_within_the_time_are_counted(around: Surroundings) -> None:
    around.clock.now_us = START_US + 100 * HOUR_US
    begin(around, "one", ALICES, 0)
    begin(around, "one", ALICES, 4, LARGE)  # resized
    end(around, "one", 6)
    begin(around, "two", ALICES, 5)
    begin(around, "other", BOBS, 0)
    told = around.reader.get(f"/os-simple-tenant-usage/{ALICES}?{span(2, 8)}")["tenant_usage"]
    assert told["total_hours"] == 2 + 2 + 3
    assert told["total_vcpus_usage"] == 2 * 1 + 2 * 4 + 3 * 1
    assert told["total_memory_mb_usage"] == 2 * 100 + 2 * 200 + 3 * 100
    assert told["total_local_gb_usage"] == 2 * 3 + 2 * 10 + 3 * 3
    states = [(each["instance_id"], each["flavor"], each["state"]) for each in told["server_usages"]]
    assert states == [("one", "small", "terminated"), ("one", "large", "terminated"), ("two", "small", "active")]


def test_administrators_see_all_projects(around: Surroundings) -> None:
    around.clock.now_us = START_US + 100 * HOUR_US
    begin(around, "one", ALICES, 0)
    begin(around, "other", BOBS, 0)
    told = around.admin.get(f"/os-simple-tenant-usage?{span(0, 1)}")["tenant_usages"]
    assert {each["tenant_id"] for each in told} == {ALICES, BOBS}
    assert "server_usages" not in told[0]
    told = around.admin.get(f"/os-simple-tenant-usage?{span(0, 1)}&detailed=1")["tenant_usages"]
    assert sorted(each["server_usages"][0]["name"] for each in told) == ["name-one", "name-other"]
    around.member.get("/os-simple-tenant-usage", 403)
    around.stranger.get(f"/os-simple-tenant-usage/{ALICES}", 403)


def test_pages_from_2_40_on(around: Surroundings) -> None:
    around.clock.now_us = START_US + 100 * HOUR_US
    for name in ("one", "two"):
        begin(around, name, ALICES, 0)
    first = around.reader.get(f"/os-simple-tenant-usage/{ALICES}?{span(0, 1)}&limit=1")
    assert len(first["tenant_usage"]["server_usages"]) == 1
    link = first["tenant_usage_links"][0]["href"].partition("falconframework.org")[2]
    assert len(around.reader.get(link)["tenant_usage"]["server_usages"]) == 1
    old = around.reader.speaking(39).get(f"/os-simple-tenant-usage/{ALICES}?{span(0, 1)}&limit=1")
    assert len(old["tenant_usage"]["server_usages"]) == 2


def test_times_that_are_none_are_refused(around: Surroundings) -> None:
    path = f"/os-simple-tenant-usage/{ALICES}"
    for wrong in (span(2, 1), "start=yesterday", "end=9999999999"):
        around.reader.get(f"{path}?{wrong}", 400)
