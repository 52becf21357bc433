"""Objects written: PUT, POST, DELETE."""

import hashlib

import pytest

from proxy.http.message import Headers, Request
from tests.unit.proxy.memory_service import BytesBody
from tests.unit.proxy.swift_cluster import NOW_S, Cluster, answered, metadata_of, run


async def _with_container() -> Cluster:
    cluster = Cluster()
    await cluster.as_ann("PUT", "/c")
    return cluster


def test_a_put_answers_with_the_md5() -> None:
    async def test() -> None:
        cluster = await _with_container()
        answer = await cluster.as_ann(
            "PUT", "/c/o", b"data", x_object_meta_color="red", cache_control="no-cache"
        )
        assert (answer.status, answer.headers["etag"]) == (201, hashlib.md5(b"data").hexdigest())
        assert answer.headers["last-modified"].endswith(" GMT")
        head = await cluster.as_ann("HEAD", "/c/o")
        assert (head.length, head.headers["x-object-meta-color"], head.headers["cache-control"]) == (
            4,
            "red",
            "no-cache",
        )
        assert head.headers["etag"] == hashlib.md5(b"data").hexdigest()

    run(test())


@pytest.mark.parametrize(
    ("name", "fields", "content_type"),
    [
        ("o", {}, "application/octet-stream"),
        ("o.JPG", {}, "image/jpeg"),
        ("o.jpg", {"content_type": "text/x"}, "text/x"),
        ("o.jpg", {"content_type": "text/x", "x_detect_content_type": "true"}, "image/jpeg"),
        ("o", {"content_type": "text/plain; charset=utf-8"}, "text/plain; charset=utf-8"),
    ],
)
def test_the_type_is_told_or_guessed(name: str, fields: dict[str, str], content_type: str) -> None:
    async def test() -> None:
        cluster = await _with_container()
        await cluster.as_ann("PUT", f"/c/{name}", b"x", **fields)
        assert (await cluster.as_ann("GET", f"/c/{name}")).headers["content-type"] == content_type

    run(test())


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/none/o", {}, 404),
        ("/c/" + "o" * 1025, {}, 400),
        ("/c/o%00", {}, 412),
        ("/c/o", {"content_length": str(5 * 1024**3 + 1)}, 413),
        ("/c/o", {"etag": "0" * 32}, 422),
        ("/c/o", {"if_none_match": '"abc"'}, 400),
        ("/c/o", {"x_object_meta_" + "n" * 129: "v"}, 400),
        ("/c/o", {"x_object_manifest": "nothing"}, 400),
        ("/c/o", {"x_delete_at": "1"}, 400),
        ("/c/o", {"x_static_large_object": "True"}, 400),
        ("/c/o", {"content_type": "text/\xff"}, 400),
    ],
)
def test_a_put_that_cannot_be_leaves_nothing(path: str, fields: dict[str, str], status: int) -> None:
    async def test() -> None:
        cluster = await _with_container()
        headers = [(name.replace("_", "-"), value) for name, value in fields.items()]
        length = int(fields.get("content_length", "1"))
        if "content_length" not in fields:
            headers.append(("content-length", "1"))
        headers.append(("x-auth-token", cluster.tokens.issue(cluster.ann)[0]))
        body = BytesBody(b"x")
        body.length = length
        request = Request("PUT", f"/v1/AUTH_photos{path}", "", Headers(headers), body, "tx")
        assert (await answered(await cluster.application(request))).status == status
        assert (await cluster.as_ann("GET", "/c")).status == 204

    run(test())


def test_a_put_without_a_length_is_411_and_a_chunked_one_is_fine() -> None:
    async def test() -> None:
        cluster = await _with_container()
        token = cluster.tokens.issue(cluster.ann)[0]
        request = Request(
            "PUT", "/v1/AUTH_photos/c/o", "", Headers([("x-auth-token", token)]), BytesBody(b""), "tx"
        )
        assert (await answered(await cluster.application(request))).status == 411
        assert (
            await cluster("PUT", "/v1/AUTH_photos/c/o", b"0123456789", cluster.ann, chunked=True)
        ).status == 201
        assert (await cluster.as_ann("GET", "/c/o")).body == b"0123456789"

    run(test())


def test_a_chunked_body_is_cut_off_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr("proxy.swift.objects.MAX_FILE_SIZE", 8)
        cluster = await _with_container()
        assert (
            await cluster("PUT", "/v1/AUTH_photos/c/o", b"012345678", cluster.ann, chunked=True)
        ).status == 413
        assert (
            await cluster("PUT", "/v1/AUTH_photos/c/o", b"01234567", cluster.ann, chunked=True)
        ).status == 201

    run(test())


def test_the_etag_of_a_put_is_verified() -> None:
    async def test() -> None:
        cluster = await _with_container()
        md5 = hashlib.md5(b"x").hexdigest()
        assert (await cluster.as_ann("PUT", "/c/o", b"x", etag=f'"{md5.upper()}"')).status == 201
        assert (await cluster.as_ann("PUT", "/c/o", b"y", etag=md5)).status == 422
        assert (await cluster.as_ann("GET", "/c/o")).body == b"x"

    run(test())


def test_if_none_match_star_keeps_what_is_there() -> None:
    async def test() -> None:
        cluster = await _with_container()
        assert (
            await cluster.as_ann("PUT", "/c/o", b"first", if_none_match="*", x_delete_after="10")
        ).status == 201
        assert (await cluster.as_ann("PUT", "/c/o", b"second", if_none_match="*")).status == 412
        assert (await cluster.as_ann("GET", "/c/o")).body == b"first"
        cluster.now_s += 10  # what has expired is not there
        assert (await cluster.as_ann("PUT", "/c/o", b"second", if_none_match="*")).status == 201

    run(test())


def test_a_post_replaces_the_metadata() -> None:
    async def test() -> None:
        cluster = await _with_container()
        kept = {"content_type": "text/x", "content_disposition": "inline", "content_encoding": "gzip"}
        await cluster.as_ann("PUT", "/c/o", b"x", x_object_meta_a="1", x_delete_after="60", **kept)
        answer = await cluster.as_ann("POST", "/c/o", x_object_meta_b="2", content_disposition="attachment")
        assert answer.status == 202
        head = await cluster.as_ann("HEAD", "/c/o")
        assert metadata_of(head, "x-object-meta-") == {"b": "2"}
        assert (head.headers["content-type"], head.headers["content-disposition"]) == ("text/x", "attachment")
        assert not {"content-encoding", "x-delete-at"} & set(head.headers)
        await cluster.as_ann("POST", "/c/o", content_type="text/y")
        assert (await cluster.as_ann("HEAD", "/c/o")).headers["content-type"] == "text/y"
        assert (await cluster.as_ann("POST", "/c/none")).status == 404
        assert (await cluster.as_ann("POST", "/c/o", **{"x_object_meta_" + "n" * 129: "v"})).status == 400

    run(test())


def test_an_expired_object_is_gone() -> None:
    async def test() -> None:
        cluster = await _with_container()
        await cluster.as_ann("PUT", "/c/o", b"x", x_delete_after="60")
        await cluster.as_ann("PUT", "/c/p", b"x", x_delete_at=str(int(NOW_S) + 60))
        assert (await cluster.as_ann("HEAD", "/c/o")).headers["x-delete-at"] == str(int(NOW_S) + 60)
        cluster.now_s += 60
        for path in ("/c/o", "/c/p", "/c/o?multipart-manifest=get"):
            for method in ("GET", "HEAD"):
                assert (await cluster.as_ann(method, path)).status == 404
        assert (await cluster.as_ann("POST", "/c/o")).status == 404
        assert (await cluster.as_ann("COPY", "/c/o", destination="c/q")).status == 404
        assert (await cluster.as_ann("GET", "/c/o", range="bytes=5-")).status == 404

    run(test())


def test_a_post_sets_and_ends_expiry() -> None:
    async def test() -> None:
        cluster = await _with_container()
        await cluster.as_ann("PUT", "/c/o", b"x")
        await cluster.as_ann("POST", "/c/o", x_delete_after="5")
        assert (await cluster.as_ann("HEAD", "/c/o")).headers["x-delete-at"] == str(int(NOW_S) + 5)
        await cluster.as_ann("POST", "/c/o")
        assert "x-delete-at" not in (await cluster.as_ann("HEAD", "/c/o")).headers

    run(test())


def test_a_delete_is_404_when_there_was_nothing() -> None:
    async def test() -> None:
        cluster = await _with_container()
        await cluster.as_ann("PUT", "/c/o", b"x")
        assert (await cluster.as_ann("DELETE", "/c/o")).status == 204
        assert (await cluster.as_ann("DELETE", "/c/o")).status == 404
        assert (await cluster.as_ann("DELETE", "/none/o")).status == 404

    run(test())
