"""Listings: filters, order, pages. Source: the Images API's reference, "List images"."""

from typing import Any

import pytest

from tests.unit.compute.images.service import Service


def make_some(service: Service) -> list[Any]:
    """Make images that differ, a second apart."""
    images = []
    for number, name in enumerate(("delta", "alpha", "echo", "bravo", "charlie")):
        service.clock.pass_s(1)
        image = service.ann.make(name=name, os_distro="debian" if number % 2 else "fedora", tags=[f"t{number}", "all"])
        if number:
            service.ann.upload(image, b"x" * number * 10)
        images.append(image)
    return images


def names(service: Service, query: str = "") -> list[str]:
    return [image["name"] for image in service.ann.get(f"/v2/images?{query}")["images"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "charlie bravo echo alpha delta"),
        ("sort=name:asc", "alpha bravo charlie delta echo"),
        ("sort_key=name&sort_dir=asc", "alpha bravo charlie delta echo"),
        ("sort_key=name", "echo delta charlie bravo alpha"),
        ("sort=size:asc", "delta alpha echo bravo charlie"),
        ("sort=status:desc,name:asc", "delta alpha bravo charlie echo"),
        ("sort_key=status&sort_dir=desc&sort_key=name&sort_dir=asc", "delta alpha bravo charlie echo"),
        ("name=echo", "echo"),
        ("name=in:echo,alpha", "echo alpha"),
        ('name=in:"echo","alpha"', "echo alpha"),
        ("status=queued", "delta"),
        ("status=in:active,queued&sort=name:asc", "alpha bravo charlie delta echo"),
        ("os_distro=debian", "bravo alpha"),
        ("tag=t1", "alpha"),
        ("tag=all&tag=t2", "echo"),
        ("tag=t1&tag=t2", ""),
        ("size=20", "echo"),
        ("size_min=20&size_max=30", "bravo echo"),
        ("disk_format=raw&container_format=bare&name=echo", "echo"),
        ("disk_format=qcow2", ""),
        ("protected=true", ""),
        ("protected=False&name=echo", "echo"),
        ("min_ram=0&name=echo", "echo"),
        ("owner=ann-project&name=echo", "echo"),
        ("owner=bob-project", ""),
        ("created_at=gt:2023-11-14T22:13:23Z", "charlie bravo"),
        ("created_at=gte:2023-11-14T22:13:23Z", "charlie bravo echo"),
        ("created_at=lt:2023-11-14T22:13:22Z", "delta"),
        ("created_at=lte:2023-11-14T22:13:22Z", "alpha delta"),
        ("created_at=2023-11-14T22:13:22Z", "alpha"),
        ("created_at=neq:2023-11-14T22:13:22Z", "charlie bravo echo delta"),
        ("created_at=gt:2023-11-14T22:13:21Z&created_at=lt:2023-11-14T22:13:23Z", "alpha"),
        ("created_at=gte:2023-11-15T00:13:23%2B02:00", "charlie bravo echo"),
        ("visibility=shared&name=echo", "echo"),
        ("visibility=public", ""),
        ("no_such_property=x", ""),
    ],
)
def test_a_query_gives_what_it_asks_for(service: Service, query: str, expected: str) -> None:
    make_some(service)
    assert names(service, query) == expected.split()


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1", "limit=x", "marker=00000000-0000-0000-0000-000000000000", "sort=colour:asc", "sort=name:up",
        "sort=name:asc&sort_key=name", "sort_key=name&sort_key=size&sort_dir=asc&sort_dir=asc&sort_dir=asc",
        "visibility=secret", "member_status=maybe", "size_min=x", "size=-1", "protected=perhaps", "os_hidden=x",
        "created_at=gt:yesterday", "created_at=around:2023-11-14T22:13:22Z", 'name=in:"echo',
    ],
)
def test_a_query_that_makes_no_sense_is_refused(service: Service, query: str) -> None:
    assert service.ann.get(f"/v2/images?{query}", 400)["message"]


@pytest.mark.parametrize("query", ["", "sort=name:asc", "sort=size:asc", "sort=size:desc", "sort=status:asc,size:desc",
                                   "sort_key=os_x", "name=in:echo,alpha,bravo&sort=name:desc", "sort=container_format"])
def test_pages_together_are_the_whole(service: Service, query: str) -> None:
    make_some(service)
    if query == "sort_key=os_x":
        service.ann.get(f"/v2/images?{query}", 400)
        return
    whole = names(service, query)
    for limit in (1, 2, 3):
        found: list[str] = []
        path: str | None = f"/v2/images?limit={limit}&{query}"
        while path:
            page = service.ann.get(path)
            assert page["first"].startswith("/v2/images?")
            assert len(page["images"]) <= limit
            found += [image["name"] for image in page["images"]]
            path = page.get("next")
        assert found == whole


def test_many_images_that_are_equal_are_paged_too(service: Service) -> None:
    made = {service.ann.make(name="same")["id"] for _ in range(7)}
    found: list[str] = []
    path: str | None = "/v2/images?limit=2&sort=name:asc"
    while path:
        page = service.ann.get(path)
        found += [image["id"] for image in page["images"]]
        path = page.get("next")
    assert len(found) == 7
    assert set(found) == made


def test_a_marker_that_the_caller_does_not_see_is_refused(service: Service) -> None:
    image = service.bob.make(visibility="private")
    service.ann.get(f"/v2/images?marker={image['id']}", 400)
    service.admin.get(f"/v2/images?marker={image['id']}")


def test_hidden_images_are_listed_when_asked_for(service: Service) -> None:
    image = service.ann.make(os_hidden=True)
    assert service.ann.ids() == []
    assert service.ann.ids("os_hidden=true") == [image["id"]]
    assert service.ann.ids("os_hidden=false") == []


def test_who_sees_what(service: Service) -> None:
    made = {
        kind: service.admin.make(owner="ann-project", visibility=kind)["id"]
        for kind in ("public", "community", "shared", "private")
    }
    path = f"/v2/images/{made['shared']}/members"
    service.ann.post(path, {"member": "bob-project"}, 200)
    carl = service.client("carl")
    assert set(service.ann.ids()) == {made["public"], made["shared"], made["private"], made["community"]}
    assert set(service.bob.ids()) == {made["public"]}
    assert set(service.bob.ids("visibility=shared&member_status=pending")) == {made["shared"]}
    assert set(service.bob.ids("member_status=all")) == {made["public"], made["shared"]}
    service.bob.put(f"{path}/bob-project", {"status": "accepted"}, 200)
    assert set(service.bob.ids()) == {made["public"], made["shared"]}
    assert set(service.bob.ids("visibility=community")) == {made["community"]}
    assert set(service.bob.ids("visibility=all")) == {made["public"], made["shared"], made["community"]}
    assert service.bob.ids("visibility=private") == []
    assert set(carl.ids()) == {made["public"]}
    assert set(carl.ids("visibility=shared&member_status=all")) == set()
    assert set(service.admin.ids()) == set(made.values())
    for client, seen in ((service.bob, ("public", "community", "shared")), (carl, ("public", "community"))):
        for kind, image_id in made.items():
            client.show({"id": image_id}, 200 if kind in seen else 404)
            client.delete(f"/v2/images/{image_id}", 403 if kind in seen else 404)
