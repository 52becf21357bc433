"""The server that the tests here ask, its users, and what several of them do."""

import asyncio
import base64
import threading
import zlib
from typing import Any

import boto3
import pytest
from botocore.client import Config
from botocore.exceptions import ClientError

from identity.users import User, new_user
from proxy.http.server import HttpServer
from proxy.s3.application import S3Application
from proxy.s3.config import S3Config
from tests.unit.proxy.memory_service import MemoryService

MINIMUM_PART_SIZE = 1000
SMALL_LIMIT = 100_000


class Users:
    """Two users, each with an account."""

    def __init__(self) -> None:
        self.ann, self.bob = new_user("ann"), new_user("bob")

    def by_access_key(self, access_key: str) -> User | None:
        """Return the user with this key."""
        return next((user for user in (self.ann, self.bob) if user.access_key == access_key), None)

    def by_name(self, name: str) -> User | None:
        """Return the user of this name."""
        return next((user for user in (self.ann, self.bob) if user.name == name), None)


class Running:
    """A server on a thread of its own."""

    def __init__(self, config: S3Config) -> None:
        self.users = Users()
        self.service = MemoryService(MINIMUM_PART_SIZE)
        self.loop = asyncio.new_event_loop()
        application = S3Application(self.service, self.users, config)
        self._server = HttpServer(application, on_error=application.protocol_error)
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.port = self.run(self._server.listen("127.0.0.1", 0))

    def run(self, work: Any) -> Any:
        """Run a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def close(self) -> None:
        """Stop."""
        self.run(self._server.close(1.0))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    def client(self, user: User, host: str = "127.0.0.1", **config: Any) -> Any:
        """Return a boto3 client of `user`."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://{host}:{self.port}",
            region_name="us-east-1",
            aws_access_key_id=user.access_key,
            aws_secret_access_key=user.secret_key,
            config=Config(retries={"max_attempts": 0}, **config),
        )


def refused(call: Any, **arguments: Any) -> tuple[int, str]:
    """Return the status and the code of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def fill(client: Any, bucket: str, *keys: str) -> None:
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())


def upload(client: Any, bucket: str, parts: list[bytes], **create: Any) -> tuple[str, list[dict[str, Any]]]:
    """Upload parts 1, 2, …; return the upload's id and what completes it."""
    upload_id = client.create_multipart_upload(Bucket=bucket, Key="key", **create)["UploadId"]
    algorithm = {"ChecksumAlgorithm": create["ChecksumAlgorithm"]} if "ChecksumAlgorithm" in create else {}
    done = []
    for number, data in enumerate(parts, 1):
        answer = client.upload_part(
            Bucket=bucket, Key="key", UploadId=upload_id, PartNumber=number, Body=data, **algorithm
        )
        shown = {name: value for name, value in answer.items() if name.startswith("Checksum")}
        done.append({"PartNumber": number, "ETag": answer["ETag"], **shown})
    return upload_id, done


def complete(client: Any, bucket: str, upload_id: str, parts: list[dict[str, Any]], **more: Any) -> Any:
    return client.complete_multipart_upload(
        Bucket=bucket, Key="key", UploadId=upload_id, MultipartUpload={"Parts": parts}, **more
    )

