"""Quotas, quota classes, limits. Source: Nova's API reference."""

from typing import Any

import pytest

from cluster.controlplane.database import retried
from compute.instances import quotas
from compute.instances.errors import OverQuota
from compute.instances.settings import QuotaDefaults
from tests.unit.compute.instances.surroundings import ALICES, BOBS, Surroundings

OWN = f"/os-quota-sets/{ALICES}"
NEWEST = {"instances", "cores", "ram", "key_pairs", "server_groups", "server_group_members", "metadata_items", "id"}
FILES = {"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"}
PROXIED = {"fixed_ips", "floating_ips", "security_groups", "security_group_rules"}


def require(around: Surroundings, **added: int) -> None:
    retried(
        around.database,
        lambda connection: quotas.require(connection, QuotaDefaults(), ALICES, "user-alice", added),
    )


def test_quotas_are_set_shown_and_reset(around: Surroundings) -> None:
    told = around.admin.put(OWN, {"quota_set": {"instances": "3", "cores": -1}})["quota_set"]
    assert (told["instances"], told["cores"], "id" in told) == (3, -1, False)
    shown = around.reader.get(OWN)["quota_set"]
    assert shown == {"id": ALICES, **told}
    assert around.reader.get(f"{OWN}/defaults")["quota_set"]["instances"] == 10
    assert around.reader.get(f"{OWN}/detail")["quota_set"]["instances"] == {"limit": 3, "in_use": 0, "reserved": 0}
    around.admin.delete(OWN, 202)
    assert around.reader.get(OWN)["quota_set"]["instances"] == 10


@pytest.mark.parametrize(("minor", "names"), [(1, NEWEST | FILES | PROXIED), (36, NEWEST | FILES), (57, NEWEST)])
def test_versions_show_what_they_know(around: Surroundings, minor: int, names: set[str]) -> None:
    client = around.member.speaking(minor)
    for path in (OWN, f"{OWN}/defaults", f"{OWN}/detail"):
        assert set(client.get(path)["quota_set"]) == names
    around.admin.speaking(minor).put(OWN, {"quota_set": dict.fromkeys(names - {"id"}, 7)})
    around.admin.speaking(minor).put(OWN, {"quota_set": {"other": 7}}, 400)
    told = around.admin.speaking(minor).get("/os-quota-class-sets/default")["quota_class_set"]
    groups = {"server_groups", "server_group_members"}
    assert set(told) == ((NEWEST | FILES | PROXIED) - groups if minor < 50 else names)


@pytest.mark.parametrize("wrong", [{"instances": "many"}, {"instances": -2}, {"instances": 2**31}, {"instances": None}])
def test_limits_that_are_none_are_refused(shared: Surroundings, wrong: dict[str, Any]) -> None:
    shared.admin.put(OWN, {"quota_set": wrong}, 400)
    shared.admin.put("/os-quota-class-sets/default", {"quota_class_set": wrong}, 400)


def test_a_limit_is_not_less_than_what_is_used_unless_forced(around: Surroundings) -> None:
    document = {"server_group": {"name": "g", "policy": "affinity"}}
    for _number in range(2):
        around.member.post("/os-server-groups", document)
    refused = around.admin.put(OWN, {"quota_set": {"server_groups": 1}}, 400)["badRequest"]["message"]
    assert "must be greater than or equal to already used and reserved 2" in refused
    around.admin.put(OWN, {"quota_set": {"server_groups": 1, "force": True}})
    around.member.post("/os-server-groups", document, 403)


def test_a_users_limit_is_within_that_of_the_project(around: Surroundings) -> None:
    path = f"{OWN}?user_id=user-alice"
    around.admin.put(path, {"quota_set": {"server_groups": 11}}, 400)
    around.admin.put(path, {"quota_set": {"server_groups": 1}})
    assert around.admin.get(path)["quota_set"]["server_groups"] == 1
    assert around.admin.get(OWN)["quota_set"]["server_groups"] == 10
    document = {"server_group": {"name": "g", "policy": "affinity"}}
    around.member.post("/os-server-groups", document)
    around.member.post("/os-server-groups", document, 403)
    around.client("anna", ("member", "reader"), ALICES).post("/os-server-groups", document)
    around.admin.delete(path, 202)
    around.member.post("/os-server-groups", document)


def test_the_default_class_is_for_all(around: Surroundings) -> None:
    around.admin.put("/os-quota-class-sets/default", {"quota_class_set": {"instances": 0}})
    assert around.member.get(OWN)["quota_set"]["instances"] == 0
    with pytest.raises(OverQuota, match=r"Requested 2, but already used 0 of 0 instances"):
        require(around, instances=2, cores=2)
    around.member.get("/os-quota-class-sets/default", 403)


def test_all_that_is_too_much_is_named(around: Surroundings) -> None:
    around.admin.put(OWN, {"quota_set": {"instances": 1, "cores": 2}})
    require(around, instances=1, cores=2, ram=64)
    with pytest.raises(OverQuota) as caught:
        require(around, instances=2, cores=3, ram=64)
    words = "Quota exceeded for cores, instances: Requested 3, 2, but already used 0, 0 of 2, 1 cores, instances"
    assert str(caught.value) == words


def test_who_sets_and_sees_quotas(around: Surroundings) -> None:
    around.member.put(OWN, {"quota_set": {"instances": 100}}, 403)
    around.stranger.get(OWN, 403)
    around.stranger.get(f"{OWN}/detail", 403)
    around.stranger.get(f"{OWN}/defaults")
    around.member.delete(OWN, 403)


def test_limits_tell_what_is_used(around: Surroundings) -> None:
    around.member.post("/os-server-groups", {"server_group": {"name": "g", "policy": "affinity"}})
    told = around.member.get("/limits")["limits"]["absolute"]
    assert (told["maxTotalInstances"], told["totalInstancesUsed"], told["totalServerGroupsUsed"]) == (10, 0, 1)
    assert around.admin.get(f"/limits?tenant_id={ALICES}")["limits"]["absolute"] == told
    around.member.get(f"/limits?tenant_id={BOBS}", 403)
    assert "maxImageMeta" not in told
    oldest = around.member.speaking(1).get("/limits")["limits"]["absolute"]
    assert {"maxImageMeta", "maxPersonality", "maxSecurityGroups", "totalFloatingIpsUsed"} <= set(oldest)
