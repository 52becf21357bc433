"""compute.images.store.s3, over an S3 of the test's own that can fail at any request."""

import io
import random
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from compute.errors import Unavailable
from compute.images.store import parts, s3
from compute.images.store.s3 import S3Store

MiB = 1 << 20


class FakeS3:
    """What boto3's client does, as far as it is asked."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, tuple[str, dict[int, bytes]]] = {}
        self.asked: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.break_after: list[int] = []  # bytes after which the next readings break off

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if what in self.failing:
            raise self.failing[what]

    def create_bucket(self, Bucket: str) -> None:  # noqa: N803
        self._ask("create_bucket")

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        self._ask("put_object")
        self.objects[Key] = bytes(Body)

    def create_multipart_upload(self, Bucket: str, Key: str) -> Any:  # noqa: N803
        self._ask("create_multipart_upload")
        upload_id = f"upload-{len(self.uploads)}"
        self.uploads[upload_id] = (Key, {})
        return {"UploadId": upload_id}

    def upload_part(self, Bucket: str, Key: str, UploadId: str, PartNumber: int, Body: Any) -> Any:  # noqa: N803
        self._ask("upload_part")
        self.uploads[UploadId][1][PartNumber] = bytes(Body)
        return {"ETag": f"etag-{PartNumber}"}

    def complete_multipart_upload(self, Bucket: str, Key: str, UploadId: str, MultipartUpload: Any) -> None:  # noqa: N803
        self._ask("complete_multipart_upload")
        _key, sent = self.uploads.pop(UploadId)
        assert [each["ETag"] for each in MultipartUpload["Parts"]] == [f"etag-{number}" for number in sorted(sent)]
        self.objects[Key] = b"".join(sent[number] for number in sorted(sent))

    def abort_multipart_upload(self, Bucket: str, Key: str, UploadId: str) -> None:  # noqa: N803
        self._ask("abort_multipart_upload")
        if self.uploads.pop(UploadId, None) is None:
            raise client_error("NoSuchUpload")

    def list_multipart_uploads(self, Bucket: str, Prefix: str) -> Any:  # noqa: N803
        self._ask("list_multipart_uploads")
        found = [{"Key": key, "UploadId": each} for each, (key, _) in self.uploads.items() if key.startswith(Prefix)]
        return {"Uploads": found} if found else {}

    def delete_object(self, Bucket: str, Key: str) -> None:  # noqa: N803
        self._ask("delete_object")
        self.objects.pop(Key, None)

    def get_object(self, Bucket: str, Key: str, Range: str) -> Any:  # noqa: N803
        self._ask("get_object")
        if Key not in self.objects:
            raise client_error("NoSuchKey")
        begin, end = map(int, Range.removeprefix("bytes=").split("-"))
        return {"Body": Body(self.objects[Key][begin : end + 1], self.break_after.pop(0) if self.break_after else None)}


class Body(io.BytesIO):
    def __init__(self, data: bytes, break_after: int | None) -> None:
        super().__init__(data)
        self._break_after = break_after

    def iter_chunks(self, size: int) -> Any:
        sent = 0
        while piece := self.read(size):
            if self._break_after is not None and sent + len(piece) > self._break_after:
                yield piece[: self._break_after - sent]
                raise OSError("broken off")
            sent += len(piece)
            yield piece


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "an operation")


@pytest.fixture
def fake() -> FakeS3:
    return FakeS3()


@pytest.fixture
def store(fake: FakeS3) -> S3Store:
    return S3Store(fake, "images")


def write(store: S3Store, data: bytes, key: str = "k", piece: int = 300_000) -> None:
    writing = store.begin(key)
    for offset in range(0, len(data), piece):
        writing.write(memoryview(data)[offset : offset + piece])
    writing.finish()


@pytest.mark.parametrize(
    ("size", "part_count"), [(0, 0), (1, 0), (8 * MiB, 0), (8 * MiB + 1, 2), (16 * MiB, 2), (17 * MiB, 3)]
)
def test_what_is_written_is_read(fake: FakeS3, store: S3Store, size: int, part_count: int) -> None:
    data = random.Random(size).randbytes(size)
    write(store, data)
    assert fake.objects == {"k": data}
    assert fake.uploads == {}
    assert fake.asked.count("upload_part") == part_count
    assert b"".join(store.read("k", 0, size)) == data
    assert b"".join(store.read("k", 5, min(size, 50))) == data[5:50]


def test_a_piece_may_be_larger_than_a_part(fake: FakeS3, store: S3Store) -> None:
    data = random.Random(1).randbytes(20 * MiB)
    write(store, data, piece=len(data))
    assert fake.objects["k"] == data


def test_one_part_is_in_memory(store: S3Store) -> None:
    writing = store.begin("k")
    for _ in range(40):
        writing.write(bytes(MiB))
        assert len(writing._part) <= parts.size_of(1)


def test_parts_grow_and_end_beyond_the_largest_image() -> None:
    assert parts.size_of(1) == 8 * MiB
    assert parts.size_of(2_001) > parts.size_of(2_000)
    assert sum(map(parts.size_of, range(1, parts.PARTS_LIMIT + 1))) == parts.LARGEST
    with pytest.raises(ValueError, match="10000"):
        parts.size_of(10_001)


def write_to(writing: Any, size: int) -> None:
    writing.write(bytes(size))
    writing.finish()


@pytest.mark.parametrize(
    "what", ["put_object", "create_multipart_upload", "upload_part", "complete_multipart_upload"]
)
@pytest.mark.parametrize("error", [client_error("InternalError"), EndpointConnectionError(endpoint_url="x"), OSError()])
def test_what_fails_is_told_and_what_is_left_is_removed(
    fake: FakeS3, store: S3Store, what: str, error: Exception
) -> None:
    fake.failing = {what: error}
    size = 1 if what == "put_object" else 20 * MiB
    writing = store.begin("k")
    with pytest.raises(Unavailable):
        write_to(writing, size)
    writing.abandon()
    fake.failing = {}
    store.remove("k")
    assert fake.objects == {}
    assert fake.uploads == {}


def test_what_is_abandoned_while_nobody_answers_is_removed_later(fake: FakeS3, store: S3Store) -> None:
    writing = store.begin("k")
    writing.write(bytes(20 * MiB))
    fake.failing = {"abort_multipart_upload": client_error("InternalError")}
    writing.abandon()
    with pytest.raises(Unavailable):
        store.remove("k")
    fake.failing = {}
    store.remove("k")
    assert fake.uploads == {}
    store.remove("k")  # nothing is there any more


def test_what_others_write_stays(fake: FakeS3, store: S3Store) -> None:
    store.begin("k/2").write(bytes(9 * MiB))
    write(store, b"x", "k/1")
    store.remove("k")
    assert len(fake.uploads) == 1
    assert list(fake.objects) == ["k/1"]


def test_a_reading_that_breaks_off_goes_on_where_it_was(fake: FakeS3, store: S3Store) -> None:
    data = random.Random(2).randbytes(2 * MiB)
    write(store, data)
    fake.break_after = [700_000, 0, 0, 100_000, 1]
    assert b"".join(store.read("k", 10, len(data))) == data[10:]
    assert fake.asked.count("get_object") == 6


def test_a_reading_that_always_breaks_off_ends(fake: FakeS3, store: S3Store) -> None:
    write(store, b"data")
    fake.break_after = [0] * 100
    with pytest.raises(Unavailable):
        list(store.read("k", 0, 4))
    assert fake.asked.count("get_object") == s3.ATTEMPTS


def test_an_object_that_is_gone_is_not_asked_for_again(fake: FakeS3, store: S3Store) -> None:
    with pytest.raises(Unavailable):
        list(store.read("k", 0, 4))
    assert fake.asked == ["get_object"]


def test_a_bucket_may_be_there_already(fake: FakeS3, store: S3Store) -> None:
    store.prepare()
    fake.failing = {"create_bucket": client_error("BucketAlreadyOwnedByYou")}
    store.prepare()
    fake.failing = {"create_bucket": client_error("BucketAlreadyExists")}
    with pytest.raises(Unavailable):
        store.prepare()
