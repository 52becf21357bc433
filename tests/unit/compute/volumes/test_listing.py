"""Which rows a listing has: pages, order, filters, counts."""

import pytest

from tests.unit.compute.volumes.service import Service


@pytest.fixture
def named(service: Service) -> Service:
    for name, size in (("b", 1), ("a", 3), ("c", 2), ("a", 4)):
        service.member.make_volume(name=name, size=size, metadata={"kind": name})
    return service


def names(service: Service, query: str) -> list[str]:
    return [each["name"] for each in service.member.get(f"/volumes?{query}")["volumes"]]


def test_the_newest_come_first(named: Service) -> None:
    assert names(named, "") == ["a", "c", "a", "b"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sort=name:asc,size:desc", ["a", "a", "b", "c"]),
        ("sort_key=size&sort_dir=asc", ["b", "c", "a", "a"]),
        ("sort=created_at:asc", ["b", "a", "c", "a"]),
    ],
)
def test_another_order(named: Service, query: str, expected: list[str]) -> None:
    assert names(named, query) == expected


@pytest.mark.parametrize("sort", ["", "sort=name:asc", "sort=size:desc", "sort=name:desc,size:asc", "sort=id:asc"])
def test_pages_have_every_row_once(named: Service, sort: str) -> None:
    whole = [each["id"] for each in named.member.get(f"/volumes?{sort}")["volumes"]]
    found, query = [], f"limit=1&{sort}"
    for _ in range(10):
        page = named.member.get(f"/volumes?{query}")
        found += [each["id"] for each in page["volumes"]]
        if "volumes_links" not in page:
            break
        query = page["volumes_links"][0]["href"].partition("?")[2]
    assert found == whole


def test_pages_by_offset_and_no_rows(named: Service) -> None:
    assert names(named, "limit=2&offset=1") == ["c", "a"]
    assert names(named, "limit=0") == []


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("name=a", 2),
        ("name=x", 0),
        ("status=available", 4),
        ("status=null", 0),
        ("size=1", 1),
        ("size=many", 0),
        ("bootable=false", 4),
        ("bootable=true", 0),
        ("availability_zone=nova", 4),
        ("metadata={'kind': 'a'}", 2),
        ("metadata={'kind': 'a', 'other': 'x'}", 0),
        ("name~=A", 2),
        ("created_at=gt:2000-01-01T00:00:00", 4),
        ("created_at=lt:2000-01-01", 0),
        ("group_id=x", 0),
    ],
)
def test_filters(named: Service, query: str, count: int) -> None:
    assert len(names(named, query)) == count


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=x",
        "offset=x",
        "sort=nothing",
        "sort=name:up",
        "metadata=[1",
        "metadata=x()",
        "nothing=x",
        "bootable=perhaps",
        "created_at=gt:yesterday",
        "sort=name&sort_key=id",
    ],
)
def test_what_makes_no_sense_is_refused(named: Service, query: str) -> None:
    named.member.get(f"/volumes?{query}", 400)


def test_an_unknown_marker_is_not_found(named: Service) -> None:
    named.member.get("/volumes?marker=nothing", 404)


def test_old_clients_are_not_told_of_unknown_filters(named: Service) -> None:
    assert len(named.member.speaking("volume 3.0").get("/volumes?nothing=x&name~=a")["volumes"]) == 4


def test_the_count_is_of_all_pages(named: Service) -> None:
    page = named.member.get("/volumes?limit=1&name=a&with_count=true")
    assert (len(page["volumes"]), page["count"]) == (1, 2)
    assert "count" not in named.member.speaking("volume 3.44").get("/volumes?with_count=true")


def test_other_nouns_are_listed_alike(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    for name in ("x", "y"):
        service.member.make_snapshot(volume_id, name=name, metadata={"n": name})
        service.member.make_backup(volume_id, name=name)
    assert [each["name"] for each in service.member.get("/snapshots?sort=name:asc")["snapshots"]] == ["x", "y"]
    assert len(service.member.get("/snapshots/detail?metadata={'n': 'x'}")["snapshots"]) == 1
    assert len(service.member.get(f"/snapshots?volume_id={volume_id}&limit=1")["snapshots_links"]) == 1
    assert [each["name"] for each in service.member.get("/backups?name=y")["backups"]] == ["y"]
    assert service.stranger.get("/snapshots") == {"snapshots": []}
    assert service.stranger.get("/backups/detail") == {"backups": []}
    assert len(service.admin.get("/backups?all_tenants=1")["backups"]) == 2


def test_after_every_full_page_there_is_a_link(service: Service) -> None:
    made = service.member.make_volume()
    page = service.member.get("/volumes?limit=1")
    assert [each["id"] for each in page["volumes"]] == [made["id"]]
    assert f"marker={made['id']}" in page["volumes_links"][0]["href"]
    assert service.member.get(f"/volumes?limit=1&marker={made['id']}") == {"volumes": []}
    assert "volumes_links" not in service.member.get("/volumes?limit=2")
