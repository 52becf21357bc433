"""Groups, roles, grants and role assignments over HTTP. Source: Keystone's API reference, "Groups", "Roles"."""

from typing import Any

import pytest

from tests.unit.identity.keystone.service import Service


def test_groups_have_members(service: Service) -> None:
    group = service.admin.make("group", name="ops", description="those")
    assert group["domain_id"] == "default"
    ann = service.admin.make("user", name="ann")
    members = f"/v3/groups/{group['id']}/users"
    service.admin.put(f"{members}/{ann['id']}")
    service.admin.put(f"{members}/{ann['id']}")
    service.admin.head(f"{members}/{ann['id']}", 204)
    assert service.admin.get(members)["users"] == [ann]
    service.admin.delete(f"{members}/{ann['id']}")
    service.admin.head(f"{members}/{ann['id']}", 404)
    service.admin.delete(f"{members}/{ann['id']}", 404)
    service.admin.put(f"{members}/{'0' * 32}", status=404)
    assert service.admin.get(members)["users"] == []
    path = f"/v3/groups/{group['id']}"
    assert service.admin.patch(path, {"group": {"name": "dev"}})["group"]["description"] == "those"
    service.admin.delete(path)
    service.admin.get(members, 404)


def test_roles_are_made_listed_and_deleted(service: Service) -> None:
    role = service.admin.make("role", name="auditor", description="looks")
    assert role == {
        "id": role["id"],
        "name": "auditor",
        "domain_id": None,
        "description": "looks",
        "options": {},
        "links": {"self": f"http://falconframework.org/v3/roles/{role['id']}"},
    }
    own = service.admin.make("role", name="auditor", domain_id="default")
    assert own["id"] not in [each["id"] for each in service.admin.get("/v3/roles")["roles"]]
    assert service.admin.get("/v3/roles?domain_id=default")["roles"] == [own]
    assert service.admin.get("/v3/roles?name=auditor")["roles"] == [role]
    service.admin.post("/v3/roles", {"role": {"name": "auditor"}}, 409)
    service.admin.patch(f"/v3/roles/{role['id']}", {"role": {"domain_id": "default"}}, 400)
    service.admin.patch(f"/v3/roles/{role['id']}", {"role": {"options": {"immutable": True}}})
    service.admin.delete(f"/v3/roles/{role['id']}", 403)
    service.admin.delete(f"/v3/roles/{own['id']}")
    service.admin.get(f"/v3/roles/{own['id']}", 404)


def test_roles_imply_roles(service: Service) -> None:
    one, two = (service.admin.make("role", name=name) for name in ("one", "two"))
    path = f"/v3/roles/{one['id']}/implies"
    made = service.admin.put(f"{path}/{two['id']}", status=201)["role_inference"]
    assert (made["prior_role"]["id"], made["implies"]["name"]) == (one["id"], "two")
    assert service.admin.put(f"{path}/{two['id']}", status=201)["role_inference"] == made
    assert service.admin.get(f"{path}/{two['id']}")["role_inference"] == made
    service.admin.head(f"{path}/{two['id']}", 204)
    assert [each["id"] for each in service.admin.get(path)["role_inference"]["implies"]] == [two["id"]]
    rules = service.admin.get("/v3/role_inferences")["role_inferences"]
    assert made["prior_role"] in [rule["prior_role"] for rule in rules]
    service.admin.put(f"/v3/roles/{two['id']}/implies/{one['id']}", status=400)
    service.admin.put(f"{path}/{service.roles['admin'].id}", status=403)
    service.admin.put(f"{path}/{'0' * 32}", status=404)
    service.admin.delete(f"{path}/{two['id']}")
    service.admin.head(f"{path}/{two['id']}", 404)
    service.admin.delete(f"{path}/{two['id']}", 404)


@pytest.mark.parametrize("actor", ["user", "group"])
@pytest.mark.parametrize("target", ["project", "domain", "system", "inherited project", "inherited domain"])
def test_a_role_is_granted_checked_listed_and_withdrawn(service: Service, actor: str, target: str) -> None:
    holder = service.admin.make(actor)
    kind = target.split(" ")[-1]
    place = "system" if kind == "system" else f"{kind}s/{service.project.id if kind == 'project' else 'default'}"
    roles = f"{place}/{actor}s/{holder['id']}/roles"
    role_id, end = service.roles["reader"].id, ""
    if target.startswith("inherited"):
        roles, end = f"OS-INHERIT/{roles}", "/inherited_to_projects"
    single = f"/v3/{roles}/{role_id}{end}"
    service.admin.head(single, 404)
    service.admin.put(single)
    service.admin.put(single)
    service.admin.head(single, 204)
    service.admin.get(single, 204)
    assert [each["id"] for each in service.admin.get(f"/v3/{roles}{end}")["roles"]] == [role_id]
    entries = service.admin.get(f"/v3/role_assignments?{actor}.id={holder['id']}")["role_assignments"]
    assert [each["links"]["assignment"] for each in entries] == [f"http://falconframework.org{single}"]
    assert ("OS-INHERIT:inherited_to" in entries[0]["scope"]) == target.startswith("inherited")
    service.admin.delete(single)
    service.admin.delete(single, 404)
    assert service.admin.get(f"/v3/{roles}{end}")["roles"] == []


def test_grants_name_what_is_there(service: Service) -> None:
    reader, ann = service.roles["reader"].id, service.admin.make("user", name="ann")
    gone = "0" * 32
    for path in (
        f"projects/{gone}/users/{ann['id']}/roles/{reader}",
        f"projects/{service.project.id}/users/{gone}/roles/{reader}",
        f"projects/{service.project.id}/users/{ann['id']}/roles/{gone}",
        f"domains/{service.project.id}/users/{ann['id']}/roles/{reader}",
    ):
        service.admin.put(f"/v3/{path}", status=404)
        service.client("member", ("member",), project_id=service.project.id).put(f"/v3/{path}", status=403)


def test_a_manager_of_a_domain_grants_ordinary_roles_within_it(service: Service) -> None:
    domain = service.admin.make("domain", name="other")
    ann = service.admin.make("user", name="ann", domain_id=domain["id"])
    web = service.admin.make("project", name="web", domain_id=domain["id"])
    manager = service.client("manager", ("manager",), domain_id=domain["id"])
    grants = f"projects/{web['id']}/users/{ann['id']}/roles"
    manager.put(f"/v3/{grants}/{service.roles['member'].id}")
    manager.put(f"/v3/{grants}/{service.roles['admin'].id}", status=403)
    foreign = f"projects/{service.project.id}/users/{ann['id']}/roles/{service.roles['member'].id}"
    manager.put(f"/v3/{foreign}", status=403)
    entries = service.client("r", ("reader",), domain_id=domain["id"]).get("/v3/role_assignments")["role_assignments"]
    assert [each["scope"] for each in entries] == [{"project": {"id": web["id"]}}]


def entries(service: Service, query: str) -> list[Any]:
    found: list[Any] = service.admin.get(f"/v3/role_assignments?{query}")["role_assignments"]
    return found


def test_effective_assignments_follow_groups_inheritance_and_implied_roles(service: Service) -> None:
    ann, group = service.admin.make("user", name="ann"), service.admin.make("group")
    service.admin.put(f"/v3/groups/{group['id']}/users/{ann['id']}")
    top = service.admin.make("project", name="top")
    low = service.admin.make("project", name="low", parent_id=top["id"])
    member, reader = service.roles["member"].id, service.roles["reader"].id
    grant = f"/v3/OS-INHERIT/projects/{top['id']}/groups/{group['id']}/roles/{member}/inherited_to_projects"
    service.admin.put(grant)
    assert entries(service, f"user.id={ann['id']}") == []
    found = entries(service, f"user.id={ann['id']}&effective")
    assert {each["role"]["id"] for each in found} == {member, reader}
    assert all(each["scope"] == {"project": {"id": low["id"]}} for each in found)
    implied = next(each for each in found if each["role"]["id"] == reader)
    root = "http://falconframework.org/v3"
    assert implied["links"] == {
        "assignment": f"http://falconframework.org{grant}",
        "membership": f"{root}/groups/{group['id']}/users/{ann['id']}",
        "prior_role": f"{root}/prior_role/{member}/implies/{reader}",
    }
    assert entries(service, f"scope.project.id={top['id']}&effective=True") == []
    assert len(entries(service, f"scope.project.id={low['id']}&effective=True&role.id={reader}")) == 1
    assert len(entries(service, f"scope.project.id={low['id']}&effective=0")) == 0
    (named,) = entries(service, f"group.id={group['id']}&include_names")
    assert named["group"] == {
        "id": group["id"],
        "name": group["name"],
        "domain": {"id": "default", "name": "Default"},
    }
    assert named["role"] == {"id": member, "name": "member"}
    assert named["scope"]["OS-INHERIT:inherited_to"] == "projects"


def test_assignments_in_a_subtree(service: Service) -> None:
    ann = service.admin.make("user", name="ann")
    top = service.admin.make("project", name="top")
    low = service.admin.make("project", name="low", parent_id=top["id"])
    reader = service.roles["reader"].id
    for project in (top, low):
        service.admin.put(f"/v3/projects/{project['id']}/users/{ann['id']}/roles/{reader}")
    assert len(entries(service, f"scope.project.id={top['id']}")) == 1
    assert len(entries(service, f"scope.project.id={top['id']}&include_subtree")) == 2
    assert len(entries(service, f"scope.project.id={top['id']}&include_subtree&effective")) == 2


@pytest.mark.parametrize(
    "query",
    [
        "user.id=a&group.id=b",
        "effective&group.id=b",
        "include_subtree",
        "scope.project.id=a&scope.domain.id=b",
        "scope.system=all&scope.domain.id=b",
    ],
)
def test_contradictions_are_refused(service: Service, query: str) -> None:
    service.admin.get(f"/v3/role_assignments?{query}", 400)


def test_a_domains_own_role_stands_for_what_it_implies(service: Service) -> None:
    ann = service.admin.make("user", name="ann")
    own = service.admin.make("role", name="own", domain_id="default")
    service.admin.put(f"/v3/projects/{service.project.id}/users/{ann['id']}/roles/{own['id']}")
    query = f"user.id={ann['id']}&scope.project.id={service.project.id}&effective"
    assert entries(service, query) == []
    assert service.admin.get(f"/v3/users/{ann['id']}/projects")["projects"] == []
    service.admin.put(f"/v3/roles/{own['id']}/implies/{service.roles['reader'].id}", status=201)
    assert [each["role"]["id"] for each in entries(service, query)] == [service.roles["reader"].id]
    assert len(service.admin.get(f"/v3/users/{ann['id']}/projects")["projects"]) == 1
    service.admin.put(f"/v3/system/users/{ann['id']}/roles/{own['id']}", status=400)


def test_a_domains_own_role_may_imply_that_of_another_domain_and_none_of_all_domains_may_imply_it(
    service: Service,
) -> None:
    """tempest, test_implied_domain_roles."""
    own = service.admin.make("role", name="own", domain_id="default")
    other = service.admin.make("role", name="other", domain_id=service.admin.make("domain")["id"])
    service.admin.put(f"/v3/roles/{own['id']}/implies/{other['id']}", status=201)
    service.admin.put(f"/v3/roles/{service.roles['reader'].id}/implies/{own['id']}", status=403)


def test_what_is_deleted_takes_its_assignments_along(service: Service) -> None:
    ann, web, role = (service.admin.make(kind) for kind in ("user", "project", "role"))
    for path, thing in (("users", ann), ("projects", web), ("roles", role)):
        other = {"users": service.user.id, "projects": service.project.id, "roles": service.roles["reader"].id}
        ids = {**other, path: thing["id"]}
        service.admin.put(f"/v3/projects/{ids['projects']}/users/{ids['users']}/roles/{ids['roles']}")
        before = len(entries(service, ""))
        service.admin.delete(f"/v3/{path}/{thing['id']}")
        assert len(entries(service, "")) == before - 1
