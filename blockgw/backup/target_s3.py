"""A bucket of S3, through boto3: keys, region and endpoint from where all AWS tools take them.

A put that succeeds only if there is no such object is `If-None-Match: *`. Stores that do not know it write in any case,
or answer 501; then the object is looked up first, which leaves a moment in which two may both write.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from blockgw.backup.errors import BackupError, NoSuchObject, TargetFailed
from blockgw.backup.target import Address, Entry

CONNECT_S, READ_S = 10, 60
TRIES = 10  # the last pauses are of seconds: servers restart meanwhile
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_EXISTS = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
_BATCH = 1000  # DeleteObjects takes no more


class S3Target:
    """See Target."""

    def __init__(self, address: Address, endpoint: str | None, connections: int) -> None:
        """Raise BackupError when there are no keys, or what is configured makes no sense."""
        self._address = address
        config = Config(
            retries={"mode": "standard", "total_max_attempts": TRIES},
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
            max_pool_connections=connections,
            s3={"addressing_style": "path" if endpoint else "auto"},
        )
        try:
            self._client: Any = boto3.client("s3", endpoint_url=endpoint, config=config)
        except (BotoCoreError, ValueError) as error:
            raise BackupError(f"S3 cannot be used: {str(error).rstrip('.')}") from error
        self._bucket = {"Bucket": address.bucket}
        self.place = f"{self._client.meta.endpoint_url} {address}"

    def __repr__(self) -> str:
        return f"S3Target({self._address})"

    def put(self, name: str, data: bytes) -> None:
        """See Target."""
        self._ask(name, "put_object", Key=self._key(name), Body=data)

    def put_new(self, name: str, data: bytes) -> bool:
        """See Target."""
        try:
            self._client.put_object(**self._bucket, Key=self._key(name), Body=data, IfNoneMatch="*")
        except ClientError as error:
            if _code(error) in _EXISTS:
                return False
            if _code(error) != "NotImplemented":
                raise self._failed(name, error) from error
        except BotoCoreError as error:
            raise self._failed(name, error) from error
        else:
            return True
        if self.size(name) is not None:
            return False
        self.put(name, data)
        return True

    def get(self, name: str) -> bytes:
        """See Target."""
        for attempt in range(TRIES):
            body = self._ask(name, "get_object", Key=self._key(name))["Body"]
            try:
                data: bytes = body.read()
            except BotoCoreError as error:  # it broke off; boto3 does not try that again
                if attempt + 1 == TRIES:
                    raise self._failed(name, error) from error
            else:
                return data
        raise AssertionError("the last try returns or raises")

    def size(self, name: str) -> int | None:
        """See Target."""
        try:
            return int(self._ask(name, "head_object", Key=self._key(name))["ContentLength"])
        except NoSuchObject:
            return None

    def list(self, prefix: str) -> Iterator[Entry]:
        """See Target."""
        for page in self._pages(prefix):
            for each in page.get("Contents", ()):
                yield Entry(each["Key"].removeprefix(self._address.prefix), each["Size"])

    def folders(self) -> Sequence[str]:
        """See Target."""
        found = [each["Prefix"] for page in self._pages("", Delimiter="/") for each in page.get("CommonPrefixes", ())]
        return [each.removeprefix(self._address.prefix).rstrip("/") for each in found]

    def delete(self, names: Sequence[str]) -> None:
        """See Target."""
        for start in range(0, len(names), _BATCH):
            doomed = [{"Key": self._key(name)} for name in names[start : start + _BATCH]]
            answer = self._ask(names[start], "delete_objects", Delete={"Objects": doomed, "Quiet": True})
            for error in answer.get("Errors", ()):
                raise TargetFailed(f"{error['Key']} in {self._address} cannot be deleted: {error.get('Message')}")

    def _key(self, name: str) -> str:
        return self._address.prefix + name

    def _pages(self, prefix: str, **options: Any) -> Iterator[dict[str, Any]]:
        """Yield the answers of ListObjectsV2."""
        more: dict[str, Any] = {}
        while True:
            page = self._ask("", "list_objects_v2", Prefix=self._key(prefix), **options, **more)
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _ask(self, name: str, call: str, **arguments: Any) -> Any:
        try:
            return getattr(self._client, call)(**self._bucket, **arguments)
        except (ClientError, BotoCoreError) as error:
            raise self._failed(name, error) from error

    def _failed(self, name: str, error: ClientError | BotoCoreError) -> BackupError:
        if isinstance(error, ClientError):
            if _code(error) == "NoSuchBucket":
                return BackupError(f"there is no bucket {self._address.bucket}: make it first")
            if _code(error) in _MISSING:
                return NoSuchObject(name)
        return TargetFailed(f"{self._address} does not do what it is asked: {str(error).rstrip('.')}")


def opened(address: Address, endpoint: str | None, _env: Mapping[str, str], connections: int) -> S3Target:
    """See blockgw.backup.opening."""
    return S3Target(address, endpoint, connections)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code"))
