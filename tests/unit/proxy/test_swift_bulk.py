"""Operations on many objects."""

import io
import tarfile

import pytest

from proxy.objects.errors import Unavailable
from tests.unit.proxy.swift_cluster import Cluster, metadata_of, run


async def _filled() -> Cluster:
    cluster = Cluster()
    for container in ("c", "d"):
        await cluster.as_ann("PUT", f"/{container}")
        for name in ("1", "%C3%B6%20x"):
            await cluster.as_ann("PUT", f"/{container}/{name}", b"x")
    return cluster


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_objects_go_first_and_containers_after(method: str) -> None:
    async def test() -> None:
        cluster = await _filled()
        body = b"c\n/c/1\nc/%C3%B6%20x\n\n c/none \nd/1\n"
        answer = await cluster.as_ann(
            method, "?bulk-delete", body, content_type="text/plain", accept="application/json"
        )
        assert answer.status == 200
        assert answer.json == {
            "Number Deleted": 4,
            "Number Not Found": 1,
            "Response Body": "",
            "Response Status": "200 OK",
            "Errors": [],
        }
        assert (await cluster.as_ann("GET", "")).body == b"d\n"

    run(test())


def test_what_could_not_be_deleted_is_named() -> None:
    async def test() -> None:
        cluster = await _filled()
        body = b"c\nd/%FF\nd/%00\n"
        answer = await cluster.as_ann("POST", "?bulk-delete=true", body, accept="application/json")
        assert answer.json["Response Status"] == "400 Bad Request"
        assert answer.json["Errors"] == [
            ["d/%FF", "412 Precondition Failed"],
            ["d/%00", "412 Precondition Failed"],
            ["c", "409 Conflict"],
        ]
        empty = await cluster.as_ann("POST", "?bulk-delete", b"\n", accept="application/json")
        assert (empty.json["Response Status"], empty.json["Response Body"]) == (
            "400 Bad Request",
            "Invalid bulk delete.",
        )

    run(test())


def test_a_failure_of_ours_is_a_bad_gateway() -> None:
    async def test() -> None:
        cluster = await _filled()

        async def fail(*_arguments: object) -> bool:
            raise Unavailable

        cluster.service.delete_object = fail  # type: ignore[method-assign]
        answer = await cluster.as_ann("POST", "?bulk-delete", b"c/1\n", accept="application/json")
        assert answer.json["Response Status"] == "502 Bad Gateway"
        assert answer.json["Errors"] == [["c/1", "503 Service Unavailable"]]

    run(test())


def test_others_delete_nothing() -> None:
    async def test() -> None:
        cluster = await _filled()
        path = "/v1/AUTH_photos?bulk-delete"
        theirs = await cluster("POST", path, b"c/1\nd\n", cluster.bob, accept="application/json")
        assert theirs.json["Errors"] == [["c/1", "403 Forbidden"], ["d", "403 Forbidden"]]
        for method, query in (("POST", "?bulk-delete"), ("PUT", "/c?extract-archive=tar")):
            nobody = await cluster(method, f"/v1/AUTH_photos{query}", b"c/1\n")
            assert (nobody.status, "www-authenticate" in nobody.headers) == (401, True)

    run(test())


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"c/1", {"content_type": "application/json"}, 406),
        (b"c/1", {"accept": "image/png"}, 406),
        (b"c/" + b"x" * 5000, {}, 400),
        (b"c/1\n" * 10_001, {}, 413),
    ],
)
def test_a_request_that_cannot_be_is_refused(body: bytes, headers: dict[str, str], status: int) -> None:
    async def test() -> None:
        cluster = await _filled()
        assert (await cluster.as_ann("POST", "?bulk-delete", body, **headers)).status == status

    run(test())


def _archive(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size = len(data)
            member.pax_headers = {
                "SCHILY.xattr.user.mime_type": "text/x",
                "SCHILY.xattr.user.meta.Color": "red",
            }
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("path", "names"),
    [("", ["a/1", "b/c/2"]), ("/base", ["base/a/1", "base/b/c/2", "base/top"]), ("/base/p/", ["base/p/a/1"])],
)
def test_an_archive_becomes_objects(path: str, names: list[str]) -> None:
    async def test() -> None:
        cluster = Cluster()
        body = _archive(top=b"t", a__1=b"one", b__c__2=b"two")
        answer = await cluster.as_ann(
            "PUT", f"{path}?extract-archive=tar.gz", body, accept="application/json", x_object_meta_k="v"
        )
        assert answer.status == 200
        assert answer.json["Response Status"] == "201 Created"
        assert answer.json["Number Files Created"] == (3 if path else 2)
        for name in names:
            head = await cluster.as_ann("GET", f"/{name}")
            assert (head.status, head.headers["content-type"]) == (200, "text/x")
            assert metadata_of(head, "x-object-meta-") == {"color": "red", "k": "v"}

    run(test())


def test_what_is_wrong_with_an_archive_is_reported() -> None:
    async def test() -> None:
        cluster = Cluster()
        bad = await cluster.as_ann("PUT", "?extract-archive=tar", b"x" * 1024, accept="application/json")
        assert bad.json["Response Status"] == "400 Bad Request"
        assert bad.json["Response Body"].startswith("Invalid Tar File")
        empty = await cluster.as_ann(
            "PUT", "?extract-archive=tar.gz", _archive(top=b"x"), accept="application/json"
        )
        assert empty.json["Response Body"] == "Invalid Tar File: No Valid Files"
        assert (await cluster.as_ann("PUT", "?extract-archive=zip", b"x")).status == 400
        long_name = await cluster.as_ann(
            "PUT",
            "?extract-archive=tar.gz",
            _archive(**{"c__" + "n" * 1025: b"x", "c__o": b"y"}),
            accept="application/json",
        )
        assert long_name.json["Number Files Created"] == 1
        assert long_name.json["Errors"][0][1] == "400 Bad Request"
        theirs = await cluster(
            "PUT",
            "/v1/AUTH_photos?extract-archive=tar.gz",
            _archive(a__1=b"x"),
            cluster.bob,
            accept="application/json",
        )
        assert theirs.json["Errors"] == [["a/1", "403 Forbidden"]]

    run(test())


@pytest.mark.parametrize(
    "attributes",
    [
        {"SCHILY.xattr.user.meta.k": "v\r\nX-Evil: 1"},
        {"SCHILY.xattr.user.meta.k: v\r\nx": "v"},
        {"SCHILY.xattr.user.mime_type": "text/x\nX-Evil: 1"},
        {"LIBARCHIVE.xattr.user.meta.": "v"},
    ],
)
def test_attributes_cannot_smuggle_headers(attributes: dict[str, str]) -> None:
    async def test() -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:", format=tarfile.PAX_FORMAT) as archive:
            member = tarfile.TarInfo("c/o")
            member.pax_headers = attributes
            archive.addfile(member)
        cluster = Cluster()
        answer = await cluster.as_ann(
            "PUT", "?extract-archive=tar", buffer.getvalue(), accept="application/json"
        )
        assert answer.json["Errors"] == [["c/o", "400 Bad Request"]]

    run(test())
