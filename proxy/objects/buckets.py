"""S3's name space of buckets, which is one for all accounts: who has which name.

A claim is a small object of our own under the bucket's name, made only where there is none, so that two
accounts that create the same bucket at the same time can't both have it.
"""

import asyncio

from proxy.objects.errors import ContainerTaken
from proxy.objects.model import NewObject, ObjectInfo, ObjectName
from proxy.objects.objects import Objects
from storage.messages import BlobFlag

REGISTRY_ACCOUNT = "\0registry"
REGISTRY_CONTAINER = "\0buckets"
CACHE_S = 5.0  # an old belief leads to an account that no longer has the container, which shows at once
CACHE_LIMIT = 10_000


def _claim(bucket: str) -> ObjectName:
    return ObjectName(REGISTRY_ACCOUNT, REGISTRY_CONTAINER, bucket)


class Buckets:
    """The registry of bucket names."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._known: dict[str, tuple[float, str]] = {}

    async def owner(self, bucket: str) -> str | None:
        """Return the account that has `bucket`; None when nobody has."""
        known = self._known.get(bucket)
        if known is not None and known[0] > asyncio.get_running_loop().time():
            return known[1]
        info = await self._objects.find(_claim(bucket))
        if info is None:
            self._known.pop(bucket, None)
            return None
        return self._remember(bucket, str(info.metadata.system["owner"]))

    def _remember(self, bucket: str, account: str) -> str:
        if len(self._known) >= CACHE_LIMIT:
            self._known.clear()
        self._known[bucket] = (asyncio.get_running_loop().time() + CACHE_S, account)
        return account

    async def claim(self, bucket: str, account: str) -> None:
        """Take `bucket` for `account`. Raise ContainerTaken when another account has it."""

        def free_or_ours(current: ObjectInfo | None) -> None:
            if current is not None and current.metadata.system["owner"] != account:
                raise ContainerTaken(str(current.metadata.system["owner"]))

        new = NewObject(
            "application/x-bucket-claim", system={"owner": account}, etag="", condition=free_or_ours
        )
        await self._objects.put_bytes(_claim(bucket), b"", new, BlobFlag.UNLISTED, 0)
        self._remember(bucket, account)

    async def release(self, bucket: str, account: str) -> None:
        """Give the name up, if `account` has it."""

        def ours(current: ObjectInfo | None) -> None:
            if current is not None and current.metadata.system["owner"] != account:
                raise ContainerTaken(str(current.metadata.system["owner"]))

        self._known.pop(bucket, None)
        await self._objects.delete_unlisted(_claim(bucket), ours)

    def forget(self, bucket: str) -> None:
        """Drop what is believed of `bucket`."""
        self._known.pop(bucket, None)
