"""Quotas are exact, whoever asks how many times at once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.unit.compute.volumes.service import Service


def limit(service: Service, **limits: Any) -> None:
    service.admin.put(f"/os-quota-sets/{service.member.project_id}", {"quota_set": limits})


def used(service: Service) -> Any:
    return service.member.get(f"/os-quota-sets/{service.member.project_id}?usage=true")["quota_set"]


def test_fifty_requests_at_once_get_what_there_is(service: Service) -> None:
    limit(service, volumes=7, gigabytes=100)

    def ask(_number: int) -> int:
        return int(service.member.request("POST", "/volumes", {"volume": {"size": 2}}).status_code)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, range(50)))
    assert (answers.count(202), answers.count(413)) == (7, 43)
    assert used(service)["volumes"] == {"limit": 7, "in_use": 7, "reserved": 0}
    assert used(service)["gigabytes"]["in_use"] == 14
    service.work()
    assert len(service.member.get("/volumes?status=available")["volumes"]) == 7


def test_an_extension_reserves_what_it_will_take(service: Service) -> None:
    volume = service.member.make_volume()
    limit(service, gigabytes=4)
    service.member.act(volume["id"], "os-extend", {"new_size": 5}, 413)
    service.member.act(volume["id"], "os-extend", {"new_size": 3})
    assert used(service)["gigabytes"] == {"limit": 4, "in_use": 1, "reserved": 2}
    service.member.post("/volumes", {"volume": {"size": 2}}, 413)
    service.work()
    assert used(service)["gigabytes"] == {"limit": 4, "in_use": 3, "reserved": 0}
    service.member.make_volume(size=1)


def test_snapshots_and_backups_have_theirs(service: Service) -> None:
    volume = service.member.make_volume()
    limit(service, snapshots=1, backups=1, gigabytes=2)
    service.member.make_snapshot(volume["id"])
    refused = service.member.post("/snapshots", {"snapshot": {"volume_id": volume["id"]}}, 413)
    assert refused["overLimit"]["message"] == "Maximum number of snapshots allowed (1) exceeded for quota 'snapshots'."
    service.member.make_backup(volume["id"])
    service.member.post("/backups", {"backup": {"volume_id": volume["id"]}}, 413)
    limit(service, snapshots=5)
    service.member.post("/snapshots", {"snapshot": {"volume_id": volume["id"]}}, 413)  # gigabytes


def test_a_single_volume_and_a_type_have_limits(service: Service) -> None:
    limit(service, per_volume_gigabytes=2)
    service.member.post("/volumes", {"volume": {"size": 3}}, 413)
    service.admin.post("/types", {"volume_type": {"name": "gold"}}, 200)
    limit(service, volumes_gold=1)
    volume = service.member.make_volume(volume_type="gold")
    service.member.post("/volumes", {"volume": {"size": 1, "volume_type": "gold"}}, 413)
    other = service.member.make_volume()
    service.member.act(other["id"], "os-retype", {"new_type": "gold"}, 413)
    assert used(service)["volumes_gold"]["in_use"] == 1
    service.member.delete(f"/volumes/{volume['id']}")
    service.work()
    service.member.act(other["id"], "os-retype", {"new_type": "gold"})


def test_who_sets_and_sees_quotas(service: Service) -> None:
    path = f"/os-quota-sets/{service.member.project_id}"
    assert service.member.get(path)["quota_set"]["volumes"] == 10
    service.member.put(path, {"quota_set": {"volumes": 100}}, 403)
    service.stranger.get(path, 403)
    limit(service, volumes="3")
    assert service.member.get(path)["quota_set"]["volumes"] == 3
    assert service.member.get(f"{path}/defaults")["quota_set"]["volumes"] == 10
    service.admin.delete(path, 200)
    assert service.member.get(path)["quota_set"]["volumes"] == 10


@pytest.mark.parametrize(
    "wanted", [{"volumes": "many"}, {"volumes": -2}, {"nothing": 1}, {}, {"volumes": 2**31}, {"volumes": True}]
)
def test_limits_that_are_none_are_refused(service: Service, wanted: dict[str, Any]) -> None:
    service.admin.put(f"/os-quota-sets/{service.member.project_id}", {"quota_set": wanted}, 400)


def test_the_default_class_is_for_all(service: Service) -> None:
    service.admin.put("/os-quota-class-sets/default", {"quota_class_set": {"volumes": 0}})
    assert service.admin.get("/os-quota-class-sets/default")["quota_class_set"]["volumes"] == 0
    service.member.post("/volumes", {"volume": {"size": 1}}, 413)
    service.member.get("/os-quota-class-sets/default", 403)


def test_limits_tell_what_is_used(service: Service) -> None:
    service.member.make_volume(size=3)
    told = service.member.get("/limits")["limits"]["absolute"]
    assert (told["maxTotalVolumes"], told["totalVolumesUsed"], told["totalGigabytesUsed"]) == (10, 1, 3)
    told = service.admin.get(f"/limits?project_id={service.member.project_id}")["limits"]["absolute"]
    assert told["totalVolumesUsed"] == 1
