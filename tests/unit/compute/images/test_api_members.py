"""Sharing: the owner names projects, each of which says what it thinks of it. Source: the Images API's reference."""

import pytest

from tests.unit.compute.images.service import Service

BOB = "bob-project"


def test_sharing_and_accepting(service: Service) -> None:
    image = service.ann.active()
    path = f"/v2/images/{image['id']}/members"
    service.bob.show(image, 404)
    member = service.ann.post(path, {"member": BOB}, 200)
    assert (member["member_id"], member["image_id"], member["status"]) == (BOB, image["id"], "pending")
    assert service.bob.show(image)["id"] == image["id"]
    assert service.bob.ids() == []
    service.clock.pass_s(3)
    accepted = service.bob.put(f"{path}/{BOB}", {"status": "accepted"}, 200)
    assert (accepted["status"], accepted["updated_at"]) == ("accepted", "2023-11-14T22:13:23Z")
    assert service.bob.ids() == [image["id"]]
    assert service.bob.download(image).content == b"some data"
    assert [each["status"] for each in service.ann.get(path)["members"]] == ["accepted"]
    service.bob.put(f"{path}/{BOB}", {"status": "rejected"}, 200)
    assert service.bob.ids() == []
    service.bob.put(f"{path}/{BOB}", {"status": "pending"}, 200)
    service.ann.delete(f"{path}/{BOB}")
    service.bob.show(image, 404)
    service.ann.delete(f"{path}/{BOB}", 404)


def test_nobody_accepts_for_another(service: Service) -> None:
    image = service.ann.make()
    path = f"/v2/images/{image['id']}/members"
    service.ann.post(path, {"member": BOB}, 200)
    service.ann.put(f"{path}/{BOB}", {"status": "accepted"}, 403)
    service.client("carl").put(f"{path}/{BOB}", {"status": "accepted"}, 404)
    service.bob.put(f"{path}/{BOB}", {"status": "enthusiastic"}, 400)
    service.bob.put(f"{path}/{BOB}", {}, 400)
    service.bob.put(f"{path}/ann-project", {"status": "accepted"}, 404)


def test_members_see_themselves_and_owners_see_all(service: Service) -> None:
    image = service.ann.make()
    path = f"/v2/images/{image['id']}/members"
    for project in (BOB, "carl-project"):
        service.ann.post(path, {"member": project}, 200)
    assert len(service.ann.get(path)["members"]) == 2
    assert [each["member_id"] for each in service.bob.get(path)["members"]] == [BOB]
    assert service.bob.get(f"{path}/{BOB}")["status"] == "pending"
    service.bob.get(f"{path}/carl-project", 404)
    service.ann.get(f"{path}/dora-project", 404)
    service.bob.post(path, {"member": "dora-project"}, 403)
    service.bob.delete(f"{path}/{BOB}", 403)
    service.reader.post(path, {"member": "dora-project"}, 403)


@pytest.mark.parametrize("document", [{}, {"member": ""}, {"member": 7}, {"member": "x" * 256}, {"members": [BOB]}])
def test_a_member_must_be_named(service: Service, document: object) -> None:
    service.ann.post(f"/v2/images/{service.ann.make()['id']}/members", document, 400)


def test_a_project_is_a_member_once(service: Service) -> None:
    path = f"/v2/images/{service.ann.make()['id']}/members"
    service.ann.post(path, {"member": BOB}, 200)
    service.ann.post(path, {"member": BOB}, 409)


def test_only_shared_images_have_members(service: Service) -> None:
    image = service.ann.make(visibility="private")
    path = f"/v2/images/{image['id']}/members"
    service.ann.post(path, {"member": BOB}, 403)
    service.ann.get(path, 403)
    change = {"op": "replace", "path": "/visibility", "value": "shared"}
    service.ann.patch(f"/v2/images/{image['id']}", change)
    service.ann.post(path, {"member": BOB}, 200)
    service.ann.patch(f"/v2/images/{image['id']}", {**change, "value": "private"})
    service.bob.show(image, 404)


def test_there_is_an_end_to_sharing(service: Service) -> None:
    path = f"/v2/images/{service.ann.make()['id']}/members"
    for number in range(128):
        service.ann.post(path, {"member": f"project-{number}"}, 200)
    service.ann.post(path, {"member": BOB}, 413)
