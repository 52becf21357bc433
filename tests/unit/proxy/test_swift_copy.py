"""Copies on the server's side."""

import json

import pytest

from tests.unit.proxy.swift_cluster import Cluster, metadata_of, run


async def _with_source() -> Cluster:
    cluster = Cluster()
    await cluster.as_ann("PUT", "/c")
    await cluster.as_ann("PUT", "/d")
    await cluster.as_ann(
        "PUT",
        "/c/o%20o",
        b"0123456789",
        content_type="text/x",
        x_object_meta_a="1",
        content_encoding="br",
        x_delete_after="99",
    )
    return cluster


@pytest.mark.parametrize("method", ["COPY", "PUT"])
def test_a_copy_takes_the_metadata_along(method: str) -> None:
    async def test() -> None:
        cluster = await _with_source()
        if method == "COPY":
            answer = await cluster.as_ann("COPY", "/c/o%20o", destination="/d/%C3%B6", x_object_meta_b="2")
        else:
            answer = await cluster.as_ann("PUT", "/d/%C3%B6", x_copy_from="c/o%20o", x_object_meta_b="2")
        assert answer.status == 201
        assert (answer.headers["x-copied-from"], answer.headers["x-copied-from-account"]) == (
            "c/o%20o",
            "AUTH_photos",
        )
        assert "x-copied-from-last-modified" in answer.headers
        copied = await cluster.as_ann("GET", "/d/%C3%B6")
        assert (copied.body, copied.headers["content-type"], copied.headers["content-encoding"]) == (
            b"0123456789",
            "text/x",
            "br",
        )
        assert metadata_of(copied, "x-object-meta-") == {"a": "1", "b": "2"}
        assert "x-delete-at" in copied.headers

    run(test())


def test_fresh_metadata_replaces_it() -> None:
    async def test() -> None:
        cluster = await _with_source()
        await cluster.as_ann(
            "COPY", "/c/o%20o", destination="d/o", x_fresh_metadata="true", x_object_meta_b="2"
        )
        copied = await cluster.as_ann("GET", "/d/o")
        assert metadata_of(copied, "x-object-meta-") == {"b": "2"}
        assert copied.headers["content-type"] == "text/x"
        assert not {"content-encoding", "x-delete-at"} & set(copied.headers)
        await cluster.as_ann("COPY", "/c/o%20o", destination="d/o", content_type="text/y")
        assert (await cluster.as_ann("HEAD", "/d/o")).headers["content-type"] == "text/y"

    run(test())


def test_a_range_may_be_copied() -> None:
    async def test() -> None:
        cluster = await _with_source()
        await cluster.as_ann("PUT", "/d/o", x_copy_from="c/o%20o", range="bytes=2-4")
        assert (await cluster.as_ann("GET", "/d/o")).body == b"234"

    run(test())


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/c/o%20o", {}, 412),
        ("/c/o%20o", {"destination": "d"}, 412),
        ("/c/o%20o", {"destination": "d/" + "o" * 1025}, 400),
        ("/c/o%20o", {"destination": "none/o"}, 404),
        ("/c/none", {"destination": "d/o"}, 404),
        ("/c/o%20o", {"destination": "d/o", "if_match": '"x"'}, 412),
        ("/c/o%20o", {"destination": "c/o%20o", "if_none_match": "*"}, 412),
        ("/c/o%20o", {"destination": "d/o", "destination_account": "a/b"}, 412),
        ("/c/o%20o", {"destination": "d/o", "destination_account": "AUTH_bob"}, 403),
        ("/c/o%20o", {"destination": "d/o", "range": "bytes=50-"}, 416),
        ("/c/o%20o", {"destination": "d/o", "x_delete_at": "1"}, 400),
    ],
)
def test_a_copy_that_cannot_be_leaves_nothing(path: str, fields: dict[str, str], status: int) -> None:
    async def test() -> None:
        cluster = await _with_source()
        assert (await cluster.as_ann("COPY", path, **fields)).status == status
        assert (await cluster.as_ann("GET", "/d")).status == 204

    run(test())


def test_a_put_that_copies_has_no_body() -> None:
    async def test() -> None:
        cluster = await _with_source()
        assert (await cluster.as_ann("PUT", "/d/o", b"x", x_copy_from="c/o%20o")).status == 400

    run(test())


def test_copies_go_from_account_to_account_where_lists_allow_it() -> None:
    async def test() -> None:
        cluster = await _with_source()
        await cluster("PUT", "/v1/AUTH_bob/b", user=cluster.bob)
        fetch = {"x_copy_from": "c/o%20o", "x_copy_from_account": "AUTH_photos"}
        assert (await cluster("PUT", "/v1/AUTH_bob/b/o", None, cluster.bob, **fetch)).status == 403
        await cluster.as_ann("POST", "/c", x_container_read="bob")
        answer = await cluster("PUT", "/v1/AUTH_bob/b/o", None, cluster.bob, **fetch)
        assert (answer.status, answer.headers["x-copied-from-account"]) == (201, "AUTH_photos")
        send = {"destination": "d/o", "destination_account": "AUTH_photos"}
        assert (await cluster("COPY", "/v1/AUTH_bob/b/o", None, cluster.bob, **send)).status == 403
        await cluster.as_ann("POST", "/d", x_container_write="bob")
        assert (await cluster("COPY", "/v1/AUTH_bob/b/o", None, cluster.bob, **send)).status == 201
        assert (await cluster.as_ann("GET", "/d/o")).body == b"0123456789"

    run(test())


def test_large_objects_are_copied_whole_or_as_manifests() -> None:
    async def test() -> None:
        cluster = await _with_source()
        body = json.dumps([{"path": "/c/o%20o".replace("%20", " ")}, {"data": "Kys="}]).encode()
        await cluster.as_ann("PUT", "/c/static?multipart-manifest=put", body)
        await cluster.as_ann("PUT", "/c/dynamic", b"", x_object_manifest="c/o")
        for kind, data in (("static", b"0123456789++"), ("dynamic", b"0123456789")):
            await cluster.as_ann("COPY", f"/c/{kind}", destination=f"d/{kind}-whole")
            await cluster.as_ann(
                "COPY", f"/c/{kind}?multipart-manifest=get", destination=f"d/{kind}-manifest"
            )
            whole = await cluster.as_ann("GET", f"/d/{kind}-whole")
            manifest = await cluster.as_ann("GET", f"/d/{kind}-manifest")
            assert whole.body == manifest.body == data
            large = {"x-static-large-object", "x-object-manifest"}
            assert not large & set(whole.headers)
            assert large & set(manifest.headers)
            assert manifest.headers["etag"] == (await cluster.as_ann("HEAD", f"/c/{kind}")).headers["etag"]
        plain = await cluster.as_ann("COPY", "/c/o%20o?multipart-manifest=get", destination="d/plain")
        assert plain.status == 201

    run(test())
