"""Splitters on the devices of a `tests.loopback` cluster, which tests step by hand, kill, or let run."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from cluster.coordination.lease import Lease, acquired, released, renewed
from storage.housekeeping.split import SplitContainers
from storage.ranges.decision import Known, Named, look
from storage.ranges.pointers import RangeMap
from tests.loopback import LoopbackCluster, LoopbackDevice


class Leases:
    """Coordination, as far as splitters use it: a store whose coordination has leases."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._held: dict[str, Lease] = {}

    def acquire(self, name: str, holder: str, ttl_s: float) -> Lease:
        """Take a lease."""
        lease = self._held[name] = acquired(self._held.get(name), name, holder, ttl_s, self.now_s)
        return lease

    def renew(self, lease: Lease, ttl_s: float) -> Lease:
        """Extend it."""
        self._held[lease.name] = renewed(self._held.get(lease.name), lease, ttl_s, self.now_s)
        return self._held[lease.name]

    def release(self, lease: Lease) -> None:
        """Give it up."""
        kept = released(self._held.get(lease.name), lease)
        if kept is not None:
            self._held[lease.name] = kept

    async def run(self, work: Callable[[Any], Any]) -> Any:
        """Call `work` as storage.rings.background does."""
        await asyncio.sleep(0)
        return work(SimpleNamespace(coordination=self))


class Splitting:
    """The splitters of a cluster."""

    def __init__(self, cluster: LoopbackCluster) -> None:
        self.cluster = cluster
        self.leases = Leases()

    def task(self, device: LoopbackDevice) -> SplitContainers:
        """Return the task of a device."""
        rows = self.cluster.split_rows
        task = SplitContainers(
            device.indexes, device.placement, cast(Any, self.leases), f"device-{device.id}", rows
        )
        device.indexes.is_moving = task.is_attending
        return task

    async def settle(self) -> list[SplitContainers]:
        """Let all devices report and split until nothing is left to do."""
        tasks = [self.task(device) for device in self.cluster.devices if device.running]
        for _ in range(100):
            before = [(task.split_count, task.merge_count, task.settled_count) for task in tasks]
            await self.report()
            for task in tasks:
                await task.step()
            if any(task.waiting for task in tasks):
                await asyncio.sleep(0.1)  # for the end of a freeze
            elif before == [(task.split_count, task.merge_count, task.settled_count) for task in tasks]:
                break
        else:
            raise AssertionError("splits and merges without end")
        return tasks

    async def report(self) -> None:
        """Let range databases tell roots what they hold, and roots accounts."""
        for device in self.cluster.devices:
            if device.running:
                await device.indexes.checkpoint()  # merges what is pending
                await device.report().step()

    async def known(self, account: str, container: str) -> Known:
        """Return what is known of a root."""
        found = await look(self.cluster.devices[0].placement, Named(account, container))
        assert found is not None
        return found

    async def spans(self, account: str, container: str) -> RangeMap | None:
        """Return the ranges that a container's root points to; None: it is not split."""
        found = await self.known(account, container)
        return None if found.moved is None else RangeMap(found.moved)
