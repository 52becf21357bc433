"""Users over HTTP. Source: Keystone's API reference, "Users"."""

from tests.unit.identity.keystone.service import SECOND_US, Service


def test_a_user_is_made_shown_changed_and_deleted(service: Service) -> None:
    made = service.admin.make("user", name="ann", password="sesame", email="ann@example.org", description="first")
    assert made["domain_id"] == "default"
    assert made["enabled"] is True
    assert made["options"] == {}
    assert made["password_expires_at"] is None
    assert made["email"] == "ann@example.org"
    assert made["links"] == {"self": f"http://falconframework.org/v3/users/{made['id']}"}
    assert not {"password", "extra", "created_at_us", "default_project_id"} & set(made)
    path = f"/v3/users/{made['id']}"
    assert service.admin.get(path) == {"user": made}
    assert service.admin.head(path, 200).headers["vary"] == "X-Auth-Token"
    changed = service.admin.patch(path, {"user": {"name": "anna", "email": None, "enabled": False}})["user"]
    assert (changed["name"], changed["email"], changed["enabled"]) == ("anna", None, False)
    assert changed["description"] == "first"
    service.admin.delete(path)
    assert service.admin.get(path, 404)["error"] == {
        "code": 404,
        "message": f"Could not find user: {made['id']}.",
        "title": "Not Found",
    }


def test_attributes_of_ours_cannot_be_set(service: Service) -> None:
    made = service.admin.make("user", id="mine", created_at_us=1, password_expires_at_us=2, extra={"a": 1})
    assert made["id"] != "mine"
    assert "created_at_us" not in made
    service.admin.patch(f"/v3/users/{made['id']}", {"user": {"id": "other", "name": "x"}}, 400)


def test_a_name_is_taken_once_per_domain(service: Service) -> None:
    other = service.admin.make("domain", name="other")
    service.admin.make("user", name="ann")
    service.admin.make("user", name="ann", domain_id=other["id"])
    assert service.admin.post("/v3/users", {"user": {"name": "ann"}}, 409)["error"]["title"] == "Conflict"


def test_bad_documents_are_refused_with_the_name_of_the_field(service: Service) -> None:
    for user in (
        {"name": ""},
        {"name": "  "},
        {"name": "x" * 256},
        {},
        {"name": 5},
        {"name": "x", "enabled": "yes"},
        {"name": "x", "options": {"unknown": True}},
    ):
        assert service.admin.post("/v3/users", {"user": user}, 400)["error"]["code"] == 400
    message = service.admin.post("/v3/users", {"user": {"name": "x", "enabled": "no"}}, 400)["error"]["message"]
    assert "enabled" in message
    service.admin.post("/v3/users", {}, 400)
    service.admin.post("/v3/users", {"user": {"name": "x", "domain_id": "0" * 32}}, 404)


def test_a_refused_password_is_not_shown(service: Service) -> None:
    answer = service.admin.post("/v3/users", {"user": {"name": "x", "password": 4711}}, 400)
    assert "4711" not in str(answer)


def test_listings_filter(service: Service) -> None:
    for name in ("Ann", "Anna", "Bob"):
        service.admin.make("user", name=name, enabled=name != "Bob")

    def names(query: str) -> list[str]:
        return sorted(user["name"] for user in service.admin.get(f"/v3/users?{query}")["users"])

    assert names("name=Ann") == ["Ann"]
    assert names("name__contains=nn") == ["Ann", "Anna"]
    assert names("name__startswith=an") == []
    assert names("name__istartswith=an") == ["Ann", "Anna"]
    assert names("name__endswith=na") == ["Anna"]
    assert names("name__iequals=ANN") == ["Ann"]
    assert names("name__contains=%25") == []
    assert names("enabled=false") == ["Bob"]
    assert names("enabled=0&name__contains=n") == []
    assert names("unknown=5") == ["Ann", "Anna", "Bob", "admin"]


def test_listings_come_in_pages(service: Service) -> None:
    for index in range(5):
        service.admin.make("user", name=f"user{index}")
    seen: list[str] = []
    path = "/v3/users?limit=2&enabled=1"
    for _ in range(10):
        answer = service.admin.get(path)
        seen.extend(user["id"] for user in answer["users"])
        assert answer["links"]["self"].endswith(path)
        if answer["links"]["next"] is None:
            break
        path = answer["links"]["next"].removeprefix("http://falconframework.org")
    assert len(seen) == len(set(seen)) == 6
    service.admin.get("/v3/users?limit=x", 400)


def test_without_a_token_nothing_is_told(service: Service) -> None:
    for method, path in (("GET", "/v3/users"), ("POST", "/v3/users"), ("GET", "/v3/users/1")):
        answer = service.nobody.request(method, path, status=401)
        assert answer.json["error"]["title"] == "Unauthorized"
        assert answer.headers["www-authenticate"] == 'Keystone uri="http://falconframework.org/v3"'


def test_who_may_not_does_not_learn_whether_a_user_exists(service: Service) -> None:
    member = service.client("member", ("member", "reader"), user_id="0" * 32, project_id=service.project.id)
    there = member.get(f"/v3/users/{service.user.id}", 403)
    gone = member.get(f"/v3/users/{'1' * 32}", 403)
    assert there == gone


def test_a_reader_of_a_domain_sees_the_users_of_that_domain_only(service: Service) -> None:
    other = service.admin.make("domain", name="other")
    ann = service.admin.make("user", name="ann", domain_id=other["id"])
    reader = service.client("reader", ("reader",), domain_id=other["id"])
    assert [user["id"] for user in reader.get("/v3/users")["users"]] == [ann["id"]]
    assert reader.get("/v3/users?domain_id=default")["users"] == []
    reader.get(f"/v3/users/{service.user.id}", 403)


def test_a_user_changes_its_password(service: Service) -> None:
    ann = service.admin.make("user", name="ann", password="first")
    path = f"/v3/users/{ann['id']}/password"

    def change(original: str, password: str, status: int) -> None:
        service.nobody.post(path, {"user": {"original_password": original, "password": password}}, status)

    change("wrong", "second", 401)
    change("first", "first", 400)  # the history is of two, the present one included
    change("first", "second", 204)
    change("second", "first", 400)
    change("second", "third", 204)
    service.nobody.post("/v3/users/0/password", {"user": {"original_password": "a", "password": "b"}}, 401)
    service.nobody.post(path, {"user": {"password": "b"}}, 400)


def test_wrong_passwords_lock_out_although_the_requests_fail(service: Service) -> None:
    ann = service.admin.make("user", name="ann", password="first")
    path = f"/v3/users/{ann['id']}/password"
    wrong = {"user": {"original_password": "wrong", "password": "second"}}
    right = {"user": {"original_password": "first", "password": "second"}}
    for _ in range(3):
        service.nobody.post(path, wrong, 401)
    service.nobody.post(path, right, 401)
    service.clock.now_us += 61 * SECOND_US
    service.nobody.post(path, right, 204)


def test_a_default_project_is_a_project_and_forgotten_with_it(service: Service) -> None:
    service.admin.post("/v3/users", {"user": {"name": "x", "default_project_id": "default"}}, 400)
    project = service.admin.make("project")
    ann = service.admin.make("user", name="ann", default_project_id=project["id"])
    assert ann["default_project_id"] == project["id"]
    service.admin.delete(f"/v3/projects/{project['id']}")
    assert "default_project_id" not in service.admin.get(f"/v3/users/{ann['id']}")["user"]


def test_a_user_lists_its_own_groups_and_projects(service: Service) -> None:
    ann = service.admin.make("user", name="ann")
    group = service.admin.make("group")
    service.admin.put(f"/v3/groups/{group['id']}/users/{ann['id']}")
    project = service.admin.make("project")
    reader = service.roles["reader"].id
    service.admin.put(f"/v3/projects/{project['id']}/groups/{group['id']}/roles/{reader}")
    herself = service.client("ann", (), user_id=ann["id"])
    assert [each["id"] for each in herself.get(f"/v3/users/{ann['id']}/projects")["projects"]] == [project["id"]]
    (shown,) = herself.get(f"/v3/users/{ann['id']}/groups")["groups"]
    assert shown == {**group, "membership_expires_at": None}
    herself.get(f"/v3/users/{service.user.id}/projects", 403)
