"""Objects read: ranges and conditions."""

from email import message_from_bytes

import pytest

from proxy.objects.model import NewObject, ObjectName
from tests.unit.proxy.memory_service import BytesBody
from tests.unit.proxy.swift_cluster import Answer, Cluster, run

DATA = b"0123456789"
MD5 = "781e5e245d69b566979b86e28d23f2c7"
OLD, NEW = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"


async def _get(method: str = "GET", **headers: str) -> Answer:
    cluster = Cluster()
    await cluster.as_ann("PUT", "/c")
    await cluster.as_ann("PUT", "/c/o", DATA, content_type="text/x")
    return await cluster.as_ann(method, "/c/o", **headers)


@pytest.mark.parametrize(
    ("wanted", "data", "shown"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=7-99", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-99", DATA, "bytes 0-9/10"),
        ("bytes=3-4,20-30", b"34", "bytes 3-4/10"),
    ],
)
def test_a_range_is_answered_206(wanted: str, data: bytes, shown: str) -> None:
    answer = run(_get(range=wanted))
    assert (answer.status, answer.body, answer.headers["content-range"]) == (206, data, shown)
    assert answer.headers["etag"] == MD5


@pytest.mark.parametrize("wanted", ["bytes=x", "lines=1-2", "bytes=4-2", "bytes=0-5,3-9"])
def test_a_range_that_means_nothing_or_more_than_all_is_ignored(wanted: str) -> None:
    answer = run(_get(range=wanted))
    assert (answer.status, answer.body) == (200, DATA)


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=-0", "bytes=20-30,40-"])
def test_a_range_behind_the_end_is_416(wanted: str) -> None:
    answer = run(_get(range=wanted))
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */10")


def test_several_ranges_come_as_one_multipart_body() -> None:
    answer = run(_get(range="bytes=0-1,5-5,-2"))
    assert answer.status == 206
    assert answer.length == len(answer.body)
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts = message_from_bytes(head + answer.body).get_payload()
    assert [(part["content-range"], part.get_payload()) for part in parts] == [  # type: ignore[union-attr]
        ("bytes 0-1/10", "01"),
        ("bytes 5-5/10", "5"),
        ("bytes 8-9/10", "89"),
    ]
    assert all(part["content-type"] == "text/x" for part in parts)  # type: ignore[union-attr]


def test_ranges_of_an_object_that_is_replaced_meanwhile_are_cut_off() -> None:
    async def test() -> None:
        cluster = Cluster()
        await cluster.as_ann("PUT", "/c")
        await cluster.as_ann("PUT", "/c/o", DATA)
        read = cluster.service.get_object

        async def replaced(name: ObjectName, *arguments: object) -> object:
            await cluster.as_ann("PUT", "/c/o", b"something else")
            return await read(name, *arguments)  # type: ignore[arg-type]

        cluster.service.get_object = replaced  # type: ignore[assignment, method-assign]
        with pytest.raises(Exception, match="replaced"):
            await cluster.as_ann("GET", "/c/o", range="bytes=0-1,5-5")

    run(test())


def test_head_ignores_ranges() -> None:
    answer = run(_get("HEAD", range="bytes=0-1"))
    assert (answer.status, answer.length, answer.body) == (200, 10, b"")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if_match": f'"{MD5}"'}, 200),
        ({"if_match": MD5}, 200),
        ({"if_match": '"other"'}, 412),
        ({"if_none_match": f'"{MD5}"'}, 304),
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": '"other"'}, 200),
        ({"if_modified_since": NEW}, 304),
        ({"if_modified_since": OLD}, 200),
        ({"if_unmodified_since": NEW}, 200),
        ({"if_unmodified_since": OLD}, 412),
        ({"if_match": MD5, "if_unmodified_since": NEW}, 200),
        ({"if_match": MD5, "if_unmodified_since": OLD}, 412),  # Swift's TestFileComparison, not RFC 9110
        ({"x_newest": "true"}, 200),
    ],
)
def test_conditions_are_kept(method: str, headers: dict[str, str], status: int) -> None:
    answer = run(_get(method, **headers))
    assert answer.status == status
    if status == 304:
        assert (answer.headers["etag"], answer.body) == (MD5, b"")
        assert "content-type" not in answer.headers


def test_the_very_last_modified_of_an_answer_means_not_modified() -> None:
    async def test() -> None:
        cluster = Cluster()
        await cluster.as_ann("PUT", "/c")
        await cluster.as_ann("PUT", "/c/o", DATA)
        date = (await cluster.as_ann("GET", "/c/o")).headers["last-modified"]
        assert (await cluster.as_ann("GET", "/c/o", if_modified_since=date)).status == 304
        assert (await cluster.as_ann("GET", "/c/o", if_unmodified_since=date)).status == 200
        assert (await cluster.as_ann("GET", "/c/o", if_range=date, range="bytes=1-2")).status == 206

    run(test())


@pytest.mark.parametrize("wanted", ["bytes=1-2", "bytes=1-2,4-5", "bytes=50-"])
def test_if_range_gives_all_when_the_version_is_another(wanted: str) -> None:
    answer = run(_get(range=wanted, if_range='"other"'))
    assert (answer.status, answer.body) == (200, DATA)
    assert run(_get(range=wanted, if_range=f'"{MD5}"')).status in (206, 416)


def test_a_condition_comes_before_the_range() -> None:
    assert run(_get(range="bytes=50-", if_none_match=f'"{MD5}"')).status == 304
    assert run(_get(range="bytes=1-2,4-5", if_match='"other"')).status == 412


def test_an_empty_object_has_no_range() -> None:
    async def test() -> None:
        cluster = Cluster()
        await cluster.as_ann("PUT", "/c")
        await cluster.as_ann("PUT", "/c/o", b"")
        assert (await cluster.as_ann("GET", "/c/o")).body == b""
        assert (await cluster.as_ann("GET", "/c/o", range="bytes=0-")).status == 416
        assert (await cluster.as_ann("GET", "/c/o", range="bytes=-0")).status == 416
        assert (await cluster.as_ann("GET", "/c/o", range="bytes=-5")).status == 200

    run(test())


def test_an_s3_multipart_object_reads_as_a_large_object() -> None:
    async def test() -> None:
        cluster = Cluster()
        cluster.service.minimum_part_size = 1
        await cluster.as_ann("PUT", "/c")
        name, new = ObjectName("AUTH_photos", "c", "o"), NewObject("text/x")
        upload_id = await cluster.service.create_upload(name, new)
        etags = [
            (
                number,
                (await cluster.service.put_part(name, upload_id, number, BytesBody(data), new)).metadata.etag,
                {},
            )
            for number, data in ((1, b"01234"), (2, b"56789"))
        ]
        whole = await cluster.service.complete_upload(name, upload_id, etags)
        answer = await cluster.as_ann("GET", "/c/o", range="bytes=3-6")
        assert (answer.status, answer.body) == (206, b"3456")
        assert answer.headers["x-static-large-object"] == "True"
        assert answer.headers["etag"] == f'"{whole.metadata.etag}"'
        assert (await cluster.as_ann("GET", "/c/o?multipart-manifest=get")).json == []
        assert (await cluster.as_ann("DELETE", "/c/o?multipart-manifest=delete")).status == 204
        assert (await cluster.as_ann("GET", "/c/o")).status == 404

    run(test())
