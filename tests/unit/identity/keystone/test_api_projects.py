"""Projects, their tags, and domains over HTTP. Source: Keystone's API reference, the sections of these names."""

from typing import Any

from tests.unit.identity.keystone.service import Service


def test_a_project_is_made_shown_changed_and_deleted(service: Service) -> None:
    made = service.admin.make("project", name="web", tags=["b", "a"], cost="42")
    assert made == {
        "id": made["id"],
        "name": "web",
        "domain_id": "default",
        "parent_id": "default",
        "is_domain": False,
        "enabled": True,
        "description": "",
        "options": {},
        "tags": ["a", "b"],
        "cost": "42",
        "links": {"self": f"http://falconframework.org/v3/projects/{made['id']}"},
    }
    path = f"/v3/projects/{made['id']}"
    assert service.admin.get(path) == {"project": made}
    assert made in service.admin.get("/v3/projects")["projects"]
    changed = service.admin.patch(path, {"project": {"description": "sites", "cost": None, "tags": ["c"]}})["project"]
    assert (changed["description"], changed["cost"], changed["tags"]) == ("sites", None, ["c"])
    service.admin.delete(path)
    service.admin.get(path, 404)
    service.admin.delete(path, 404)


def test_names_are_taken_once_per_domain_and_are_not_too_long(service: Service) -> None:
    service.admin.make("project", name="web")
    service.admin.post("/v3/projects", {"project": {"name": "web"}}, 409)
    service.admin.post("/v3/projects", {"project": {"name": "x" * 65}}, 400)
    service.admin.post("/v3/projects", {"project": {"name": ""}}, 400)


def tree(service: Service, depth: int) -> list[Any]:
    """Return projects one below the other."""
    found: list[Any] = []
    for index in range(depth):
        parent = {"parent_id": found[-1]["id"]} if found else {}
        found.append(service.admin.make("project", name=f"level{index}", **parent))
    return found


def test_trees_are_bounded(service: Service) -> None:
    projects = tree(service, 5)
    service.admin.post("/v3/projects", {"project": {"name": "x", "parent_id": projects[-1]["id"]}}, 403)


def test_a_child_is_in_the_domain_of_its_parent(service: Service) -> None:
    other = service.admin.make("domain", name="other")
    parent = service.admin.make("project", domain_id=other["id"])
    child = service.admin.make("project", name="child", parent_id=parent["id"])
    assert child["domain_id"] == other["id"]
    wish = {"name": "x", "parent_id": parent["id"], "domain_id": "default"}
    service.admin.post("/v3/projects", {"project": wish}, 400)
    service.admin.post("/v3/projects", {"project": {"name": "x", "parent_id": "0" * 32}}, 404)
    service.admin.post("/v3/projects", {"project": {"name": "x", "domain_id": "0" * 32}}, 404)


def test_relatives_are_shown_as_asked_for(service: Service) -> None:
    top, middle, low = tree(service, 3)
    path = f"/v3/projects/{middle['id']}"
    shown = service.admin.get(f"{path}?parents_as_ids&subtree_as_ids")["project"]
    assert shown["parents"] == {top["id"]: {"default": None}}
    assert shown["subtree"] == {low["id"]: None}
    shown = service.admin.get(f"{path}?parents_as_list&subtree_as_list")["project"]
    assert (shown["parents"], shown["subtree"]) == ([], [])  # the caller has no role there
    reader = service.roles["reader"].id
    service.admin.put(f"/v3/projects/{top['id']}/users/{service.user.id}/roles/{reader}")
    assert service.admin.get(f"{path}?parents_as_list")["project"]["parents"] == [{"project": top}]


def test_a_project_with_children_stays_and_a_branch_is_disabled_from_below(service: Service) -> None:
    top, low = tree(service, 2)
    top_path, low_path = (f"/v3/projects/{each['id']}" for each in (top, low))
    service.admin.delete(top_path, 403)
    service.admin.patch(top_path, {"project": {"enabled": False}}, 403)
    service.admin.patch(low_path, {"project": {"enabled": False}})
    service.admin.patch(top_path, {"project": {"enabled": False}})
    service.admin.patch(low_path, {"project": {"enabled": True}}, 403)
    service.admin.post("/v3/projects", {"project": {"name": "x", "parent_id": top["id"]}}, 403)
    service.admin.delete(low_path)
    service.admin.delete(top_path)


def test_what_makes_a_project_stays_as_it_was_made(service: Service) -> None:
    top, low = tree(service, 2)
    path = f"/v3/projects/{low['id']}"
    service.admin.patch(path, {"project": {"parent_id": "default"}}, 403)
    service.admin.patch(path, {"project": {"parent_id": top["id"]}})
    service.admin.patch(path, {"project": {"is_domain": True}}, 400)
    service.admin.patch(path, {"project": {"domain_id": top["id"]}}, 400)
    service.admin.patch(path, {"project": {}}, 400)


def test_what_is_immutable_is_neither_changed_nor_deleted(service: Service) -> None:
    project = service.admin.make("project", options={"immutable": True})
    path = f"/v3/projects/{project['id']}"
    service.admin.patch(path, {"project": {"name": "x"}}, 403)
    service.admin.put(f"{path}/tags/x", status=403)
    service.admin.delete(path, 403)
    service.admin.patch(path, {"project": {"options": {"other": 1}}}, 400)
    assert service.admin.patch(path, {"project": {"options": {"immutable": None}}})["project"]["options"] == {}
    service.admin.delete(path)


def test_listings_filter(service: Service) -> None:
    top, low = tree(service, 2)
    off = service.admin.make("project", name="off", enabled=False)

    def found(query: str) -> set[str]:
        return {each["name"] for each in service.admin.get(f"/v3/projects?{query}")["projects"]}

    assert found("name=off") == {"off"}
    assert found("enabled=False") == {"off"}
    assert found(f"parent_id={top['id']}") == {low["name"]}
    assert found("is_domain=true") == {"Default"}
    assert found("is_domain=false") == found("") == {"admin", top["name"], low["name"], off["name"]}
    assert found("domain_id=nowhere") == set()
    assert found("name__startswith=level&limit=1") == found("name__startswith=level&limit=1")
    assert len(found("name__startswith=level&limit=1")) == 1


def test_tags_are_set_found_and_removed(service: Service) -> None:
    project = service.admin.make("project")
    path = f"/v3/projects/{project['id']}/tags"
    assert service.admin.put(path, {"tags": ["b", "a"]}, 200)["tags"] == ["a", "b"]
    result = service.admin.request("PUT", f"{path}/c%20d", status=201)
    assert result.headers["location"].endswith(f"{path}/c d")
    assert service.admin.get(path)["tags"] == ["a", "b", "c d"]
    service.admin.get(f"{path}/a", 204)
    service.admin.head(f"{path}/a", 204)
    service.admin.delete(f"{path}/a")
    service.admin.get(f"{path}/a", 404)
    service.admin.delete(f"{path}/a", 404)
    service.admin.put(path, {"tags": ["a", "a"]}, 400)
    service.admin.put(path, {"tags": ["a,b"]}, 400)
    service.admin.put(path, {"tags": ["x" * 256]}, 400)
    service.admin.put(path, {"tags": [str(index) for index in range(81)]}, 400)
    service.admin.put(path, {}, 400)
    service.admin.delete(path)
    assert service.admin.get(path)["tags"] == []


def test_projects_are_found_by_tags(service: Service) -> None:
    for name, tags in (("none", []), ("a", ["a"]), ("ab", ["a", "b"]), ("c", ["c"])):
        service.admin.make("project", name=name, tags=tags)

    def found(query: str) -> set[str]:
        names = {each["name"] for each in service.admin.get(f"/v3/projects?{query}")["projects"]}
        return names - {"admin"}

    assert found("tags=a") == {"a", "ab"}
    assert found("tags=a,b") == {"ab"}
    assert found("tags-any=b,c") == {"ab", "c"}
    assert found("not-tags=a,b") == {"none", "a", "c"}
    assert found("not-tags-any=a,b") == {"none", "c"}
    assert found("tags=a&not-tags=b") == {"a"}


def test_a_domain_is_disabled_then_deleted_with_everything_in_it(service: Service) -> None:
    domain = service.admin.make("domain", name="doomed", description="soon gone")
    assert not {"domain_id", "parent_id", "is_domain"} & set(domain)
    top = service.admin.make("project", name="top", domain_id=domain["id"])
    low = service.admin.make("project", name="low", parent_id=top["id"])
    user = service.admin.make("user", domain_id=domain["id"])
    group = service.admin.make("group", domain_id=domain["id"])
    role = service.admin.make("role", domain_id=domain["id"])
    service.admin.put(f"/v3/groups/{group['id']}/users/{user['id']}")
    service.admin.put(f"/v3/domains/{domain['id']}/users/{user['id']}/roles/{role['id']}")
    path = f"/v3/domains/{domain['id']}"
    service.admin.delete(path, 403)
    service.admin.patch(path, {"domain": {"enabled": False}})
    service.admin.delete(path)
    gone = (f"projects/{top['id']}", f"projects/{low['id']}", f"users/{user['id']}", f"groups/{group['id']}")
    for each in (*gone, f"roles/{role['id']}", f"domains/{domain['id']}"):
        service.admin.get(f"/v3/{each}", 404)
    assert len(service.admin.get("/v3/role_assignments")["role_assignments"]) == 1


def test_domains_are_projects_too(service: Service) -> None:
    domain = service.admin.make("project", name="both", is_domain=True, domain_id=None)
    assert (domain["domain_id"], domain["parent_id"], domain["is_domain"]) == (None, None, True)
    assert service.admin.get(f"/v3/domains/{domain['id']}")["domain"]["name"] == "both"
    assert "both" in [each["name"] for each in service.admin.get("/v3/domains")["domains"]]
    service.admin.post("/v3/domains", {"domain": {"name": "both"}}, 409)
    service.admin.post("/v3/projects", {"project": {"name": "x", "is_domain": True, "parent_id": "default"}}, 400)
    service.admin.get(f"/v3/domains/{service.project.id}", 404)
    service.admin.patch(f"/v3/projects/{domain['id']}", {"project": {"enabled": False}})
    service.admin.delete(f"/v3/projects/{domain['id']}")


def test_a_domain_may_be_given_its_id(service: Service) -> None:
    domain_id = "a" * 32
    domain = service.admin.make("domain", explicit_domain_id=domain_id)
    assert domain["id"] == domain_id
    assert "explicit_domain_id" not in domain
    service.admin.post("/v3/domains", {"domain": {"name": "x", "explicit_domain_id": domain_id}}, 409)
    service.admin.post("/v3/domains", {"domain": {"name": "x", "explicit_domain_id": "../x"}}, 400)


def test_who_has_a_token_for_a_domain_sees_that_domain(service: Service) -> None:
    other = service.admin.make("domain", name="other")
    web = service.admin.make("project", name="web", domain_id=other["id"])
    reader = service.client("reader", ("reader",), domain_id=other["id"])
    assert [each["name"] for each in reader.get("/v3/domains")["domains"]] == ["other"]
    assert [each["id"] for each in reader.get("/v3/projects")["projects"]] == [web["id"]]
    reader.get("/v3/domains/default", 403)
    reader.get(f"/v3/domains/{'0' * 32}", 403)
    reader.post("/v3/projects", {"project": {"name": "x"}}, 403)
    manager = service.client("manager", ("manager",), domain_id=other["id"])
    assert manager.make("project", name="x")["domain_id"] == other["id"]
    manager.post("/v3/projects", {"project": {"name": "x", "domain_id": "default"}}, 403)
    foreign, nothing = (
        manager.post("/v3/projects", {"project": {"name": "y", "parent_id": parent_id}}, 403)
        for parent_id in (service.project.id, "0" * 32)
    )
    assert foreign == nothing
    assert manager.make("project", name="below", parent_id=web["id"])["parent_id"] == web["id"]
    manager.post("/v3/domains", {"domain": {"name": "x"}}, 403)
