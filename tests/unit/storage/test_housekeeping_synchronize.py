"""storage.housekeeping.synchronize: what a comparison of databases costs, and what does not hold it up."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from cluster.clock import Timestamp
from cluster.wire import Peer, RemoteError, Reply
from storage.housekeeping import synchronize
from storage.housekeeping.synchronize import PAGE, Synchronize
from storage.messages import DatabaseKind, Refusal
from storage.rings.document import Stage
from tests.loopback import ring_of, rings_of

RINGS = rings_of(1, Stage.STABLE, 0, ring_of(2, 2))


def key(number: int) -> bytes:
    return number.to_bytes(4, "big") * 4


class Databases:
    """Of a device: (key, digest), and why some cannot be pulled."""

    def __init__(self, here: Mapping[bytes, bytes], refused: Mapping[bytes, Refusal] | None = None) -> None:
        self.here = dict(sorted(here.items()))
        self.refused = refused or {}
        self.pulled: list[bytes] = []

    async def inventory(
        self, kind: int, start: bytes, end: bytes | None, limit: int
    ) -> Sequence[tuple[bytes, bytes]]:
        """Return those in a range of keys."""
        del kind
        return [item for item in self.here.items() if start <= item[0] and (end is None or item[0] < end)][:limit]

    def is_filling(self, key: bytes) -> bool:
        """Say that rows are not being moved."""
        del key
        return False

    async def synchronize(
        self, kind: DatabaseKind, key: bytes, account: str, container: str, device_id: int
    ) -> Timestamp | None:
        """Note that one was to be pulled."""
        del kind, account, container, device_id
        self.pulled.append(key)
        if key in self.refused:
            raise RemoteError(self.refused[key], "not now")
        return None


class OtherDevice:
    """A peer that has databases."""

    def __init__(self, here: Databases) -> None:
        self.databases = here
        self.up = True

    def call(
        self, operation: int, metadata: Any, payload: bytes = b"", timeout_s: float = 5.0, tag: int = 0
    ) -> "asyncio.Future[Reply]":
        """Answer with the inventory."""
        del operation, payload, timeout_s, tag

        async def answer() -> Reply:
            return Reply(await self.databases.inventory(*metadata))

        return asyncio.ensure_future(answer())


def compared(mine: Databases, theirs: Databases) -> Synchronize:
    """Compare once; return the task."""
    peers = cast(dict[int, Peer], {1: OtherDevice(theirs)})
    task = Synchronize(DatabaseKind.CONTAINER, mine, lambda: RINGS, 0, peers, 3600.0)
    asyncio.run(task.step())
    return task


def test_databases_that_only_we_have_cost_no_message_for_those_that_are_equal() -> None:
    """Two devices share some of what each has: there may be many more here between two that both have."""
    here = {key(number): b"equal" for number in range(5 * PAGE)}
    there = {each: digest for number, (each, digest) in enumerate(here.items()) if number % 3 == 0}
    task = compared(mine := Databases(here), Databases(there))
    assert (mine.pulled, task.lacking_count) == ([], 0)


def test_all_that_differs_is_pulled_and_nothing_else() -> None:
    there = {key(number): b"new" for number in range(0, 3 * PAGE, 2)}
    here = {key(number): b"new" if number % 4 else b"old" for number in range(3 * PAGE)}
    compared(mine := Databases(here), Databases(there))
    assert mine.pulled == [key(number) for number in range(0, 3 * PAGE, 4)]


def test_a_database_that_cannot_be_pulled_keeps_no_other_waiting() -> None:
    there = {key(number): b"there" for number in range(20)}
    mine = Databases({}, {key(number): Refusal.CORRUPT for number in (0, 1, 7)})
    task = compared(mine, Databases(there))
    assert mine.pulled == list(there)
    assert (task.pulled_count, task.lacking_count) == (17, None)


def test_when_nothing_can_be_pulled_it_is_not_tried_for_all() -> None:
    there = {key(number): b"there" for number in range(100)}
    task = compared(mine := Databases({}, dict.fromkeys(there, Refusal.BUSY)), Databases(there))
    assert len(mine.pulled) == synchronize.REFUSED_LIMIT
    assert task.lacking_count is None
