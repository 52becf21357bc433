"""Images over the API: made, shown, changed, deleted. Source: the Images API's reference, v2."""

import uuid

import pytest
from sqlalchemy import select

from compute.images.schema import contents, members, properties, tags
from tests.unit.compute.images.service import Service


def test_a_new_image_is_queued_and_shows_what_was_given(service: Service) -> None:
    image = service.ann.make(name="disk", tags=["b", "a", "b"], os_distro="debian", min_disk=3)
    assert image["status"] == "queued"
    assert image["visibility"] == "shared"
    assert (image["owner"], image["os_distro"], image["min_disk"]) == ("ann-project", "debian", 3)
    assert image["tags"] == ["a", "b"]
    assert (image["size"], image["checksum"], image["virtual_size"]) == (None, None, None)
    assert image["file"] == f"/v2/images/{image['id']}/file"
    assert image["created_at"] == "2023-11-14T22:13:20Z"
    assert service.ann.show(image) == image


def test_the_answer_to_a_creation_says_how_to_go_on(service: Service) -> None:
    result = service.ann.request("POST", "/v2/images", {"name": "x"}, 201)
    assert result.headers["location"].endswith(f"/v2/images/{result.json['id']}")
    assert result.headers["openstack-image-import-methods"] == "glance-direct,web-download"
    assert result.headers["openstack-image-store-ids"] == "objects"


def test_a_client_may_choose_an_id_that_nothing_has_had(service: Service) -> None:
    chosen = str(uuid.uuid4())
    image = service.ann.make(id=chosen)
    assert image["id"] == chosen
    service.ann.post("/v2/images", {"id": chosen}, 409)
    service.ann.delete(f"/v2/images/{chosen}")
    service.ann.post("/v2/images", {"id": chosen}, 409)
    service.ann.post("/v2/images", {"id": "mine"}, 400)


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"disk_format": "wrong"}, 400),
        ({"container_format": "wrong"}, 400),
        ({"disk_format": "ami", "container_format": "bare"}, 400),
        ({"visibility": "secret"}, 400),
        ({"min_ram": -1}, 400),
        ({"min_disk": "3"}, 400),
        ({"protected": "yes"}, 400),
        ({"name": "x" * 256}, 400),
        ({"tags": ["x" * 256]}, 400),
        ({"os_distro": 7}, 400),
        ({"x" * 256: "y"}, 400),
        ({"status": "active"}, 403),
        ({"size": 5}, 403),
        ({"checksum": "x"}, 403),
        ({"location": "http://x"}, 403),
        ({"locations": []}, 403),
        ({"deleted": True}, 403),
        ({"os_glance_foo": "bar"}, 403),
        ({"owner": "bob-project"}, 403),
        ({"visibility": "public"}, 403),
        ({f"p{index}": "x" for index in range(129)}, 413),
        ({"tags": [f"t{index}" for index in range(129)]}, 413),
    ],
)
def test_what_an_image_cannot_have_is_refused(service: Service, attributes: dict[str, object], status: int) -> None:
    error = service.ann.post("/v2/images", attributes, status)
    assert error["code"].startswith(str(status))
    assert error["title"]
    assert error["message"]


@pytest.mark.parametrize("visibility", ["public", "community"])
def test_the_volume_service_makes_images_for_others(service: Service, visibility: str) -> None:
    """It has asked before who may: os-volume_upload_image."""
    image = service.worker.make(owner="bob-project", visibility=visibility)
    assert (image["owner"], image["visibility"]) == ("bob-project", visibility)


def test_an_administrator_chooses_owners_and_publishes(service: Service) -> None:
    image = service.admin.make(owner="bob-project", visibility="public")
    assert image["owner"] == "bob-project"
    service.bob.patch(f"/v2/images/{image['id']}", {"op": "replace", "path": "/name", "value": "n"})
    change = {"op": "replace", "path": "/owner", "value": "ann-project"}
    service.bob.patch(f"/v2/images/{image['id']}", change, status=403)
    assert service.admin.patch(f"/v2/images/{image['id']}", change)["owner"] == "ann-project"


def test_another_service_makes_images_for_users(service: Service) -> None:
    chosen = str(uuid.uuid4())
    image = service.worker.make(id=chosen, owner="ann-project")
    service.worker.upload(image, b"data")
    assert service.ann.show(image)["status"] == "active"
    service.worker.delete(f"/v2/images/{chosen}")


def test_without_a_token_nothing_is_told_but_versions(service: Service) -> None:
    assert service.nobody.get("/v2/images", 401)["title"] == "Unauthorized"
    service.nobody.post("/v2/images", {}, 401)
    assert service.nobody.get("/versions")["versions"][0]["id"] == "v2.15"
    for path in ("/", "/v2", "/v2/"):
        assert service.nobody.get(path, 300)["versions"][0]["status"] == "CURRENT"


def test_an_image_without_an_id_is_not_there(service: Service) -> None:
    service.ann.get("/v2/images/", 404)
    service.ann.delete("/v2/images/", 404)


def test_a_reader_reads(service: Service) -> None:
    image = service.ann.active()
    assert service.reader.show(image)["status"] == "active"
    assert service.reader.ids() == [image["id"]]
    service.reader.post("/v2/images", {"name": "x"}, 403)
    service.reader.patch(f"/v2/images/{image['id']}", {"op": "replace", "path": "/name", "value": "n"}, status=403)
    service.reader.download(image, 403)
    service.reader.delete(f"/v2/images/{image['id']}", 403)


def test_who_does_not_see_an_image_learns_nothing(service: Service) -> None:
    image = service.ann.active(visibility="private")
    path = f"/v2/images/{image['id']}"
    for method, where in (
        ("GET", ""), ("DELETE", ""), ("GET", "/file"), ("POST", "/actions/deactivate"), ("GET", "/members"),
        ("PUT", "/tags/t"), ("POST", "/actions/golden"), ("GET", "/tasks"),
    ):
        seen = service.bob.request(method, path + where, status=404)
        assert seen.json["message"] == f"No image found with ID {image['id']}"
    service.bob.upload(image, b"x", 404)
    assert service.admin.show(image)["id"] == image["id"]


def test_changes_of_both_kinds_of_patches(service: Service) -> None:
    path = f"/v2/images/{service.ann.make(os_distro='debian', colour='red')['id']}"
    service.clock.pass_s(5)
    changed = service.ann.patch(
        path,
        {"op": "replace", "path": "/name", "value": "new"},
        {"op": "add", "path": "/kernel~1version", "value": "6"},
        {"op": "replace", "path": "/os_distro", "value": "fedora"},
        {"op": "remove", "path": "/colour"},
        {"op": "replace", "path": "/tags", "value": ["x"]},
        {"op": "replace", "path": "/os_hidden", "value": True},
    )
    assert (changed["name"], changed["kernel/version"], changed["os_distro"]) == ("new", "6", "fedora")
    assert "colour" not in changed
    assert changed["tags"] == ["x"]
    assert changed["updated_at"] == "2023-11-14T22:13:25Z"
    changed = service.ann.patch(
        path,
        {"replace": "/name", "value": "newer"},
        {"remove": "/os_distro"},
        {"add": "/os_hidden", "value": False},
        media_type="application/openstack-images-v2.0-json-patch",
    )
    assert (changed["name"], changed["os_hidden"]) == ("newer", False)
    assert "os_distro" not in changed
    assert service.ann.get(path) == changed


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"op": "replace", "path": "/status", "value": "active"}, 403),
        ({"op": "remove", "path": "/checksum"}, 403),
        ({"op": "replace", "path": "/id", "value": "x"}, 403),
        ({"op": "replace", "path": "/deleted", "value": True}, 403),
        ({"op": "add", "path": "/os_glance_foo", "value": "bar"}, 403),
        ({"op": "add", "path": "/locations", "value": []}, 403),
        ({"op": "remove", "path": "/name"}, 403),
        ({"op": "remove", "path": "/no_such"}, 409),
        ({"op": "replace", "path": "/no_such", "value": "x"}, 409),
        ({"op": "replace", "path": "/min_ram", "value": -1}, 400),
        ({"op": "replace", "path": "/visibility", "value": "none"}, 400),
        ({"op": "replace", "path": "/visibility", "value": "public"}, 403),
        ({"op": "replace", "path": "name", "value": "x"}, 400),
        ({"op": "replace", "path": "/", "value": "x"}, 400),
        ({"op": "replace", "path": "/a/b", "value": "x"}, 400),
        ({"op": "replace", "path": "/a~2", "value": "x"}, 400),
        ({"op": "replace", "path": ["name"], "value": "x"}, 400),
        ({"op": "replace", "path": "/name"}, 400),
        ({"op": "move", "path": "/name", "value": "x"}, 400),
        ({"path": "/name", "value": "x"}, 400),
        ({"op": "add", "path": "/number", "value": 7}, 400),
        ("not an object", 400),
    ],
)
def test_a_change_that_cannot_be_made_changes_nothing(service: Service, change: dict[str, object], status: int) -> None:
    image = service.ann.make()
    first = {"op": "replace", "path": "/name", "value": "changed"}
    service.ann.patch(f"/v2/images/{image['id']}", first, change, status=status)
    assert service.ann.show(image) == image


def test_patches_of_another_media_type_are_not_taken(service: Service) -> None:
    image = service.ann.make()
    change = {"op": "replace", "path": "/name", "value": "x"}
    service.ann.patch(f"/v2/images/{image['id']}", change, status=415, media_type="application/json")


def test_formats_are_settled_when_data_comes(service: Service) -> None:
    image = service.ann.make(disk_format=None, container_format=None)
    path = f"/v2/images/{image['id']}"
    assert "must be set" in service.ann.upload(image, b"x", 400)["message"]
    service.ann.patch(path, {"op": "replace", "path": "/disk_format", "value": "ami"},
                      {"op": "replace", "path": "/container_format", "value": "ami"})
    service.ann.upload(image, b"x")
    service.ann.patch(path, {"op": "replace", "path": "/disk_format", "value": "aki"},
                      {"op": "replace", "path": "/container_format", "value": "aki"}, status=403)


def test_a_protected_image_stays(service: Service) -> None:
    image = service.ann.active(protected=True)
    path = f"/v2/images/{image['id']}"
    assert "protected" in service.ann.delete(path, 403)["message"]
    service.ann.patch(path, {"op": "replace", "path": "/protected", "value": False})
    service.ann.delete(path)


def test_of_a_deleted_image_nothing_is_left(service: Service) -> None:
    image = service.ann.active(tags=["t"], colour="red")
    service.ann.post(f"/v2/images/{image['id']}/members", {"member": "bob-project"}, 200)
    service.ann.delete(f"/v2/images/{image['id']}")
    service.ann.show(image, 404)
    service.ann.delete(f"/v2/images/{image['id']}", 404)
    assert service.ann.ids() == []
    service.reaper.step()
    assert service.store.is_empty
    for table in (properties, tags, members, contents):
        assert service.in_database(lambda connection, table=table: connection.execute(select(table)).all()) == []


def test_a_deactivated_image_gives_its_data_to_nobody(service: Service) -> None:
    image = service.ann.active()
    path = f"/v2/images/{image['id']}"
    service.ann.post(f"{path}/actions/deactivate", status=204)
    service.ann.post(f"{path}/actions/deactivate", status=204)
    assert service.ann.show(image)["status"] == "deactivated"
    service.ann.download(image, 403)
    assert service.admin.download(image).content == b"some data"
    service.bob.post(f"{path}/actions/reactivate", status=404)
    service.ann.post(f"{path}/actions/reactivate", status=204)
    assert service.ann.download(image).content == b"some data"
    queued = service.ann.make()
    service.ann.post(f"/v2/images/{queued['id']}/actions/deactivate", status=403)


def test_tags_come_and_go_one_by_one(service: Service) -> None:
    image = service.ann.make()
    path = f"/v2/images/{image['id']}/tags"
    service.ann.put(f"{path}/one")
    service.ann.put(f"{path}/one")
    service.ann.put(f"{path}/two")
    assert service.ann.show(image)["tags"] == ["one", "two"]
    service.ann.delete(f"{path}/one")
    service.ann.delete(f"{path}/one", 404)
    service.ann.put(f"{path}/{'x' * 256}", status=400)
    service.reader.put(f"{path}/three", status=403)
    assert service.ann.show(image)["tags"] == ["two"]


def test_schemas_are_those_that_clients_ask_for(service: Service) -> None:
    for name in ("image", "images", "member", "members", "task", "tasks"):
        assert service.ann.get(f"/v2/schemas/{name}")["name"] == name
    service.ann.get("/v2/schemas/other", 404)


def test_there_is_one_store_and_it_is_the_last(service: Service) -> None:
    image = service.ann.active()
    assert image["stores"] == "objects"
    assert service.ann.get("/v2/info/stores")["stores"][0]["id"] == "objects"
    service.ann.get("/v2/info/stores/detail", 403)
    assert service.admin.get("/v2/info/stores/detail")["stores"][0]["type"] == "s3"
    service.ann.delete(f"/v2/stores/objects/{image['id']}", 403)
    service.ann.delete(f"/v2/stores/other/{image['id']}", 400)
