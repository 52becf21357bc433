"""Symbolic links, as Swift's symlink middleware has them."""

import hashlib
import hmac
import json

import pytest

from tests.unit.proxy.swift_cluster import NOW_S, Cluster, run

EMPTY = hashlib.md5(b"").hexdigest()
DATA = b"0123456789"
ETAG = hashlib.md5(DATA).hexdigest()


async def linked(**headers: str) -> Cluster:
    """Return a cluster in which Ann's /links/l is a link to /c/o."""
    cluster = Cluster()
    for container in ("/c", "/links"):
        await cluster.as_ann("PUT", container)
    await cluster.as_ann("PUT", "/c/o", DATA, content_type="text/x", x_object_meta_color="red")
    answer = await cluster.as_ann("PUT", "/links/l", x_symlink_target="c/o", **headers)
    assert (answer.status, answer.headers["etag"]) == (201, EMPTY)
    return cluster


def test_reading_a_link_reads_its_target() -> None:
    async def test() -> None:
        cluster = await linked()
        for method in ("GET", "HEAD"):
            answer = await cluster.as_ann(method, "/links/l")
            assert (answer.status, answer.length or len(answer.body), answer.headers["etag"]) == (200, 10, ETAG)
            assert answer.headers["x-object-meta-color"] == "red"
            assert answer.headers["content-location"] == "/v1/AUTH_photos/c/o"
            assert "x-symlink-target" not in answer.headers
        assert (await cluster.as_ann("GET", "/links/l", range="bytes=2-4")).body == b"234"
        assert (await cluster.as_ann("GET", "/links/l", range="bytes=0-0,2-4")).status == 206
        assert (await cluster.as_ann("GET", "/links/l", range="bytes=99-")).status == 416
        conditional = await cluster.as_ann("GET", "/links/l", if_none_match=ETAG)
        assert (conditional.status, conditional.headers["content-location"]) == (304, "/v1/AUTH_photos/c/o")
        assert (await cluster.as_ann("GET", "/links/l", if_match=ETAG)).status == 200
        assert "content-location" not in (await cluster.as_ann("GET", "/c/o")).headers

    run(test())


def test_a_link_itself_is_read_if_that_is_asked_for() -> None:
    async def test() -> None:
        cluster = await linked(x_object_meta_own="1")
        for method in ("GET", "HEAD"):
            answer = await cluster.as_ann(method, "/links/l?symlink=get")
            assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"", "application/symlink")
            assert (answer.headers["x-symlink-target"], answer.headers["x-object-meta-own"]) == ("c/o", "1")
            assert "x-symlink-target-account" not in answer.headers
            assert "content-location" not in answer.headers
        assert (await cluster.as_ann("GET", "/c/o?symlink=get")).body == DATA

    run(test())


def test_links_are_marked_in_json_listings() -> None:
    async def test() -> None:
        cluster = await linked()
        await cluster.as_ann("PUT", "/links/m", x_symlink_target="c/%C3%BC%20x", x_symlink_target_account="AUTH_b")
        await cluster.as_ann("PUT", "/links/s", x_symlink_target="c/o", x_symlink_target_etag=ETAG)
        rows = {row["name"]: row for row in (await cluster.as_ann("GET", "/links?format=json")).json}
        assert rows["l"]["symlink_path"] == "/v1/AUTH_photos/c/o"
        assert (rows["l"]["hash"], rows["l"]["bytes"], rows["l"]["content_type"]) == (EMPTY, 0, "application/symlink")
        assert rows["m"]["symlink_path"] == "/v1/AUTH_b/c/%C3%BC%20x"
        assert "symlink_etag" not in rows["l"]
        assert (rows["s"]["symlink_etag"], rows["s"]["symlink_bytes"], rows["s"]["bytes"]) == (ETAG, 10, 0)
        assert rows["s"]["content_type"] == "text/x"
        assert b"symlink" not in (await cluster.as_ann("GET", "/links?format=xml")).body.replace(
            b"application/symlink", b""
        )

    run(test())


@pytest.mark.parametrize(
    ("headers", "body", "status", "text"),
    [
        ({"x_symlink_target": "c"}, b"", 412, b"<container name>/<object name>"),
        ({"x_symlink_target": ""}, b"", 412, b"<container name>/<object name>"),
        ({"x_symlink_target": "/c/o"}, b"", 412, b"<container name>/<object name>"),
        ({"x_symlink_target": "%2Fc/o"}, b"", 412, b"<container name>/<object name>"),
        ({"x_symlink_target": "links/n"}, b"", 400, b"Symlink cannot target itself"),
        ({"x_symlink_target": "c/o", "x_symlink_target_account": "a/b"}, b"", 412, b"cannot contain slashes"),
        ({"x_symlink_target": "c/o"}, b"data", 400, b"Symlink requests require a zero byte body"),
        ({"x_symlink_target": "c/o", "x_copy_from": "c/o"}, b"", 400, b"zero byte body"),
        ({"x_symlink_target": "c/o", "x_symlink_target_etag": 'a"b'}, b"", 400, b"Bad X-Symlink-Target-Etag format"),
        ({"x_symlink_target": "c/o", "x_symlink_target_etag": "0" * 32}, b"", 409, b"does not match"),
        ({"x_symlink_target": "c/p", "x_symlink_target_etag": ETAG}, b"", 409, b"X-Symlink-Target does not exist"),
    ],
)
def test_what_is_no_link_is_not_made(headers: dict[str, str], body: bytes, status: int, text: bytes) -> None:
    async def test() -> None:
        cluster = await linked()
        answer = await cluster.as_ann("PUT", "/links/n", body, **headers)
        assert answer.status == status, answer.body
        assert text in answer.body
        assert (await cluster.as_ann("HEAD", "/links/n?symlink=get")).status == 404

    run(test())


def test_a_body_of_unknown_length_is_looked_at() -> None:
    async def test() -> None:
        cluster = await linked()
        path = "/v1/AUTH_photos/links/n"
        for body, status in ((b"data", 400), (b"", 201)):
            answer = await cluster("PUT", path, body, cluster.ann, chunked=True, x_symlink_target="c/o")
            assert answer.status == status

    run(test())


def test_two_links_in_a_row_are_followed_and_no_more() -> None:
    async def test() -> None:
        cluster = await linked()
        await cluster.as_ann("PUT", "/links/2", x_symlink_target="links/l")
        await cluster.as_ann("PUT", "/links/3", x_symlink_target="links/2")
        assert (await cluster.as_ann("GET", "/links/2")).body == DATA
        for method in ("GET", "HEAD"):
            assert (await cluster.as_ann(method, "/links/3")).status == 409
        await cluster.as_ann("PUT", "/links/a", x_symlink_target="links/b")
        await cluster.as_ann("PUT", "/links/b", x_symlink_target="links/a")
        answer = await cluster.as_ann("GET", "/links/a")
        assert (answer.status, answer.body) == (409, b"Too many levels of symbolic links, maximum allowed is 2")

    run(test())


def test_what_is_wrong_with_the_target_is_told_with_its_place() -> None:
    async def test() -> None:
        cluster = await linked()
        await cluster.as_ann("DELETE", "/c/o")
        answer = await cluster.as_ann("GET", "/links/l")
        assert (answer.status, answer.headers["content-location"]) == (404, "/v1/AUTH_photos/c/o")
        assert (await cluster.as_ann("HEAD", "/links/l?symlink=get")).status == 200
        await cluster("PUT", "/v1/AUTH_bob/b", user=cluster.bob)
        await cluster.as_ann("PUT", "/links/l", x_symlink_target="b/o", x_symlink_target_account="AUTH_bob")
        answer = await cluster.as_ann("GET", "/links/l")
        assert (answer.status, answer.headers["content-location"]) == (403, "/v1/AUTH_bob/b/o")

    run(test())


def test_a_reader_of_the_link_needs_the_right_to_read_the_target() -> None:
    async def test() -> None:
        cluster = await linked()
        await cluster.as_ann("POST", "/links", x_container_read=".r:*")
        assert (await cluster("GET", "/v1/AUTH_photos/links/l")).status == 401
        await cluster.as_ann("POST", "/c", x_container_read=".r:*")
        assert (await cluster("GET", "/v1/AUTH_photos/links/l")).body == DATA

    run(test())


def test_a_static_link_is_for_one_version() -> None:
    async def test() -> None:
        cluster = await linked(x_symlink_target_etag=f'"{ETAG}"')
        seen = (await cluster.as_ann("HEAD", "/links/l?symlink=get")).headers
        assert (seen["x-symlink-target-etag"], seen["x-symlink-target-bytes"]) == (ETAG, "10")
        assert (await cluster.as_ann("GET", "/links/l")).body == DATA
        await cluster.as_ann("PUT", "/c/o", b"other")
        for method in ("GET", "HEAD"):
            answer = await cluster.as_ann(method, "/links/l")
            assert (answer.status, answer.headers["content-location"]) == (409, "/v1/AUTH_photos/c/o")
        posted = await cluster.as_ann("POST", "/links/l", x_object_meta_a="1")
        assert (posted.status, posted.headers["x-symlink-target-etag"]) == (307, ETAG)

    run(test())


def test_static_links_to_links() -> None:
    async def test() -> None:
        cluster = await linked(x_symlink_target_etag=ETAG)
        to_static = {"x_symlink_target": "links/l"}
        assert (await cluster.as_ann("PUT", "/links/2", x_symlink_target_etag=ETAG, **to_static)).status == 201
        assert (await cluster.as_ann("GET", "/links/2")).body == DATA
        assert (await cluster.as_ann("PUT", "/links/n", x_symlink_target_etag="0" * 32, **to_static)).status == 409
        await cluster.as_ann("PUT", "/links/soft", x_symlink_target="c/o")
        to_soft = {"x_symlink_target": "links/soft"}
        assert (await cluster.as_ann("PUT", "/links/n", x_symlink_target_etag=ETAG, **to_soft)).status == 409
        assert (await cluster.as_ann("PUT", "/links/n", x_symlink_target_etag=EMPTY, **to_soft)).status == 201
        assert (await cluster.as_ann("GET", "/links/n")).body == DATA
        await cluster.as_ann("PUT", "/links/l", x_symlink_target="c/o")
        assert (await cluster.as_ann("GET", "/links/2")).status == 409

    run(test())


def test_a_static_link_to_a_large_object_has_the_etag_of_its_manifest() -> None:
    async def test() -> None:
        cluster = await linked()
        manifest = json.dumps([{"path": "/c/o"}]).encode()
        put = await cluster.as_ann("PUT", "/c/slo?multipart-manifest=put", manifest)
        manifest_etag = (await cluster.as_ann("HEAD", "/c/slo")).headers["x-manifest-etag"]
        shown = await cluster.as_ann("GET", "/c/slo?multipart-manifest=get")
        assert hashlib.md5(shown.body).hexdigest() == shown.headers["etag"] == manifest_etag
        answer = await cluster.as_ann("PUT", "/links/s", x_symlink_target="c/slo", x_symlink_target_etag=manifest_etag)
        assert answer.status == 201
        row = (await cluster.as_ann("GET", "/links?format=json&prefix=s")).json[0]
        assert (row["slo_etag"], row["symlink_bytes"]) == (put.headers["etag"], 10)
        answer = await cluster.as_ann("GET", "/links/s")
        assert (answer.body, answer.headers["x-static-large-object"]) == (DATA, "True")
        assert (await cluster.as_ann("GET", "/links/s?multipart-manifest=get")).body == shown.body

    run(test())


def test_a_post_changes_the_link_and_says_where_the_target_is() -> None:
    async def test() -> None:
        cluster = await linked()
        answer = await cluster.as_ann("POST", "/links/l", x_object_meta_a="1")
        assert (answer.status, answer.headers["location"]) == (307, "/v1/AUTH_photos/c/o")
        itself = (await cluster.as_ann("HEAD", "/links/l?symlink=get")).headers
        assert (itself["x-object-meta-a"], itself["x-symlink-target"]) == ("1", "c/o")
        assert "x-object-meta-a" not in (await cluster.as_ann("HEAD", "/c/o")).headers
        answer = await cluster.as_ann("POST", "/c/o", x_symlink_target="c/p")
        assert (answer.status, answer.body) == (400, b"A PUT request is required to set a symlink target")

    run(test())


def test_deleting_a_link_leaves_the_target() -> None:
    async def test() -> None:
        cluster = await linked()
        assert (await cluster.as_ann("DELETE", "/links/l")).status == 204
        assert (await cluster.as_ann("GET", "/links/l")).status == 404
        assert (await cluster.as_ann("GET", "/c/o")).body == DATA

    run(test())


def test_a_copy_is_of_the_target_or_of_the_link() -> None:
    async def test() -> None:
        cluster = await linked()
        assert (await cluster.as_ann("COPY", "/links/l", destination="c/copy")).status == 201
        copied = await cluster.as_ann("GET", "/c/copy?symlink=get")
        assert (copied.body, copied.headers["x-object-meta-color"]) == (DATA, "red")
        copy = await cluster.as_ann("PUT", "/c/link?symlink=get", x_copy_from="links/l")
        assert (copy.status, copy.headers["x-copied-from"]) == (201, "links/l")
        itself = await cluster.as_ann("HEAD", "/c/link?symlink=get")
        assert (itself.headers["x-symlink-target"], itself.headers["content-type"]) == ("c/o", "application/symlink")
        assert (await cluster.as_ann("GET", "/c/link")).body == DATA
        row = (await cluster.as_ann("GET", "/c?format=json&prefix=link")).json[0]
        assert row["symlink_path"] == "/v1/AUTH_photos/c/o"
        await cluster.as_ann("DELETE", "/c/o")
        assert (await cluster.as_ann("COPY", "/links/l", destination="c/copy")).status == 404

    run(test())


def test_segments_of_a_large_object_may_be_links() -> None:
    async def test() -> None:
        cluster = await linked()
        manifest = json.dumps([{"path": "/links/l", "etag": ETAG, "size_bytes": 10}, {"path": "/c/o", "range": "0-1"}])
        assert (await cluster.as_ann("PUT", "/c/slo?multipart-manifest=put", manifest.encode())).status == 201
        assert (await cluster.as_ann("GET", "/c/slo")).body == DATA + b"01"
        shown = (await cluster.as_ann("GET", "/c/slo?multipart-manifest=get")).json
        assert [entry["name"] for entry in shown] == ["/links/l", "/c/o"]
        deleted = await cluster.as_ann("DELETE", "/c/slo?multipart-manifest=delete", accept="application/json")
        assert deleted.json["Number Deleted"] == 3
        assert (await cluster.as_ann("HEAD", "/links/l?symlink=get")).status == 404

    run(test())


def test_a_temporary_url_follows_links_as_far_as_its_key_opens() -> None:
    async def test() -> None:
        cluster = await linked()
        expires = int(NOW_S) + 60
        text = f"GET\n{expires}\n/v1/AUTH_photos/links/l"
        signature = hmac.new(b"k", text.encode(), "sha256").hexdigest()
        url = f"/v1/AUTH_photos/links/l?temp_url_sig={signature}&temp_url_expires={expires}"
        await cluster.as_ann("POST", "/links", x_container_meta_temp_url_key="k")
        assert (await cluster("GET", url)).status == 401
        await cluster.as_ann("POST", "", x_account_meta_temp_url_key="k")
        assert (await cluster("GET", url)).body == DATA

    run(test())
