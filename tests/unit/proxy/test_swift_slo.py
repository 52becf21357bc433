"""Large objects, static and dynamic."""

import hashlib
import json
from typing import Any

import pytest

from tests.unit.proxy.swift_cluster import Answer, Cluster, run

PARTS = {"p1": b"aaaaa", "p2": b"bbb", "p3": b"c"}
WHOLE = b"aaaaabbbc"


def _md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


async def _with_parts() -> Cluster:
    cluster = Cluster()
    await cluster.as_ann("PUT", "/c")
    await cluster.as_ann("PUT", "/s")
    for name, data in PARTS.items():
        await cluster.as_ann("PUT", f"/s/{name}", data)
    return cluster


async def _put(cluster: Cluster, path: str, items: list[Any], query: str = "", **headers: str) -> Answer:
    body = json.dumps(items).encode()
    return await cluster.as_ann("PUT", f"{path}?multipart-manifest=put{query}", body, **headers)


def _items() -> list[dict[str, Any]]:
    return [
        {"path": f"/s/{name}", "etag": _md5(data), "size_bytes": len(data)} for name, data in PARTS.items()
    ]


def test_a_static_large_object_is_its_segments_in_a_row() -> None:
    async def test() -> None:
        cluster = await _with_parts()
        answer = await _put(cluster, "/c/o", _items(), content_type="text/x", x_object_meta_k="v")
        etag = _md5("".join(_md5(data) for data in PARTS.values()).encode())
        assert (answer.status, answer.headers["etag"]) == (201, f'"{etag}"')
        whole = await cluster.as_ann("GET", "/c/o")
        assert (whole.body, whole.headers["etag"], whole.headers["content-type"]) == (
            WHOLE,
            f'"{etag}"',
            "text/x",
        )
        assert (whole.headers["x-static-large-object"], whole.headers["x-object-meta-k"]) == ("True", "v")
        assert (await cluster.as_ann("GET", "/c/o", range="bytes=4-6")).body == WHOLE[4:7]
        assert (await cluster.as_ann("GET", "/c/o", if_none_match=f'"{etag}"')).status == 304
        assert (await cluster.as_ann("HEAD", "/c/o")).length == len(WHOLE)
        row = (await cluster.as_ann("GET", "/c?format=json")).json[0]
        assert (row["bytes"], row["slo_etag"]) == (len(WHOLE), f'"{etag}"')

    run(test())


def test_ranges_inline_data_and_nested_manifests_make_one_too() -> None:
    async def test() -> None:
        cluster = await _with_parts()
        await _put(cluster, "/c/inner", _items())
        items = [{"path": "/s/p1", "range": "1-2"}, {"data": "Kys="}, {"path": "/c/inner", "range": "-4"}]
        assert (await _put(cluster, "/c/o", items)).status == 201
        assert (await cluster.as_ann("GET", "/c/o")).body == b"aa++" + WHOLE[-4:]
        shown = (await cluster.as_ann("GET", "/c/o?multipart-manifest=get")).json
        assert [item.get("sub_slo") for item in shown] == [None, None, True]
        assert [item.get("range") for item in shown] == ["1-2", None, "5-8"]

    run(test())


def test_what_is_wrong_with_segments_is_reported_for_all_of_them() -> None:
    async def test() -> None:
        cluster = await _with_parts()
        items = [
            {"path": "/s/none"},
            {"path": "/s/p1", "etag": "0" * 32},
            {"path": "/s/p2", "size_bytes": 77},
            {"path": "/s/p3", "range": "5-"},
        ]
        answer = await _put(cluster, "/c/o", items, accept="application/json")
        assert answer.status == 400
        assert answer.json["Errors"] == [
            ["/s/none", "404 Not Found"],
            ["/s/p1", "Etag Mismatch"],
            ["/s/p2", "Size Mismatch"],
            ["/s/p3", "Unsatisfiable Range"],
        ]
        assert (await _put(cluster, "/c/o", items)).body.startswith(b"Errors:\n/s/none, 404 Not Found\n")
        assert (await cluster.as_ann("GET", "/c/o")).status == 404

    run(test())


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"nonsense", {}, 400),
        (b"[]", {"x_copy_from": "/s/p1"}, 405),
        (b"[]", {"if_none_match": '"x"'}, 400),
        (b" " * (8 * 1024**2 + 1), {}, 413),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(body: bytes, headers: dict[str, str], status: int) -> None:
    async def test() -> None:
        cluster = await _with_parts()
        answer = await cluster.as_ann("PUT", "/c/o?multipart-manifest=put", body, **headers)
        assert answer.status == status

    run(test())


def test_the_etag_of_the_whole_is_verified() -> None:
    async def test() -> None:
        cluster = await _with_parts()
        assert (await _put(cluster, "/c/o", _items(), etag="0" * 32)).status == 422
        etag = _md5("".join(_md5(data) for data in PARTS.values()).encode())
        assert (await _put(cluster, "/c/o", _items(), etag=etag)).status == 201

    run(test())


def test_with_heartbeats_the_status_is_in_the_report() -> None:
    async def test() -> None:
        cluster = await _with_parts()
        good = await _put(cluster, "/c/o", _items(), "&heartbeat=on", accept="application/json")
        assert (good.status, good.json["Response Status"]) == (202, "201 Created")
        assert (await cluster.as_ann("GET", "/c/o")).body == WHOLE
        bad = await _put(cluster, "/c/p", [{"path": "/s/x"}], "&heartbeat=on", accept="application/json")
        assert (bad.status, bad.json["Response Status"]) == (202, "400 Bad Request")
        assert bad.json["Errors"] == [["/s/x", "404 Not Found"]]

    run(test())


def test_a_manifest_is_shown_and_can_be_put_again() -> None:
    async def test() -> None:
        cluster = await _with_parts()
        await _put(cluster, "/c/o", _items(), content_type="text/x")
        shown = await cluster.as_ann("GET", "/c/o?multipart-manifest=get")
        assert shown.headers["content-type"] == "application/json; charset=utf-8"
        assert shown.headers["etag"] == _md5(shown.body)
        assert [(item["name"], item["bytes"], item["hash"]) for item in shown.json] == [
            (f"/s/{name}", len(data), _md5(data)) for name, data in PARTS.items()
        ]
        raw = await cluster.as_ann("GET", "/c/o?multipart-manifest=get&format=raw")
        assert raw.headers["content-type"] == "text/x"
        assert (await cluster.as_ann("PUT", "/c/p?multipart-manifest=put", raw.body)).status == 201
        assert (await cluster.as_ann("GET", "/c/p")).body == WHOLE
        head = await cluster.as_ann("HEAD", "/c/o?multipart-manifest=get")
        assert (head.length, head.headers["etag"]) == (len(shown.body), shown.headers["etag"])

    run(test())


def test_of_a_plain_object_multipart_manifest_get_gives_the_object() -> None:
    async def test() -> None:
        cluster = await _with_parts()
        assert (await cluster.as_ann("GET", "/s/p1?multipart-manifest=get")).body == PARTS["p1"]
        assert (await cluster.as_ann("HEAD", "/s/p1?multipart-manifest=get")).length == 5

    run(test())


def test_deleting_the_manifest_alone_leaves_the_segments() -> None:
    async def test() -> None:
        cluster = await _with_parts()
        await _put(cluster, "/c/o", _items())
        assert (await cluster.as_ann("DELETE", "/c/o")).status == 204
        assert (await cluster.as_ann("GET", "/s")).body == b"p1\np2\np3\n"

    run(test())


def test_deleting_with_segments_deletes_those_of_nested_manifests_too() -> None:
    async def test() -> None:
        cluster = await _with_parts()
        await _put(cluster, "/c/inner", _items()[:2])
        await _put(
            cluster, "/c/o", [{"path": "/c/inner"}, {"data": "Kys="}, {"path": "/s/p3"}, {"path": "/s/p1"}]
        )
        await cluster.as_ann("DELETE", "/s/p2")
        answer = await cluster.as_ann("DELETE", "/c/o?multipart-manifest=delete", accept="application/json")
        assert answer.status == 200
        report = answer.json
        assert (report["Response Status"], report["Number Deleted"], report["Number Not Found"]) == (
            "200 OK",
            4,
            1,
        )
        assert (await cluster.as_ann("GET", "/s")).status == 204
        assert (await cluster.as_ann("GET", "/c")).status == 204

    run(test())


def test_only_manifests_are_deleted_with_segments() -> None:
    async def test() -> None:
        cluster = await _with_parts()
        plain = await cluster.as_ann("DELETE", "/s/p1?multipart-manifest=delete", accept="application/json")
        assert (plain.status, plain.json["Response Status"]) == (200, "400 Bad Request")
        gone = await cluster.as_ann("DELETE", "/s/none?multipart-manifest=delete", accept="application/json")
        assert gone.json["Number Not Found"] == 1
        assert (await cluster.as_ann("GET", "/s/p1")).status == 200

    run(test())


def test_a_reader_by_grant_needs_a_grant_for_the_segments_too() -> None:
    async def test() -> None:
        cluster = await _with_parts()
        await _put(cluster, "/c/inner", _items())
        await _put(cluster, "/c/o", [{"path": "/c/inner"}])
        await cluster.as_ann("PUT", "/c/dynamic", b"", x_object_manifest="s/p")
        await cluster.as_ann("POST", "/c", x_container_read="bob")
        places = ("/v1/AUTH_photos/c/o", "/v1/AUTH_photos/c/dynamic")
        for place in places:
            assert (await cluster("GET", place, user=cluster.bob)).status == 403
            assert (await cluster("GET", place, user=cluster.bob, range="bytes=0-0,2-2")).status == 403
        await cluster.as_ann("POST", "/s", x_container_read="bob")
        for place in places:
            assert (await cluster("GET", place, user=cluster.bob)).body == WHOLE
        await cluster("PUT", "/v1/AUTH_bob/c", None, cluster.bob)
        await cluster.as_ann("POST", "/s", x_container_read="")
        for source in ("c/o", "c/dynamic"):
            stolen = await cluster(
                "PUT",
                "/v1/AUTH_bob/c/o",
                None,
                cluster.bob,
                x_copy_from=source,
                x_copy_from_account="AUTH_photos",
            )
            assert stolen.status == 403

    run(test())


def test_a_writer_by_grant_cannot_make_segments_of_what_he_may_not_read() -> None:
    async def test() -> None:
        cluster = await _with_parts()
        await cluster.as_ann("POST", "/c", x_container_write="bob", x_container_read="bob")
        body = json.dumps([{"path": "/s/p1"}]).encode()
        path = "/v1/AUTH_photos/c/o?multipart-manifest=put"
        answer = await cluster("PUT", path, body, cluster.bob, accept="application/json")
        assert (answer.status, answer.json["Errors"]) == (400, [["/s/p1", "403 Forbidden"]])

    run(test())


def test_a_dynamic_large_object_is_what_its_prefix_lists() -> None:
    async def test() -> None:
        cluster = await _with_parts()
        await cluster.as_ann("PUT", "/c/o", b"", x_object_manifest="s/p")
        answer = await cluster.as_ann("GET", "/c/o")
        etag = _md5("".join(_md5(data) for data in PARTS.values()).encode())
        assert (answer.body, answer.headers["etag"]) == (WHOLE, f'"{etag}"')
        assert answer.headers["x-object-manifest"] == "s/p"
        await cluster.as_ann("PUT", "/s/p4", b"dd")
        assert (await cluster.as_ann("GET", "/c/o", range="bytes=-3")).body == b"cdd"
        assert (await cluster.as_ann("HEAD", "/c/o")).length == len(WHOLE) + 2
        own = await cluster.as_ann("GET", "/c/o?multipart-manifest=get")
        assert (own.body, own.headers["etag"]) == (b"", _md5(b""))

    run(test())


def test_a_post_keeps_a_static_and_drops_a_dynamic_manifest() -> None:
    async def test() -> None:
        cluster = await _with_parts()
        await _put(cluster, "/c/static", _items())
        await cluster.as_ann("PUT", "/c/dynamic", b"", x_object_manifest="s/p")
        for path in ("/c/static", "/c/dynamic"):
            await cluster.as_ann("POST", path, x_object_meta_k="v")
        assert (await cluster.as_ann("GET", "/c/static")).body == WHOLE
        assert (await cluster.as_ann("GET", "/c/dynamic")).body == b""
        await cluster.as_ann("POST", "/c/dynamic", x_object_manifest="s/p")
        assert (await cluster.as_ann("GET", "/c/dynamic")).body == WHOLE

    run(test())


def test_a_segment_is_read_by_its_number() -> None:
    """As test/functional/test_slo.py of Swift has it."""

    async def test() -> None:
        cluster = await _with_parts()
        etag = (await _put(cluster, "/c/o", _items())).headers["etag"]
        start = 0
        for number, data in enumerate(PARTS.values(), start=1):
            for method in ("GET", "HEAD"):
                answer = await cluster.as_ann(method, f"/c/o?part-number={number}")
                assert (answer.status, answer.length or len(answer.body)) == (206, len(data))
                assert answer.headers["content-range"] == f"bytes {start}-{start + len(data) - 1}/9"
                assert (answer.headers["x-parts-count"], answer.headers["etag"]) == ("3", etag)
                assert answer.headers["x-manifest-etag"]
            assert (await cluster.as_ann("GET", f"/c/o?part-number={number}")).body == data
            start += len(data)
        answer = await cluster.as_ann("GET", "/c/o?part-number=4")
        assert (answer.status, answer.body) == (416, b"The requested part number is not satisfiable")
        assert (answer.headers["content-range"], answer.headers["x-parts-count"]) == ("bytes */9", "3")
        for number in ("0", "-1", "one", ""):
            assert (await cluster.as_ann("GET", f"/c/o?part-number={number}")).status == 400
        assert (await cluster.as_ann("GET", "/c/o?part-number=1", range="bytes=0-1")).status == 400
        assert (await cluster.as_ann("GET", "/s/p1?part-number=7")).body == PARTS["p1"]
        assert (await cluster.as_ann("GET", "/c/o?part-number=1", if_none_match=etag)).status == 304

    run(test())


def test_a_segment_is_copied_by_its_number() -> None:
    async def test() -> None:
        cluster = await _with_parts()
        await _put(cluster, "/c/o", _items())
        await cluster.as_ann("COPY", "/c/o?part-number=2", destination="c/p2")
        assert (await cluster.as_ann("GET", "/c/p2")).body == PARTS["p2"]

    run(test())


def test_the_etag_of_the_manifest_is_told_and_goes_with_its_copy() -> None:
    async def test() -> None:
        cluster = await _with_parts()
        await _put(cluster, "/c/o", _items())
        shown = await cluster.as_ann("GET", "/c/o?multipart-manifest=get")
        await cluster.as_ann("COPY", "/c/o?multipart-manifest=get", destination="c/copy")
        for path in ("/c/o", "/c/copy"):
            for method in ("GET", "HEAD"):
                assert (await cluster.as_ann(method, path)).headers["x-manifest-etag"] == _md5(shown.body)
        rows = (await cluster.as_ann("GET", "/c?format=json")).json
        assert [row["hash"] for row in rows] == [_md5(shown.body)] * 2
        assert (await cluster.as_ann("GET", "/c?format=xml")).body.count(_md5(shown.body).encode()) == 2

    run(test())
