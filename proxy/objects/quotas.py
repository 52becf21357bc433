"""What accounts and containers may hold: quotas, which are metadata of theirs, and whether a write has room in them.

A quota is soft: writes that come at the same time may pass it together, the counters of accounts follow their
containers by about a second, and what a write replaces is counted until it is gone. What is used is read, and
believed for a while; near the limit every write waits for a reading that began after it. Steady writers to what has
no quota never wait: theirs is read behind their backs. A quota that cannot be read refuses nothing.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from proxy.objects.errors import NoSuchContainer, QuotaExceeded
from proxy.objects.model import AccountInfo, ContainerInfo, ObjectName

CONTAINER_BYTES = "x-container-meta-quota-bytes"
CONTAINER_COUNT = "x-container-meta-quota-count"
ACCOUNT_BYTES = "x-account-quota-bytes"  # also with the policy's name behind: all is of one policy, so the least counts
ACCOUNT_COUNT = "x-account-quota-count"

UNLIMITED_S = 10.0  # how long no quota is believed; for as long again while it is read anew
LIMITED_S = 1.0  # and the counters where there is one
SLACK_BYTES = 1 << 30  # what others may add meanwhile: nearer to its limit a quota is read for each write
SLACK_COUNT = 10_000
PATIENCE_S = 1.0  # how long a write waits for a reading
CACHE_LIMIT = 10_000

_Key = tuple[str, str]  # account and container; "": the account's own


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota, infinite where there is none, and what was used of it when it was read."""

    size: float
    count: float
    bytes_used: int
    object_count: int

    @property
    def limits(self) -> bool:
        """Tell whether there is a quota."""
        return self.size != math.inf or self.count != math.inf

    @property
    def believed_s(self) -> float:
        """How long it is believed."""
        return LIMITED_S if self.limits else UNLIMITED_S

    def has_room(self, size: int, count: int = 1) -> bool:
        """Tell whether `count` objects of `size` bytes in all may come."""
        return self.bytes_used + size <= self.size and self.object_count + count <= self.count


NONE = Quota(math.inf, math.inf, 0, 0)


def of_container(info: ContainerInfo) -> Quota:
    """Return a container's quota."""
    metadata = info.metadata
    return Quota(
        _limit(metadata, CONTAINER_BYTES), _limit(metadata, CONTAINER_COUNT), info.bytes_used, info.object_count
    )


def of_account(info: AccountInfo) -> Quota:
    """Return an account's quota."""
    metadata = info.metadata
    return Quota(_least(metadata, ACCOUNT_BYTES), _least(metadata, ACCOUNT_COUNT), info.bytes_used, info.object_count)


def _limit(metadata: Mapping[str, Any], name: str) -> float:
    """Return the limit; what is no number is none, as in Swift."""
    value = str(metadata.get(name, ""))
    return int(value) if value.isascii() and value.isdigit() else math.inf


def _least(metadata: Mapping[str, Any], name: str) -> float:
    """Return the least limit whose name begins with `name`."""
    return min((_limit(metadata, each) for each in metadata if each.startswith(name)), default=math.inf)


@dataclass(frozen=True, slots=True)
class _Reading:
    quota: Quota
    at_s: float  # loop time

    def is_old(self, now_s: float, times: int) -> bool:
        """Tell whether it has been believed for longer than it may be, so many times."""
        return now_s - self.at_s > self.quota.believed_s * times


class Quotas:
    """Those of the cluster, as one worker knows them."""

    def __init__(
        self,
        known_container: Callable[[str, str], Awaitable[ContainerInfo]],
        container_info: Callable[[str, str], Awaitable[ContainerInfo]],
        account_info: Callable[[str], Awaitable[AccountInfo]],
    ) -> None:
        """`known_container`: what is believed of a container, of which a write has to know anyway."""
        self._known_container = known_container
        self._container_info = container_info
        self._account_info = account_info
        self._readings: dict[_Key, _Reading] = {}
        self._under_way: dict[_Key, asyncio.Task[_Reading]] = {}

    def close(self) -> None:
        """Stop what is being read behind writes."""
        for task in self._under_way.values():
            task.cancel()

    def forget(self, account: str, container: str = "") -> None:
        """Drop what is believed of a container, or of the account, and what is just being read."""
        self._readings.pop((account, container), None)
        self._under_way.pop((account, container), None)

    async def require_room(self, name: ObjectName, size: int, unbound: bool = False) -> None:
        """Raise QuotaExceeded unless an object of `size` bytes may come; `unbound`: whatever the account's quota.

        Raise NoSuchContainer.
        """
        await self._require((name.account, name.container), size)
        if not unbound:
            await self._require((name.account, ""), size)

    async def _require(self, key: _Key, size: int) -> None:
        reading = self._readings.get(key)
        now_s = asyncio.get_running_loop().time()
        if reading is None or reading.is_old(now_s, times=2):
            reading = await self._wait(key, self._under_way.get(key) or self._begin(key, believed=True))
        elif reading.is_old(now_s, times=1) and key not in self._under_way:
            self._begin(key)
        if reading.quota.has_room(size + SLACK_BYTES, 1 + SLACK_COUNT):
            return
        if key in self._under_way:  # it may have begun before what the caller knows of
            await self._wait(key, self._under_way[key])
        reading = await self._wait(key, self._under_way.get(key) or self._begin(key))
        if not reading.quota.has_room(size):
            raise QuotaExceeded("the container may hold no more" if key[1] else "the account may hold no more")

    async def _wait(self, key: _Key, reading: "asyncio.Task[_Reading]") -> _Reading:
        """Wait for a reading; return it, or what was believed before when it does not come. Raise NoSuchContainer."""
        await asyncio.wait([reading], timeout=PATIENCE_S)
        if reading.done():
            error = reading.exception()
            if error is None:
                return reading.result()
            if isinstance(error, NoSuchContainer):
                raise error
        known = self._readings.get(key)
        return self._believe(key, _Reading(known.quota if known else NONE, asyncio.get_running_loop().time()))

    def _believe(self, key: _Key, reading: _Reading) -> _Reading:
        if len(self._readings) >= CACHE_LIMIT:
            self._readings.clear()
        self._readings[key] = reading
        return reading

    def _begin(self, key: _Key, believed: bool = False) -> "asyncio.Task[_Reading]":
        task = asyncio.get_running_loop().create_task(self._read(key, believed), name="quota")
        self._under_way[key] = task
        task.add_done_callback(lambda task: self._ended(key, task))
        return task

    def _ended(self, key: _Key, task: "asyncio.Task[_Reading]") -> None:
        error = None if task.cancelled() else task.exception()
        if self._under_way.get(key) is not task:  # forgotten meanwhile: it may have read what was before
            return
        del self._under_way[key]
        if isinstance(error, NoSuchContainer):
            self.forget(*key)
        elif error is None and not task.cancelled():
            self._believe(key, task.result())

    async def _read(self, key: _Key, believed: bool) -> _Reading:
        account, container = key
        at_s = asyncio.get_running_loop().time()
        if not container:
            return _Reading(of_account(await self._account_info(account)), at_s)
        if believed:
            quota = of_container(await self._known_container(account, container))
            return _Reading(quota, at_s - quota.believed_s)  # it is some time old: to be read soon
        return _Reading(of_container(await self._container_info(account, container)), at_s)
