"""storage.overview.ailments and tools.doctor: what is wrong, in words."""

import time

from cluster.config import DeviceConfig
from storage.health.condition import Condition, Health
from storage.overview.ailments import Ailment, is_grave, of_clocks, of_disks, of_replicas
from tools.doctor import lines

DEVICES = {"storage-3": DeviceConfig(id=3, node="b", directory="d")}


def told(condition: Condition, reason: str, seconds: float = 90) -> dict[str, object]:
    return {"health": Health(condition, reason, int((time.time() - seconds) * 1e6)).facts()}


def test_a_disk_that_fails_is_explained_with_what_is_done_and_what_can_be_done() -> None:
    (found,) = of_disks(DEVICES, {"storage-3": told(Condition.FAILING, "fdatasync: Input/output error")})
    sentence = found.sentence()
    assert sentence.startswith("The disk of device 3 (node b) is failing for 90 s (fdatasync: Input/output error): ")
    assert "comes back by itself" in sentence
    assert "Look at the kernel's log" in sentence


def test_what_is_well_or_unknown_is_not_mentioned() -> None:
    for health in (told(Condition.OK, ""), told(Condition.FILLING, "86%"), {}, {"health": None}):
        assert list(of_disks(DEVICES, {"storage-3": health})) == []
    assert list(of_disks(DEVICES, {})) == []
    assert list(of_clocks({"proxy-0": {"clock_off_s": None}, "proxy-1": {}}, 5.0)) == []
    assert list(of_replicas(DEVICES, {"storage-3": {"membership": {"state": "whole"}}})) == []


def test_clocks_that_are_off_are_told_with_their_direction() -> None:
    found = list(of_clocks({"storage-3": {"clock_off_s": 300.2}, "proxy-0": {"clock_off_s": -6.0}}, 5.0))
    assert [ailment.what for ailment in found] == [
        "The clock of storage-3 is 5 min ahead of the others'",
        "The clock of proxy-0 is 6 s behind the others'",
    ]
    assert list(of_clocks({"storage-3": {"clock_off_s": 4.9}}, 5.0)) == []


def test_a_device_that_is_filled_and_one_that_stands_in_are_told() -> None:
    membership = {"state": "rebuilding", "reason": "its disk is new", "partitions_done": 3, "partitions_total": 9}
    standing_in = {"partitions": 4, "for": [1, 2]}
    health = {"membership": membership, "standing_in": standing_in}
    rebuilding, holding = of_replicas(DEVICES, {"storage-3": health})
    assert "its disk is new; 3 of 9 partitions are whole again" in rebuilding.sentence()
    assert "4 partitions for device 1, 2" in holding.sentence()
    assert is_grave(health)
    assert is_grave(told(Condition.FULL, "96%"))
    assert not is_grave(told(Condition.CROWDED, "91%"))


def test_the_doctor_lists_problems_and_says_so_when_there_are_none() -> None:
    report = {"state": "degraded", "problems": [{"what": "It is ill", "doing": "it rests", "advice": "wait"}]}
    assert list(lines(report)) == ["1. It is ill", "   what is done: it rests", "   what you can do: wait"]
    assert list(lines({"state": "healthy", "problems": []})) == ["Nothing is wrong: the cluster is healthy."]
    assert Ailment("It is ill").sentence() == "It is ill."
