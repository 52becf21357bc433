"""Swift's API beyond what its command line uses: listing parameters, manifests, copies, accounts."""

import hashlib
import json
import uuid

import pytest

from tests.cluster import Cluster
from tests.functional.swift import Account, log_in

NAMES = ["a", "b", "c/1", "c/2", "c/d/3", "e", "photos/me.jpg", "photos/pets/cat.jpg", "ü"]


@pytest.fixture
def account(cluster: Cluster) -> Account:
    return Account(cluster)


@pytest.fixture
def container(account: Account) -> str:
    path = f"/swift-{uuid.uuid4().hex[:8]}"
    assert account("PUT", path).status_code == 201
    return path


def put(account: Account, path: str, data: bytes, **headers: str) -> None:
    assert account("PUT", path, data, **headers).status_code == 201


def test_listing_parameters(account: Account, container: str) -> None:
    for name in NAMES:
        put(account, f"{container}/{name}", name.encode())

    def listed(query: str = "") -> list[str]:
        items = account("GET", f"{container}?format=json&{query}").json()
        return [item.get("name") or item["subdir"] for item in items]

    assert listed() == NAMES
    assert listed("delimiter=/") == ["a", "b", "c/", "e", "photos/", "ü"]
    assert listed("prefix=c/&delimiter=/") == ["c/1", "c/2", "c/d/"]
    assert listed("path=photos") == ["photos/me.jpg"]
    assert listed("marker=b&end_marker=e") == ["c/1", "c/2", "c/d/3"]
    assert listed("reverse=true") == NAMES[::-1]
    assert listed("reverse=true&marker=e&end_marker=b") == ["c/d/3", "c/2", "c/1"]
    assert listed("reverse=true&delimiter=/&limit=3") == ["ü", "photos/", "e"]
    assert listed("limit=2&marker=c/2") == ["c/d/3", "e"]
    assert listed("delimiter=/&marker=c/") == ["e", "photos/", "ü"]
    assert account("GET", container).content.decode().splitlines() == NAMES
    assert account("GET", f"{container}?prefix=nothing").status_code == 204
    assert account("GET", f"{container}?limit=10001").status_code == 412
    assert b"<subdir name=" in account("GET", f"{container}?format=xml&delimiter=/").content


def test_a_static_large_object(cluster: Cluster, account: Account, container: str) -> None:
    segments = [b"a" * 100_000, b"b" * 100_000, b"tail"]
    manifest = []
    for index, segment in enumerate(segments):
        put(account, f"{container}/segments/{index}", segment)
        etag = hashlib.md5(segment).hexdigest()
        entry = {"path": f"{container}/segments/{index}", "etag": etag, "size_bytes": len(segment)}
        manifest.append(entry)
    whole, path = b"".join(segments), f"{container}/slo"
    wrong = [manifest[0], {**manifest[1], "etag": "0" * 32}]
    assert account("PUT", f"{path}?multipart-manifest=put", json.dumps(wrong)).status_code == 400
    assert account("HEAD", path).status_code == 404
    answer = account("PUT", f"{path}?multipart-manifest=put", json.dumps(manifest))
    etags = "".join(str(entry["etag"]) for entry in manifest)
    assert (answer.status_code, answer.headers["Etag"]) == (201, f'"{hashlib.md5(etags.encode()).hexdigest()}"')
    assert account("GET", path).content == whole
    part = account("GET", path, Range="bytes=99990-100010")
    assert (part.status_code, part.content) == (206, whole[99_990:100_011])
    assert account("GET", path, Range="bytes=-10").content == whole[-10:]
    assert cluster.s3().get_object(Bucket=container[1:], Key="slo")["Body"].read() == whole
    shown = account("GET", f"{path}?multipart-manifest=get").json()
    assert [(entry["name"], entry["hash"]) for entry in shown] == [(e["path"], e["etag"]) for e in manifest]
    assert account("DELETE", f"{path}?multipart-manifest=delete").status_code == 200
    assert account("GET", f"{container}?prefix=s").status_code == 204, "segments are left"


def test_a_dynamic_large_object_is_what_is_there_when_it_is_read(account: Account, container: str) -> None:
    put(account, f"{container}/dlo", b"", X_Object_Manifest=f"{container[1:]}/parts/")
    expected = b""
    for index in range(3):
        put(account, f"{container}/parts/{index}", b"%d" % index * 1000)
        expected += b"%d" % index * 1000
        assert account("GET", f"{container}/dlo").content == expected
    assert account("GET", f"{container}/dlo", Range="bytes=999-1000").content == b"01"


def test_copies_within_swift(account: Account, container: str) -> None:
    put(account, f"{container}/a b", b"data", X_Object_Meta_Colour="blue")
    copied = account("COPY", f"{container}/a b", Destination=f"{container}/c%20d", X_Object_Meta_Shape="round")
    assert copied.status_code == 201
    copy = account("GET", f"{container}/c d")
    assert (copy.content, copy.headers["X-Object-Meta-Colour"]) == (b"data", "blue")
    assert copy.headers["X-Object-Meta-Shape"] == "round"
    put(account, f"{container}/e", b"", X_Copy_From=f"{container}/a%20b", X_Fresh_Metadata="true")
    fresh = account("GET", f"{container}/e")
    assert (fresh.content, "X-Object-Meta-Colour" in fresh.headers) == (b"data", False)


def test_copies_from_one_dialect_to_the_other(cluster: Cluster, account: Account, container: str) -> None:
    s3, bucket = cluster.s3(), container[1:]
    for index in range(2):
        put(account, f"{container}/segment{index}", b"%d" % index * 70_000)
    manifest = [{"path": f"{container}/segment{index}"} for index in range(2)]
    assert account("PUT", f"{container}/slo?multipart-manifest=put", json.dumps(manifest)).status_code == 201
    s3.copy_object(Bucket=bucket, Key="by-s3", CopySource=f"{bucket}/slo")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts", Metadata={"colour": "red"}, ContentType="x/y")
    names = {"Bucket": bucket, "Key": "parts", "UploadId": upload["UploadId"]}
    parts = []
    for number, data in ((1, b"p" * (5 << 20)), (2, b"q")):
        etag = s3.upload_part(**names, PartNumber=number, Body=data)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
    assert account("COPY", f"{container}/parts", Destination=f"{container}/by-swift").status_code == 201
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in ("parts", "segment0", "slo")]})
    assert account("GET", f"{container}/by-s3").content == b"0" * 70_000 + b"1" * 70_000
    copy = s3.get_object(Bucket=bucket, Key="by-swift")
    assert (copy["Metadata"], copy["ContentType"]) == ({"colour": "red"}, "x/y")
    assert copy["Body"].read() == b"p" * (5 << 20) + b"q"


def test_users_of_one_account_share_it_and_others_do_not(cluster: Cluster, account: Account) -> None:
    group = f"test-{uuid.uuid4().hex[:6]}"
    tester, second = (Account(cluster, cluster.user("add", f"{group}:{name}")) for name in ("tester", "tester2"))
    assert tester.url == second.url
    assert tester.url.endswith(f"/AUTH_{group}")
    assert tester("PUT", "/shared").status_code == 201
    put(tester, "/shared/o", b"of both")
    assert second("GET", "/shared/o").content == b"of both"
    stranger = Account(cluster, cluster.user("add", f"stranger-{uuid.uuid4().hex[:6]}"))
    stranger.url = tester.url
    for method, path in (("GET", ""), ("PUT", "/mine"), ("GET", "/shared"), ("GET", "/shared/o"), ("PUT", "/shared/o")):
        assert stranger(method, path).status_code == 403
    assert tester("POST", "/shared", X_Container_Read=".r:*").status_code == 204
    assert stranger("GET", "/shared/o").content == b"of both"
    assert stranger("PUT", "/shared/o").status_code == 403


def test_a_plain_name_logs_in_as_an_account_and_a_user_too(cluster: Cluster) -> None:
    name, key = cluster.env["ST_USER"], cluster.env["ST_KEY"]
    urls = {log_in(cluster, user, key).headers["X-Storage-Url"] for user in (name, f"{name}:{name}")}
    assert len(urls) == 1
    assert log_in(cluster, f"{name}:other", key).status_code == 401
