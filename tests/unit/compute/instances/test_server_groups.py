"""Server groups. Source: Nova's API reference."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cluster.controlplane.database import retried
from compute.instances import server_groups
from tests.unit.compute.instances.surroundings import ALICES, Surroundings


def wanted(**attributes: Any) -> dict[str, Any]:
    return {"server_group": {"name": "g", "policy": "affinity", **attributes}}


def test_a_group_is_made_shown_listed_and_deleted(around: Surroundings) -> None:
    made = around.member.post("/os-server-groups", wanted(policy="anti-affinity", rules={"max_server_per_host": "3"}))
    group = made["server_group"]
    assert group == {
        "id": group["id"],
        "name": "g",
        "members": [],
        "policy": "anti-affinity",
        "rules": {"max_server_per_host": 3},
        "project_id": ALICES,
        "user_id": "user-alice",
    }
    path = f"/os-server-groups/{group['id']}"
    assert around.reader.get(path) == made
    assert around.reader.get("/os-server-groups")["server_groups"] == [group]
    around.reader.delete(path, 403)
    around.member.delete(path)
    around.member.get(path, 404)


@pytest.mark.parametrize("minor", [1, 12, 13, 63])
def test_before_2_64_a_group_has_a_list_of_one_policy(around: Surroundings, minor: int) -> None:
    document = {"server_group": {"name": "g", "policies": ["affinity"]}}
    group = around.member.speaking(minor).post("/os-server-groups", document)["server_group"]
    assert (group["policies"], group["metadata"]) == (["affinity"], {})
    assert ("project_id" in group) == (minor >= 13)
    assert around.member.get(f"/os-server-groups/{group['id']}")["server_group"]["policy"] == "affinity"


def test_soft_policies_from_2_15_on(around: Surroundings) -> None:
    document = {"server_group": {"name": "g", "policies": ["soft-affinity"]}}
    around.member.speaking(14).post("/os-server-groups", document, 400)
    around.member.speaking(15).post("/os-server-groups", document)
    around.member.post("/os-server-groups", wanted(policy="soft-anti-affinity"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"policy": "other"},
        {"policy": None},
        {"policies": ["affinity"]},
        {"name": ""},
        {"name": " g"},
        {"rules": {"max_server_per_host": 2}},
        {"policy": "anti-affinity", "rules": {"max_server_per_host": 0}},
        {"policy": "anti-affinity", "rules": {"other": 1}},
        {"other": 1},
    ],
)
def test_what_is_no_group_is_refused(shared: Surroundings, wrong: dict[str, Any]) -> None:
    shared.member.post("/os-server-groups", wanted(**wrong), 400)


@pytest.mark.parametrize("policies", [[], ["affinity", "anti-affinity"], ["affinity", "affinity"], "affinity"])
def test_lists_of_policies_that_are_refused(shared: Surroundings, policies: Any) -> None:
    document = {"server_group": {"name": "g", "policies": policies}}
    shared.member.speaking(63).post("/os-server-groups", document, 400)


def test_groups_are_of_projects(around: Surroundings) -> None:
    group = around.member.post("/os-server-groups", wanted())["server_group"]
    path = f"/os-server-groups/{group['id']}"
    around.stranger.get(path, 404)
    around.stranger.delete(path, 404)
    assert around.stranger.get("/os-server-groups?all_projects=1")["server_groups"] == []
    assert around.admin.get("/os-server-groups")["server_groups"] == []
    assert around.admin.get("/os-server-groups?all_projects=1")["server_groups"] == [group]


def test_pages_by_limit_and_offset(around: Surroundings) -> None:
    ids = [around.member.post("/os-server-groups", wanted(name=name))["server_group"]["id"] for name in "abc"]
    listed = around.member.get("/os-server-groups?limit=1&offset=1")["server_groups"]
    assert [each["id"] for each in listed] == ids[1:2]
    around.member.get("/os-server-groups?limit=x", 400)
    around.member.get("/os-server-groups?other=x", 400)


def test_members_are_shown_in_the_order_of_joining(around: Surroundings) -> None:
    group_id = around.member.post("/os-server-groups", wanted())["server_group"]["id"]
    for server_id in ("z", "a", "m"):
        retried(around.database, lambda connection, each=server_id: server_groups.join(connection, group_id, each))  # type: ignore[misc]
    assert around.member.get(f"/os-server-groups/{group_id}")["server_group"]["members"] == ["z", "a", "m"]
    retried(around.database, lambda connection: server_groups.leave(connection, "a"))
    assert around.member.get("/os-server-groups")["server_groups"][0]["members"] == ["z", "m"]
    around.member.delete(f"/os-server-groups/{group_id}")
    with around.database.reading() as connection:
        assert server_groups.of_server(connection, "z") is None


def test_many_at_once_get_as_many_as_there_may_be(around: Surroundings) -> None:
    def ask(_number: int) -> int:
        return int(around.member.request("POST", "/os-server-groups", wanted()).status_code)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))
    assert (answers.count(200), answers.count(403)) == (10, 10)
    detail = around.member.get(f"/os-quota-sets/{ALICES}/detail")["quota_set"]
    assert detail["server_groups"] == {"limit": 10, "in_use": 10, "reserved": 0}
