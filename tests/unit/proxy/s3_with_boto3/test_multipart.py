"""Uploads in parts by boto3."""

import asyncio
import base64
import hashlib
import io
from typing import Any

import boto3
import pytest

from tests.unit.proxy.memory_service import BytesBody
from tests.unit.proxy.s3_with_boto3.server import (
    Running,
    complete,
    fill,
    refused,
    upload,
)

PARTS = [b"a" * 1500, b"b" * 1200, b"c" * 7]


def test_an_object_is_made_of_parts(client: Any, bucket: str) -> None:
    upload_id, parts = upload(client, bucket, PARTS, ContentType="x/y", Metadata={"color": "blue"})
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)
    done = complete(client, bucket, upload_id, parts)
    digests = b"".join(hashlib.md5(part).digest() for part in PARTS)
    assert done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    assert done["Location"].endswith(f"/{bucket}/key")
    got = client.get_object(Bucket=bucket, Key="key")
    assert got["Body"].read() == b"".join(PARTS)
    assert (got["ContentType"], got["Metadata"], got["ETag"]) == ("x/y", {"color": "blue"}, done["ETag"])
    assert complete(client, bucket, upload_id, parts)["ETag"] == done["ETag"]  # a client's retry
    for number, data in enumerate(PARTS, 1):
        part = client.get_object(Bucket=bucket, Key="key", PartNumber=number)
        assert (part["Body"].read(), part["PartsCount"]) == (data, 3)
        head = client.head_object(Bucket=bucket, Key="key", PartNumber=number)
        assert (head["ContentLength"], head["PartsCount"]) == (len(data), 3)
    assert refused(client.get_object, Bucket=bucket, Key="key", PartNumber=4) == (400, "InvalidPart")
    across = client.get_object(Bucket=bucket, Key="key", Range="bytes=1498-1501")
    assert across["Body"].read() == b"aabb"
    attributes = client.get_object_attributes(
        Bucket=bucket, Key="key", ObjectAttributes=["ObjectParts"], MaxParts=2
    )["ObjectParts"]
    assert (attributes["TotalPartsCount"], attributes["IsTruncated"]) == (3, True)
    assert [part["Size"] for part in attributes["Parts"]] == [1500, 1200]


def test_a_plain_object_is_its_own_only_part(client: Any, bucket: str) -> None:
    fill(client, bucket, "key")
    assert client.get_object(Bucket=bucket, Key="key", PartNumber=1)["Body"].read() == b"key"
    assert refused(client.get_object, Bucket=bucket, Key="key", PartNumber=2) == (400, "InvalidPart")


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_parts_make_up_a_full_objects_checksum(client: Any, bucket: str, algorithm: str) -> None:
    upload_id, parts = upload(
        client, bucket, PARTS, ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT"
    )
    name = f"Checksum{algorithm}"
    whole = client.put_object(
        Bucket=bucket, Key="whole", Body=b"".join(PARTS), ChecksumAlgorithm=algorithm
    )[name]
    wrong = {name: base64.b64encode(b"\0" * len(base64.b64decode(whole))).decode()}
    assert refused(complete, client=client, bucket=bucket, upload_id=upload_id, parts=parts, **wrong) == (
        400,
        "BadDigest",
    )
    done = complete(client, bucket, upload_id, parts, ChecksumType="FULL_OBJECT", **{name: whole})
    assert (done[name], done["ChecksumType"]) == (whole, "FULL_OBJECT")
    got = client.get_object(Bucket=bucket, Key="key")
    assert got[name] == whole
    assert got["Body"].read() == b"".join(PARTS)


def test_parts_make_up_a_composite_checksum(client: Any, bucket: str) -> None:
    upload_id, parts = upload(client, bucket, PARTS, ChecksumAlgorithm="SHA256")
    listed = client.list_parts(Bucket=bucket, Key="key", UploadId=upload_id)
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == ("SHA256", "COMPOSITE")
    assert [part["ChecksumSHA256"] for part in listed["Parts"]] == [p["ChecksumSHA256"] for p in parts]
    digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in PARTS)).digest()
    expected = base64.b64encode(digest).decode() + "-3"
    done = complete(client, bucket, upload_id, parts)
    assert (done["ChecksumSHA256"], done["ChecksumType"]) == (expected, "COMPOSITE")
    head = client.head_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
    assert (head["ChecksumSHA256"], head["ChecksumType"]) == (expected, "COMPOSITE")
    assert client.list_objects_v2(Bucket=bucket)["Contents"][0]["ChecksumType"] == "COMPOSITE"
    client.get_object(Bucket=bucket, Key="key")["Body"].read()


def test_a_checksum_type_must_suit_its_algorithm(client: Any, bucket: str) -> None:
    def create(algorithm: str, kind: str) -> Any:
        return client.create_multipart_upload(
            Bucket=bucket, Key="key", ChecksumAlgorithm=algorithm, ChecksumType=kind
        )

    assert refused(create, algorithm="SHA256", kind="FULL_OBJECT") == (400, "InvalidRequest")
    assert refused(create, algorithm="CRC64NVME", kind="COMPOSITE") == (400, "InvalidRequest")


def test_a_completion_is_checked(client: Any, bucket: str) -> None:
    upload_id, parts = upload(client, bucket, PARTS)

    def finish(parts: list[dict[str, Any]], **more: Any) -> Any:
        return complete(client, bucket, upload_id, parts, **more)

    assert refused(finish, parts=[]) == (400, "MalformedXML")
    assert refused(finish, parts=[*parts, {"PartNumber": 9, "ETag": "x"}]) == (400, "InvalidPart")
    assert refused(finish, parts=[{**parts[0], "ETag": '"ff"'}]) == (400, "InvalidPart")
    assert refused(finish, parts=[parts[1], parts[0]]) == (400, "InvalidPartOrder")
    assert refused(finish, parts=parts, MpuObjectSize=5) == (400, "InvalidRequest")
    small, small_parts = upload(client, bucket, [b"x" * 10, b"y" * 10])
    assert refused(complete, client=client, bucket=bucket, upload_id=small, parts=small_parts) == (
        400,
        "EntityTooSmall",
    )
    fill(client, bucket, "key")
    assert refused(finish, parts=parts, IfNoneMatch="*") == (412, "PreconditionFailed")
    finish(parts, MpuObjectSize=len(b"".join(PARTS)))


def test_an_upload_can_be_looked_at_and_dropped(client: Any, running: Running, bucket: str) -> None:
    upload_id, parts = upload(client, bucket, PARTS)
    names = {"Bucket": bucket, "Key": "key", "UploadId": upload_id}
    first = client.list_parts(MaxParts=2, **names)
    assert [(part["PartNumber"], part["Size"]) for part in first["Parts"]] == [(1, 1500), (2, 1200)]
    assert (first["IsTruncated"], first["NextPartNumberMarker"]) == (True, 2)
    assert first["Initiator"]["ID"] == first["Owner"]["ID"] == running.users.ann.id
    second = client.list_parts(PartNumberMarker=2, **names)
    assert [part["ETag"] for part in second["Parts"]] == [parts[2]["ETag"]]
    client.abort_multipart_upload(**names)
    assert refused(client.list_parts, **names) == (404, "NoSuchUpload")
    assert refused(client.abort_multipart_upload, **names) == (404, "NoSuchUpload")
    assert refused(client.upload_part, PartNumber=1, Body=b"x", **names) == (404, "NoSuchUpload")
    assert refused(complete, client=client, bucket=bucket, upload_id=upload_id, parts=parts) == (
        404,
        "NoSuchUpload",
    )


def test_part_numbers_have_limits(client: Any, bucket: str) -> None:
    upload_id, _parts = upload(client, bucket, [])
    for number in (0, 10_001):
        arguments = {"Bucket": bucket, "Key": "key", "UploadId": upload_id, "PartNumber": number}
        assert refused(client.upload_part, Body=b"x", **arguments) == (400, "InvalidArgument")


def test_uploads_under_way_are_listed(client: Any, bucket: str) -> None:
    keys = ["a", "a", "dir/b", "dir/c", "e f"]
    ids = [client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in keys]
    pages = client.get_paginator("list_multipart_uploads").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 2}
    )
    found = [(item["Key"], item["UploadId"]) for page in pages for item in page["Uploads"]]
    assert found == list(zip(keys, ids, strict=True))
    rolled = client.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [item["Key"] for item in rolled["Uploads"]] == ["a", "a", "e f"]
    assert rolled["CommonPrefixes"] == [{"Prefix": "dir/"}]


def test_a_part_may_be_copied(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="source", Body=b"0123456789" * 200)
    upload_id, _parts = upload(client, bucket, [], ChecksumAlgorithm="CRC32C", ChecksumType="FULL_OBJECT")
    names = {"Bucket": bucket, "Key": "key", "UploadId": upload_id, "CopySource": f"{bucket}/source"}
    first = client.upload_part_copy(PartNumber=1, **names)["CopyPartResult"]
    second = client.upload_part_copy(PartNumber=2, CopySourceRange="bytes=3-5", **names)["CopyPartResult"]
    for wanted in ("0-2", "bytes=0", "bytes=hello-world", "bytes=2-0", "bytes=0-2,3-5"):
        call = {"PartNumber": 3, "CopySourceRange": wanted, **names}
        assert refused(client.upload_part_copy, **call) == (400, "InvalidArgument")
    beyond = {"PartNumber": 3, "CopySourceRange": "bytes=0-2000", **names}
    assert refused(client.upload_part_copy, **beyond)[1] == "InvalidRange"
    missing = {**names, "PartNumber": 3, "CopySource": f"{bucket}/none"}
    assert refused(client.upload_part_copy, **missing) == (404, "NoSuchKey")
    parts = [
        {"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32C": part["ChecksumCRC32C"]}
        for number, part in ((1, first), (2, second))
    ]
    complete(client, bucket, upload_id, parts)
    got = client.get_object(Bucket=bucket, Key="key")
    assert got["Body"].read() == b"0123456789" * 200 + b"345"
    assert got["ChecksumCRC32C"]


def test_boto3s_own_transfers_work(client: Any, bucket: str) -> None:
    transfer = boto3.s3.transfer.TransferConfig(multipart_threshold=2000, multipart_chunksize=1500)
    data = bytes(range(256)) * 40
    client.upload_fileobj(io.BytesIO(data), bucket, "key", Config=transfer)
    into = io.BytesIO()
    client.download_fileobj(bucket, "key", into, Config=transfer)
    assert into.getvalue() == data


def test_a_body_in_memory_is_read_in_pieces() -> None:
    async def read() -> list[bytes]:
        body = BytesBody(b"abcde", piece_size=2)
        return [bytes(await body.read()) for _piece in range(4)]

    assert asyncio.run(read()) == [b"ab", b"cd", b"e", b""]
