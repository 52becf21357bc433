"""Containers that are split and merged (docs/container-splitting.md): no client sees it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from cluster.clock import ZERO, HybridClock
from cluster.wire import RemoteError
from proxy.objects import container_deletion, databases
from proxy.objects.errors import ContainerNotEmpty, NoSuchContainer, Unavailable
from proxy.objects.model import CommonPrefix, ListingQuery, ObjectName
from proxy.objects.service import ObjectService
from storage.housekeeping import split
from storage.housekeeping.split import SplitContainers
from storage.indexes import database as index_database
from storage.indexes import state as index_state
from storage.messages import Changes, DatabaseKind, Operation
from storage.ranges import decision, moving, state
from storage.ranges.decision import Decision, Named, Undecidable
from storage.ranges.pointers import Pointer, new_range_id, range_database
from tests.loopback import LoopbackCluster, LoopbackDevice, Loss, in_cluster, names_in, put
from tests.splitting import Splitting

ACCOUNT = "AUTH_a"
ROWS = 24  # of a container, beyond which it is split

Scenario = Callable[[LoopbackCluster], Awaitable[None]]


def splitting(scenario: Scenario) -> Callable[[], None]:
    """Run a test on a cluster whose containers are split early."""
    return in_cluster(scenario, split_rows=ROWS)


def name(text: str, container: str = "c") -> ObjectName:
    return ObjectName(ACCOUNT, container, text)


async def fill(service: ObjectService, names: list[str]) -> None:
    await asyncio.gather(*(put(service, name(text), b"data") for text in names))


async def empty(service: ObjectService, names: list[str]) -> None:
    await asyncio.gather(*(service.delete_object(name(text)) for text in names))


NAMES = [f"{letter}/{number}" for letter in "abcdefgh" for number in range(5)] + ["z"]


@splitting
async def test_a_container_that_grows_is_split_and_lists_the_same(cluster: LoopbackCluster) -> None:
    splits, writer, reader = Splitting(cluster), cluster.proxy().service, cluster.proxy().service
    await writer.create_container(ACCOUNT, "c", {"acl": "public"})
    await fill(writer, NAMES)
    await reader.container_info(ACCOUNT, "c")
    await splits.settle()
    spans = await splits.spans(ACCOUNT, "c")
    assert spans is not None
    assert len(spans.spans) >= len(NAMES) / ROWS
    for service in (writer, reader, cluster.proxy().service):
        assert await names_in(service, ACCOUNT, "c") == sorted(NAMES)
        assert await names_in(service, ACCOUNT, "c", reverse=True) == sorted(NAMES, reverse=True)
        assert await names_in(service, ACCOUNT, "c", delimiter="/") == [*(f"{letter}/" for letter in "abcdefgh"), "z"]
    info = await reader.container_info(ACCOUNT, "c")
    assert (info.object_count, info.bytes_used, info.metadata) == (len(NAMES), 4 * len(NAMES), {"acl": "public"})


@splitting
async def test_rows_that_are_written_after_a_split_are_listed_and_counted(cluster: LoopbackCluster) -> None:
    splits, writer, reader = Splitting(cluster), cluster.proxy().service, cluster.proxy().service
    await writer.create_container(ACCOUNT, "c", {})
    await fill(writer, NAMES)
    await splits.settle()
    more = [f"{letter}/{number}" for letter in "agz" for number in range(5, 9)]
    await fill(writer, more)
    await empty(writer, NAMES[:7])
    expected = sorted([*NAMES[7:], *more])
    assert await names_in(reader, ACCOUNT, "c") == expected
    await splits.settle()
    assert await names_in(reader, ACCOUNT, "c") == expected
    await splits.report()
    assert (await reader.container_info(ACCOUNT, "c")).object_count == len(expected)
    listing = await reader.list_account(ACCOUNT, ListingQuery())
    [row] = [item for item in listing.items if not isinstance(item, CommonPrefix)]
    assert (row.name, row.object_count) == ("c", len(expected))


@splitting
async def test_ranges_that_shrink_are_merged(cluster: LoopbackCluster) -> None:
    splits, service = Splitting(cluster), cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await fill(service, NAMES)
    await splits.settle()
    before = await splits.spans(ACCOUNT, "c")
    await empty(service, NAMES[2:])
    await splits.settle()
    after = await splits.spans(ACCOUNT, "c")
    assert before is not None
    assert after is not None
    assert len(after.spans) == 1 < len(before.spans)
    assert await names_in(service, ACCOUNT, "c") == NAMES[:2]
    assert await names_in(cluster.proxy().service, ACCOUNT, "c") == NAMES[:2]


@splitting
async def test_a_split_container_is_deleted_when_it_is_empty_and_not_before(cluster: LoopbackCluster) -> None:
    splits, service, other = Splitting(cluster), cluster.proxy().service, cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await fill(service, NAMES)
    await splits.settle()
    assert len(await names_in(other, ACCOUNT, "c")) == len(NAMES)
    with pytest.raises(ContainerNotEmpty):
        await service.delete_container(ACCOUNT, "c")
    await put(other, name("new"), b"data")
    await empty(service, [*NAMES, "new"])
    await service.delete_container(ACCOUNT, "c")
    for one in (service, other, cluster.proxy().service):
        with pytest.raises(NoSuchContainer):
            await names_in(one, ACCOUNT, "c")
        with pytest.raises(NoSuchContainer):
            await put(one, name("late"), b"data")
    await service.create_container(ACCOUNT, "c", {})
    assert await splits.spans(ACCOUNT, "c") is None
    await put(other, name("again"), b"data")
    for one in (service, other):
        assert await names_in(one, ACCOUNT, "c") == ["again"]


@splitting
async def test_a_device_that_has_missed_deletions_does_not_keep_a_split_container(cluster: LoopbackCluster) -> None:
    """Another one fails while the container is deleted."""
    splits, service = Splitting(cluster), cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await fill(service, NAMES)
    await splits.settle()
    spans = await splits.spans(ACCOUNT, "c")
    assert spans is not None
    holders = cluster.holders(cluster.key(*range_database(ACCOUNT, "c", spans.spans[0].range_id)))
    with cluster.without(holders[0]):
        await empty(service, NAMES)
    deleter = cluster.proxy()
    lost = 0

    def loss(operation: int) -> Loss | None:
        nonlocal lost
        lost += operation == Operation.INDEX_FREEZE
        return Loss.REQUEST if operation == Operation.INDEX_FREEZE and lost <= len(spans.spans) else None

    deleter.peers[holders[1].id].faults.loss = loss
    await deleter.service.delete_container(ACCOUNT, "c")
    with pytest.raises(NoSuchContainer):
        await names_in(service, ACCOUNT, "c")


@splitting
async def test_rows_that_have_moved_are_dropped_where_they_were(cluster: LoopbackCluster) -> None:
    splits, service = Splitting(cluster), cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await fill(service, NAMES)
    await splits.settle()
    key = cluster.key(ACCOUNT, "c")
    for device in cluster.holders(key):
        while await device.indexes.purge():
            pass
        assert await device.indexes._pending.query(key, lambda database: list(database.all_rows())) == []
    assert await names_in(service, ACCOUNT, "c") == sorted(NAMES)


# rows that come and go while they are copied


class Busy:
    """Does something each time a page is about to be read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, do: Callable[[int], Awaitable[None]]) -> None:
        self.page_count = 0
        page = moving.Copy.page

        async def busy(copy: moving.Copy, after: tuple[bool, str] | None) -> Changes:
            found = await page(copy, after)
            self.page_count += 1
            await do(self.page_count)
            return found

        monkeypatch.setattr(moving, "PAGE_ROWS", 3)
        monkeypatch.setattr(moving, "LITTLE", 3)
        monkeypatch.setattr(moving.Copy, "page", busy)


def test_what_comes_and_goes_before_and_behind_what_is_read_by_name_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    @splitting
    async def scenario(cluster: LoopbackCluster) -> None:
        splits, service = Splitting(cluster), cluster.proxy().service
        await service.create_container(ACCOUNT, "c", {})
        await fill(service, NAMES)
        expected = set(NAMES)

        async def write(page: int) -> None:
            if page > 20:
                return
            first, last = f"!{page}", f"~{page}"
            gone = sorted(expected)[page % len(expected)]
            await asyncio.gather(*(put(service, name(text), b"data") for text in (first, last)))
            await service.delete_object(name(gone))
            expected.difference_update([gone])
            expected.update([first, last])

        busy = Busy(monkeypatch, write)
        await splits.settle()
        assert await splits.spans(ACCOUNT, "c") is not None
        assert busy.page_count > 20
        for one in (service, cluster.proxy().service):
            assert await names_in(one, ACCOUNT, "c") == sorted(expected)

    scenario()


def test_writers_are_slowed_down_when_rows_come_in_faster_than_they_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    refused_count = 0
    slow_down = index_state.State.slow_down

    def counted(self: index_state.State, row_count: int, now: float) -> None:
        nonlocal refused_count
        try:
            slow_down(self, row_count, now)
        except RemoteError:
            refused_count += 1
            raise

    @splitting
    async def scenario(cluster: LoopbackCluster) -> None:
        splits, service = Splitting(cluster), cluster.proxy().service
        await service.create_container(ACCOUNT, "c", {})
        await fill(service, NAMES)
        writing: dict[str, asyncio.Task[None]] = {}

        async def patiently(text: str) -> None:
            with contextlib.suppress(Unavailable):
                await put(service, name(text), b"data")
                return
            await patiently(text)

        async def more_than_a_page(page: int) -> None:
            if page <= 60:
                for text in (f"!new/{page}/{number}" for number in range(5)):
                    writing[text] = asyncio.create_task(patiently(text))
            await asyncio.sleep(0.005)

        Busy(monkeypatch, more_than_a_page)
        task = splits.task(cluster.holders(cluster.key(ACCOUNT, "c"))[0])
        await splits.report()
        await task.step()
        assert task.split_count, task.waiting
        await asyncio.gather(*writing.values())
        assert await names_in(service, ACCOUNT, "c") == sorted({*NAMES, *writing})

    monkeypatch.setattr(moving, "SLOWEST", 1)
    monkeypatch.setattr(index_state.State, "slow_down", counted)
    scenario()
    assert refused_count


class Recorded:
    """A budget that never ends, and knows what was waited for."""

    def __init__(self) -> None:
        self.waits: list[bool] = []  # for each page

    async def took(self, _size: int) -> None:
        self.waits.append(True)
        await asyncio.sleep(0)

    def spend(self, _size: int) -> None:
        self.waits.append(False)


@pytest.mark.parametrize("growing", [False, True])
def test_copying_yields_to_clients_unless_they_make_it_endless(monkeypatch: pytest.MonkeyPatch, growing: bool) -> None:
    budget = Recorded()

    @splitting
    async def scenario(cluster: LoopbackCluster) -> None:
        splits, service = Splitting(cluster), cluster.proxy().service
        await service.create_container(ACCOUNT, "c", {})
        await fill(service, NAMES)

        async def more(page: int) -> None:
            if growing and page <= 8:
                await fill(service, [f"!{page}-{number}" for number in range(2)])

        Busy(monkeypatch, more)
        task = splits.task(cluster.holders(cluster.key(ACCOUNT, "c"))[0])
        task._throttle = budget
        await splits.report()
        await task.step()
        assert task.split_count, task.waiting

    scenario()
    assert budget.waits[0]
    assert all(budget.waits) is not growing


# who splits dies


class Killed(Exception):
    """The splitter is no more."""


def dying(splits: Splitting, device: LoopbackDevice, operation: Operation, after: int) -> SplitContainers:
    """Return a splitter whose connections are cut after so many messages of a kind: nobody hears of the next."""
    task = splits.task(device)
    placement = splits.cluster.placement(f"splitter on {device.id}")
    task._placement = task._mover._placement = placement
    left = after

    def loss(sent: int) -> Loss | None:
        nonlocal left
        left -= sent == operation
        if left < 0:
            for peer in placement.peers.values():
                peer.faults.loss = lambda _operation: Loss.REQUEST  # type: ignore[attr-defined]
            return Loss.REQUEST
        return None

    for peer in placement.peers.values():
        peer.faults.loss = loss  # type: ignore[attr-defined]
    return task


@pytest.fixture(autouse=True)
def short_freezes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a dead splitter has frozen thaw soon."""
    monkeypatch.setattr(decision, "FREEZE_S", 1.0)


def accepted_by(cluster: LoopbackCluster) -> int:
    """Return how many replicas of the root have accepted a split and do not know whether it was decided."""
    states = [device.indexes._states.known.get(cluster.key(ACCOUNT, "c")) for device in cluster.devices]
    return sum(1 for state in states if state is not None and state.accepted is not None)


async def grown(cluster: LoopbackCluster) -> tuple[Splitting, ObjectService]:
    """Return what a test of one split begins with."""
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await fill(service, NAMES)
    splits = Splitting(cluster)
    await splits.report()
    return splits, service


async def check_all(cluster: LoopbackCluster, expected: list[str]) -> None:
    """Look from everywhere, whoever is away."""
    for service in [*(proxy.service for proxy in cluster._proxies), cluster.proxy().service]:
        assert await names_in(service, ACCOUNT, "c") == sorted(expected)
        assert await names_in(service, ACCOUNT, "c", reverse=True) == sorted(expected, reverse=True)


# INDEX_MOVE goes to the three replicas of the root one after the other: accepted by one, by a quorum, known to one
@pytest.mark.parametrize(("operation", "after", "accepted"), [
    (Operation.INDEX_CREATE, 2, 0),
    (Operation.INDEX_ROWS, 4, 0),
    (Operation.INDEX_FREEZE, 1, 0),
    (Operation.INDEX_FREEZE, 3, 0),
    (Operation.INDEX_MOVE, 0, 0),
    (Operation.INDEX_MOVE, 1, 1),
    (Operation.INDEX_MOVE, 2, 2),
    (Operation.INDEX_MOVE, 3, 3),
    (Operation.INDEX_MOVE, 4, 2),
])
def test_a_split_that_stops_half_way_is_finished_by_another(operation: Operation, after: int, accepted: int) -> None:
    @splitting
    async def scenario(cluster: LoopbackCluster) -> None:
        splits, service = await grown(cluster)
        holders = cluster.holders(cluster.key(ACCOUNT, "c"))
        await dying(splits, holders[0], operation, after).step()
        splits.leases.now_s += 100
        assert accepted_by(cluster) == accepted
        more = [f"{letter}/more" for letter in "abch"]
        await fill(service, more)
        await empty(service, NAMES[::3])
        expected = [*more, *(set(NAMES) - set(NAMES[::3]))]
        await check_all(cluster, expected)
        tasks = await splits.settle()
        assert accepted_by(cluster) == 0
        assert sum(task.settled_count for task in tasks) == (1 if accepted else 0)
        await check_all(cluster, expected)
        for away in holders:
            with cluster.without(away):
                await check_all(cluster, expected)

    scenario()


def skip(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, result: object = None) -> None:
    async def nothing(*_arguments: object) -> object:
        return result

    monkeypatch.setattr(owner, method, nothing)


@pytest.mark.parametrize("gathered", [True, False])
def test_rows_that_only_other_replicas_have_are_gathered(gathered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that rule they are lost."""
    skip(monkeypatch, moving.Copy, "_catch_up_leader", True)
    if not gathered:
        skip(monkeypatch, decision.Decision, "gather")

    @splitting
    async def scenario(cluster: LoopbackCluster) -> None:
        splits, service = await grown(cluster)
        leader = cluster.holders(cluster.key(ACCOUNT, "c"))[0]
        with cluster.without(leader):
            await put(service, name("a/other"), b"data")
        await splits.settle()
        listed = await names_in(service, ACCOUNT, "c")
        assert (listed == sorted([*NAMES, "a/other"])) is gathered

    scenario()


def test_a_leader_that_lacks_much_gets_it_before_writers_are_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long must not be begun under the freeze, and what was copied not be copied again."""
    catch_up, freeze = moving.Copy._catch_up_leader, decision.Decision.freeze
    steps: list[str] = []

    async def slowly(copy: moving.Copy) -> bool:
        steps.append("catch up")
        return await catch_up(copy) and len(steps) > 4

    async def noted(undecided: decision.Decision) -> object:
        steps.append("freeze")
        return await freeze(undecided)

    monkeypatch.setattr(moving.Copy, "_catch_up_leader", slowly)
    monkeypatch.setattr(decision.Decision, "freeze", noted)

    @splitting
    async def scenario(cluster: LoopbackCluster) -> None:
        splits, service = await grown(cluster)
        await splits.settle()
        assert await names_in(service, ACCOUNT, "c") == sorted(NAMES)

    scenario()
    assert steps[:6] == ["catch up"] * 5 + ["freeze"]


@pytest.mark.parametrize("copied", [True, False])
def test_rows_that_come_in_while_others_are_copied_are_copied_too(
    copied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without that rule they are lost."""
    if not copied:
        skip(monkeypatch, moving.Copy, "rest")

    @splitting
    async def scenario(cluster: LoopbackCluster) -> None:
        splits, service = await grown(cluster)
        run = moving.Copy.run

        async def slow_run(copy: moving.Copy, pace: moving.Pace) -> None:
            await run(copy, pace)
            if await names_in(service, ACCOUNT, "c", prefix="late") == []:
                await put(service, name("late"), b"data")

        monkeypatch.setattr(moving.Copy, "run", slow_run)
        await splits.settle()
        assert (sorted([*NAMES, "late"]) == await names_in(service, ACCOUNT, "c")) is copied

    scenario()


@pytest.mark.parametrize("kept", [True, False])
def test_what_one_replica_has_accepted_stays_with_it(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it taken for decided, rows would be lost that a quorum of the others acknowledged since."""
    if not kept:
        known = state.refusal_of

        def believed(metadata: state.Metadata) -> state.Refused | None:
            refused = known(metadata)
            return None if refused is None else refused._replace(decided=True)

        monkeypatch.setattr(index_state, "refusal_of", believed)
        monkeypatch.setattr(index_database, "refusal_of", believed)

    @splitting
    async def scenario(cluster: LoopbackCluster) -> None:
        splits, service = await grown(cluster)
        await dying(splits, cluster.holders(cluster.key(ACCOUNT, "c"))[0], Operation.INDEX_MOVE, 1).step()
        await asyncio.sleep(1.1)  # the others are frozen no more
        other = cluster.proxy().service
        await put(other, name("a/more"), b"data")
        seen = [await names_in(service, ACCOUNT, "c") == sorted([*NAMES, "a/more"]) for _ in range(4)]
        assert all(seen) is kept

    scenario()


@splitting
async def test_nobody_accepts_what_he_is_not_frozen_for_any_more(cluster: LoopbackCluster) -> None:
    splits, service = await grown(cluster)
    holders = cluster.holders(cluster.key(ACCOUNT, "c"))
    database, clock = Named(ACCOUNT, "c"), HybridClock(77)
    placement = cluster.placement("test")
    async with Decision(placement, clock, database, b"t" * 16) as one:
        await one.freeze()
        for device in holders[:2]:
            await device.crash()
            device.start()
        await put(service, name("a/more"), b"data")
        with pytest.raises(Undecidable):
            await one.accept([Pointer("", new_range_id(clock.now()))])
    assert accepted_by(cluster) == 1
    await splits.settle()
    assert await names_in(service, ACCOUNT, "c") == sorted([*NAMES, "a/more"])


@splitting
async def test_who_wants_to_be_a_replica_waits_until_a_split_is_decided(cluster: LoopbackCluster) -> None:
    splits, _service = await grown(cluster)
    key = cluster.key(ACCOUNT, "c")
    holders = cluster.holders(key)
    await dying(splits, holders[0], Operation.INDEX_MOVE, 1).step()
    splits.leases.now_s += 100
    [source] = [device for device in holders if device.indexes._states.known[key].accepted is not None]
    [joiner] = [device for device in cluster.devices if device not in holders]
    with pytest.raises(RemoteError, match="decided"):
        await joiner.indexes.synchronize(DatabaseKind.CONTAINER, key, ACCOUNT, "c", source.id)
    await splits.settle()
    await joiner.indexes.synchronize(DatabaseKind.CONTAINER, key, ACCOUNT, "c", source.id)
    assert joiner.indexes._states.known[key].moved > ZERO


@splitting
async def test_an_acceptance_outlives_a_crash(cluster: LoopbackCluster) -> None:
    splits, service = await grown(cluster)
    key = cluster.key(ACCOUNT, "c")
    holders = cluster.holders(key)
    await dying(splits, holders[0], Operation.INDEX_MOVE, 3).step()  # a quorum has: it is decided, and nobody knows
    splits.leases.now_s += 100
    for device in holders:
        await device.crash()
        device.start()
    await put(service, name("a/more"), b"data")
    expected = [*NAMES, "a/more"]
    await check_all(cluster, expected)
    assert len(holders[0].indexes.take_unsettled()) == 1
    await splits.settle()
    await check_all(cluster, expected)


# who deletes dies


@pytest.mark.parametrize("after", [0, 1, 2, 5, 20, 22, 30, 41, 42, 43, 44, 47])
def test_a_deletion_that_stops_half_way_leaves_a_container_or_none(
    after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops `after` so many messages of its decisions: of seven ranges first, three replicas each; then the root."""
    monkeypatch.setattr(container_deletion, "SPLIT_FREEZE_S", 0.4)
    monkeypatch.setattr(split, "PATIENCE_S", 0.0)
    for module in (container_deletion, databases):
        monkeypatch.setattr(module, "FROZEN_WAIT_S", 1.0)

    @splitting
    async def scenario(cluster: LoopbackCluster) -> None:
        splits, service = await grown(cluster)
        await splits.settle()
        await empty(service, NAMES)
        spans = await splits.spans(ACCOUNT, "c")
        assert spans is not None
        assert len(spans.spans) == 7
        deleter = cluster.proxy()
        left = after

        def loss(sent: int) -> Loss | None:
            nonlocal left
            left -= sent == Operation.INDEX_MOVE
            return Loss.REQUEST if left < 0 else None

        for peer in deleter.peers.values():
            peer.faults.loss = loss
        with pytest.raises(Unavailable):
            await deleter.service.delete_container(ACCOUNT, "c")
        for peer in deleter.peers.values():
            peer.faults.loss = lambda _operation: None
        await asyncio.sleep(0.5)
        await splits.settle()
        try:
            await put(service, name("b/after"), b"data")
            await put(service, name("z/after"), b"data")
        except NoSuchContainer:
            assert after > 42, "the ranges alone were deleted"
            await service.create_container(ACCOUNT, "c", {})
            await put(service, name("b/after"), b"data")
            await put(service, name("z/after"), b"data")
        await check_all(cluster, ["b/after", "z/after"])
        await splits.settle()
        await check_all(cluster, ["b/after", "z/after"])
        await empty(service, ["b/after", "z/after"])
        await service.delete_container(ACCOUNT, "c")
        with pytest.raises(NoSuchContainer):
            await names_in(service, ACCOUNT, "c")

    scenario()


@splitting
async def test_a_root_learns_of_a_merge_that_stopped_half_way(cluster: LoopbackCluster) -> None:
    splits, service = await grown(cluster)
    await splits.settle()
    await empty(service, NAMES[2:])
    await splits.report()
    device = cluster.holders(cluster.key(ACCOUNT, "c"))[0]
    await dying(splits, device, Operation.INDEX_MOVE, 6).step()  # the first range was moved, the second one not
    splits.leases.now_s += 100
    await fill(service, NAMES)  # now nothing is to be merged any more
    await asyncio.sleep(1.1)
    await splits.settle()
    await splits.report()
    assert (await service.container_info(ACCOUNT, "c")).object_count == len(NAMES)
    await check_all(cluster, NAMES)
    known = await splits.known(ACCOUNT, "c")
    assert known.moved is not None
    tree = await decision.follow(cluster.devices[0].placement, Named(ACCOUNT, "c"), known.moved)
    assert tree.spans.pointers == known.moved
