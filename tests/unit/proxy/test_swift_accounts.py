"""Accounts."""

from tests.unit.proxy.swift_cluster import Cluster, metadata_of, run


def test_an_account_exists_before_anybody_wrote_to_it() -> None:
    async def test() -> None:
        cluster = Cluster()
        head = await cluster.as_ann("HEAD", "")
        assert head.status == 204
        assert head.headers["x-account-container-count"] == "0"
        assert (await cluster.as_ann("GET", "")).status == 204
        assert (await cluster.as_ann("GET", "?format=json")).json == []

    run(test())


def test_its_containers_are_listed_with_totals() -> None:
    async def test() -> None:
        cluster = Cluster()
        for name in ("a", "b-1", "b-2", "c"):
            await cluster.as_ann("PUT", f"/{name}")
        await cluster.as_ann("PUT", "/a/o", b"12345")
        answer = await cluster.as_ann("GET", "")
        assert (answer.status, answer.body) == (200, b"a\nb-1\nb-2\nc\n")
        assert answer.headers["x-account-container-count"] == "4"
        assert answer.headers["x-account-object-count"] == "1"
        assert answer.headers["x-account-bytes-used"] == "5"
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["vary"] == "Accept"
        first = (await cluster.as_ann("GET", "?format=json&limit=1")).json[0]
        assert (first["name"], first["count"], first["bytes"], first["storage_policy"]) == (
            "a",
            1,
            5,
            "Policy-0",
        )
        rolled_up = (await cluster.as_ann("GET", "?format=json&delimiter=-&marker=a")).json
        assert [row.get("name") or row["subdir"] for row in rolled_up] == ["b-", "c"]
        xml = await cluster.as_ann("GET", "", accept="application/xml")
        assert xml.headers["content-type"] == "application/xml; charset=utf-8"
        assert xml.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<account name="AUTH_photos">')

    run(test())


def test_the_service_s_own_containers_are_not_shown() -> None:
    async def test() -> None:
        cluster = Cluster()
        await cluster.service.create_container("AUTH_photos", "\0own", {})
        await cluster.as_ann("PUT", "/c")
        assert (await cluster.as_ann("GET", "")).body == b"c\n"

    run(test())


def test_metadata_is_set_and_removed() -> None:
    async def test() -> None:
        cluster = Cluster()
        assert (await cluster.as_ann("POST", "", x_account_meta_a="1", x_account_meta_b="2")).status == 204
        await cluster.as_ann(
            "POST", "", x_account_meta_a="", x_remove_account_meta_none="x", x_account_meta_c="3"
        )
        assert metadata_of(await cluster.as_ann("HEAD", ""), "x-account-meta-") == {"b": "2", "c": "3"}

    run(test())


def test_a_listing_of_more_than_the_limit_is_refused() -> None:
    async def test() -> None:
        assert (await Cluster().as_ann("GET", "?limit=10001")).status == 412

    run(test())
