"""Containers."""

import pytest

from tests.unit.proxy.swift_cluster import Cluster, metadata_of, run

NAMES = ("a", "photos", "photos/", "photos/1", "photos/2", "photos/old/1", "z")


async def _filled() -> Cluster:
    cluster = Cluster()
    await cluster.as_ann("PUT", "/c")
    for name in NAMES:
        await cluster.as_ann("PUT", f"/c/{name}", b"x")
    return cluster


def test_a_container_is_made_once_and_changed_after() -> None:
    async def test() -> None:
        cluster = Cluster()
        assert (
            await cluster.as_ann("PUT", "/c", x_container_meta_a="1", x_container_meta_b="2")
        ).status == 201
        assert (
            await cluster.as_ann("PUT", "/c", x_container_meta_a="", x_container_meta_c="3")
        ).status == 202
        assert (
            await cluster.as_ann("POST", "/c", x_remove_container_meta_b="x", x_container_meta_d="4")
        ).status == 204
        head = await cluster.as_ann("HEAD", "/c")
        assert head.status == 204
        assert metadata_of(head, "x-container-meta-") == {"c": "3", "d": "4"}
        assert head.headers["x-storage-policy"] == "Policy-0"
        assert head.headers["x-container-object-count"] == "0"
        assert (await cluster.as_ann("DELETE", "/c")).status == 204
        for method in ("HEAD", "GET", "POST", "DELETE"):
            assert (await cluster.as_ann(method, "/c")).status == 404

    run(test())


def test_a_full_container_is_not_deleted() -> None:
    async def test() -> None:
        assert (await (await _filled()).as_ann("DELETE", "/c")).status == 409

    run(test())


def test_names_and_policies_are_checked() -> None:
    async def test() -> None:
        cluster = Cluster()
        assert (await cluster.as_ann("PUT", "/" + "c" * 257)).status == 400
        assert (await cluster.as_ann("PUT", "/c%00")).status == 412
        assert (await cluster.as_ann("PUT", "/c", x_storage_policy="gold")).status == 400
        assert (await cluster.as_ann("PUT", "/c", x_storage_policy="policy-0")).status == 201

    run(test())


def test_metadata_is_limited_over_all_requests() -> None:
    async def test() -> None:
        cluster = Cluster()
        await cluster.as_ann("PUT", "/c", **{f"x_container_meta_{index}": "v" for index in range(60)})
        more = {f"x_container_meta_{index}": "v" for index in range(60, 91)}
        assert (await cluster.as_ann("POST", "/c", **more)).status == 400
        assert (await cluster.as_ann("PUT", "/c", **more)).status == 400

    run(test())


def test_a_new_container_is_a_bucket_unless_another_account_has_the_name() -> None:
    async def test() -> None:
        cluster = Cluster()
        await cluster.as_ann("PUT", "/shared")
        assert (await cluster("PUT", "/v1/AUTH_bob/shared", user=cluster.bob)).status == 201
        assert await cluster.service.bucket_owner("shared") == "AUTH_photos"
        assert (await cluster("DELETE", "/v1/AUTH_bob/shared", user=cluster.bob)).status == 204
        assert await cluster.service.bucket_owner("shared") == "AUTH_photos"
        await cluster.as_ann("DELETE", "/shared")
        assert await cluster.service.bucket_owner("shared") is None

    run(test())


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", list(NAMES)),
        ("limit=2", ["a", "photos"]),
        ("limit=0", []),
        ("marker=photos/1", ["photos/2", "photos/old/1", "z"]),
        ("end_marker=photos/", ["a", "photos"]),
        ("marker=a&end_marker=photos/1", ["photos", "photos/"]),
        ("prefix=photos/", ["photos/", "photos/1", "photos/2", "photos/old/1"]),
        ("delimiter=/", ["a", "photos", "photos/", "z"]),
        ("delimiter=/&prefix=photos/", ["photos/", "photos/1", "photos/2", "photos/old/"]),
        ("delimiter=os/", ["a", "photos", "photos/", "z"]),
        ("reverse=true", list(reversed(NAMES))),
        ("reverse=on&marker=photos/2&limit=2", ["photos/1", "photos/"]),
        ("path=photos", ["photos/1", "photos/2"]),
        ("path=", ["a", "photos", "photos/", "z"]),
        ("path=nothing", []),
        ("path=/", []),
        ("path=photos&limit=1", ["photos/1"]),
        ("prefix=nothing", []),
    ],
)
def test_a_listing_shows_what_is_asked_for(query: str, names: list[str]) -> None:
    async def test() -> None:
        cluster = await _filled()
        plain = await cluster.as_ann("GET", f"/c?{query}")
        assert plain.body.decode().split() == names
        assert plain.status == (200 if names else 204)
        rows = (await cluster.as_ann("GET", f"/c?{query}&format=json")).json
        assert [row.get("name") or row["subdir"] for row in rows] == names

    run(test())


def test_a_path_lists_beyond_a_page_of_directories() -> None:
    async def test() -> None:
        cluster = Cluster()
        await cluster.as_ann("PUT", "/c")
        for name in ("d1/x", "d2/x", "d3/", "d3/x", "o"):
            await cluster.as_ann("PUT", f"/c/{name}", b"x")
        assert (await cluster.as_ann("GET", "/c?path=&limit=2")).body == b"d3/\no\n"

    run(test())


def test_a_listing_has_the_totals_and_the_format_that_is_asked_for() -> None:
    async def test() -> None:
        cluster = await _filled()
        answer = await cluster.as_ann("GET", "/c?format=xml&limit=1")
        assert answer.headers["content-type"] == "application/xml; charset=utf-8"
        assert answer.headers["x-container-object-count"] == str(len(NAMES))
        assert answer.headers["x-container-bytes-used"] == str(len(NAMES))
        assert (await cluster.as_ann("GET", "/c", accept="application/json")).json[0]["name"] == "a"
        assert (await cluster.as_ann("GET", "/c", accept="image/png")).status == 406
        assert (await cluster.as_ann("GET", "/c?limit=10001")).status == 412
        assert (await cluster.as_ann("GET", "/c?prefix=%FF")).status == 400
        assert (await cluster.as_ann("HEAD", "/c?format=json")).headers[
            "content-type"
        ] == "application/json; charset=utf-8"

    run(test())
