"""Contents as objects of a bucket, by boto3: any S3 will do.

An object that fits in one part is put at once; a larger one is a multipart upload, of which one part is in memory. A
reading that breaks off is taken up where it was, a few times.
"""

import contextlib
import http.client
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from cluster.telemetry.log import get_logger
from compute.errors import Unavailable
from compute.images.store import parts

T = TypeVar("T")

READ_SIZE = 256 * 1024
ATTEMPTS = 4  # at the rest of an object, when a reading breaks off; each byte that comes gives all of them back
_FAILURES = (BotoCoreError, ClientError, HTTPError, OSError, http.client.HTTPException)
_GONE = frozenset(("NoSuchUpload", "NoSuchKey", "NoSuchBucket", "404"))

_log = get_logger("images")


class S3Store:
    """`interface.Store` of a bucket. `client` is boto3's; it is shared by threads."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def __repr__(self) -> str:
        return f"S3Store({self._bucket})"

    def prepare(self) -> None:
        """See `interface.Store`."""
        try:
            self._client.create_bucket(Bucket=self._bucket)
        except ClientError as error:
            if _code(error) != "BucketAlreadyOwnedByYou":
                raise _unavailable("create_bucket", error) from error
        except _FAILURES as error:
            raise _unavailable("create_bucket", error) from error

    def begin(self, key: str) -> "S3Writing":
        """See `interface.Store`."""
        return S3Writing(self._client, self._bucket, key)

    def read(self, key: str, begin: int, end: int) -> Iterator[bytes]:
        """See `interface.Store`."""
        attempts_left = ATTEMPTS
        while begin < end:
            try:
                for piece in filter(None, self._pieces(key, begin, end)):
                    begin += len(piece)
                    attempts_left = ATTEMPTS
                    yield piece
                if begin < end:
                    raise OSError(f"{end - begin} bytes are missing")
            except _FAILURES as error:
                attempts_left -= 1
                if not attempts_left or _code(error) in _GONE:
                    raise _unavailable("get_object", error) from error
                _log.warning("reading_resumed", key=key, offset=begin, error=error)

    def remove(self, key: str) -> None:
        """See `interface.Store`."""
        for upload_id in self._uploads(key):
            with _unless_gone("abort_multipart_upload"):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id)
        with _unless_gone("delete_object"):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def _pieces(self, key: str, begin: int, end: int) -> Iterator[bytes]:
        answer = self._client.get_object(Bucket=self._bucket, Key=key, Range=f"bytes={begin}-{end - 1}")
        with contextlib.closing(answer["Body"]) as body:
            yield from body.iter_chunks(READ_SIZE)

    def _uploads(self, key: str) -> list[str]:
        answer = _asked("list_multipart_uploads", lambda: self._client.list_multipart_uploads(
            Bucket=self._bucket, Prefix=key
        ))
        return [each["UploadId"] for each in answer.get("Uploads", ()) if each["Key"] == key]


class S3Writing:
    """`interface.Writing` of an object."""

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        self._client = client
        self._where = {"Bucket": bucket, "Key": key}
        self._part = bytearray()
        self._sent: list[dict[str, Any]] = []  # as complete_multipart_upload takes them
        self._upload_id = ""

    def __repr__(self) -> str:
        return f"S3Writing({self._where['Key']}, {len(self._sent)} parts sent)"

    def write(self, data: bytes | memoryview) -> None:
        """See `interface.Writing`."""
        remaining = memoryview(data)
        while remaining:
            room = parts.size_of(len(self._sent) + 1) - len(self._part)
            self._part += remaining[:room]
            remaining = remaining[room:]
            if remaining:  # a part that is full waits for more, so that the last one is never empty
                self._send()

    def finish(self) -> None:
        """See `interface.Writing`."""
        if not self._upload_id:
            _asked("put_object", lambda: self._client.put_object(**self._where, Body=bytes(self._part)))
            return
        self._send()
        _asked("complete_multipart_upload", lambda: self._client.complete_multipart_upload(
            **self._where, UploadId=self._upload_id, MultipartUpload={"Parts": self._sent}
        ))

    def abandon(self) -> None:
        """See `interface.Writing`."""
        self._part.clear()
        if self._upload_id:
            with contextlib.suppress(*_FAILURES):
                self._client.abort_multipart_upload(**self._where, UploadId=self._upload_id)

    def _send(self) -> None:
        if not self._upload_id:
            answer = _asked("create_multipart_upload", lambda: self._client.create_multipart_upload(**self._where))
            self._upload_id = answer["UploadId"]
        number = len(self._sent) + 1
        answer = _asked("upload_part", lambda: self._client.upload_part(
            **self._where, UploadId=self._upload_id, PartNumber=number, Body=self._part
        ))
        self._sent.append({"PartNumber": number, "ETag": answer["ETag"]})
        self._part = bytearray()


def _asked(what: str, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except _FAILURES as error:
        raise _unavailable(what, error) from error


@contextlib.contextmanager
def _unless_gone(what: str) -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        if _code(error) not in _GONE:
            raise _unavailable(what, error) from error


def _code(error: Exception) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def _unavailable(what: str, error: Exception) -> Unavailable:
    _log.warning("store_failed", request=what, error=error)
    return Unavailable("The store of images does not answer as it should; try again.")
