"""The suite that every backend of coordination passes: cluster/coordination/interface.py."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.coordination.embedded import EmbeddedCoordination
from cluster.coordination.errors import Conflict, LeaseHeld, LeaseLost
from cluster.coordination.interface import ABSENT, DATA_LIMIT, KEY_LIMIT, Change, Coordination, Entry, Value

WATCH_TIMEOUT_S = 10.0


@dataclass
class Backend:
    """A backend under test: two clients of it, and a way to let time pass."""

    here: Coordination
    there: Coordination
    pass_time: Callable[[float], None]


def embedded(directory: Path) -> Backend:
    now_s = [1_700_000_000.3]

    def pass_time(seconds: float) -> None:
        now_s[0] += seconds

    here, there = (EmbeddedCoordination(directory / "coordination.db", lambda: now_s[0]) for _ in range(2))
    return Backend(here, there, pass_time)


@pytest.fixture(params=[embedded])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made: Backend = request.param(tmp_path)
    yield made
    made.here.close()
    made.there.close()


def test_what_is_put_is_there_for_all(backend: Backend) -> None:
    version = backend.here.put("a/b", b"\0data")
    assert backend.there.get("a/b") == Value(version, b"\0data")
    assert backend.there.get("a/c") is None


def test_empty_data_are_data(backend: Backend) -> None:
    version = backend.here.put("a", b"")
    assert backend.there.get("a") == Value(version, b"")
    assert backend.there.range("") == [Entry("a", version, b"")]


def test_versions_grow_over_all_keys_and_deletions(backend: Backend) -> None:
    versions = [backend.here.put("a", b"1"), backend.there.put("b", b"2"), backend.here.put("a", b"3")]
    backend.there.delete("a")
    backend.there.delete("b")
    versions.append(backend.here.put("b", b"4"))
    versions.append(backend.here.put("a", b"5"))
    assert versions == sorted(set(versions))
    assert versions[0] > ABSENT


def test_a_put_at_another_than_the_expected_version_is_refused(backend: Backend) -> None:
    first = backend.here.put("a", b"1", ABSENT)
    second = backend.there.put("a", b"2", first)
    with pytest.raises(Conflict) as raised:
        backend.here.put("a", b"3", first)
    assert (raised.value.key, raised.value.expected, raised.value.actual) == ("a", first, second)
    with pytest.raises(Conflict):
        backend.here.put("a", b"3", ABSENT)
    assert backend.here.get("a") == Value(second, b"2")


def test_a_key_that_came_back_is_not_at_its_old_version(backend: Backend) -> None:
    first = backend.here.put("a", b"1")
    backend.here.delete("a")
    with pytest.raises(Conflict):
        backend.here.put("a", b"2", first)
    backend.here.put("a", b"2", ABSENT)
    with pytest.raises(Conflict):
        backend.here.put("a", b"3", first)


def test_a_delete_tells_whether_something_was_there(backend: Backend) -> None:
    version = backend.here.put("a", b"1")
    with pytest.raises(Conflict):
        backend.there.delete("a", version + 1)
    assert backend.there.delete("a", version)
    assert not backend.there.delete("a")
    assert backend.here.get("a") is None
    assert backend.here.range("") == []


def test_a_range_is_in_byte_order_and_ends_with_the_prefix(backend: Backend) -> None:
    keys = ["a", "a/", "a/1", "a/é", "a/\U0010ffff", "a/\U0010ffffx", "a0", "b"]
    for key in reversed(keys):
        backend.here.put(key, key.encode())
    assert [entry.key for entry in backend.there.range("a/")] == keys[1:6]
    assert [entry.key for entry in backend.there.range("")] == keys
    assert [entry.data for entry in backend.there.range("a/1")] == [b"a/1"]
    assert backend.there.range("c") == []


def test_a_range_after_a_version_gives_what_is_newer(backend: Backend) -> None:
    backend.here.put("u/b", b"1")
    middle = backend.here.put("u/c", b"2")
    backend.here.put("u/b", b"3")
    backend.here.put("u/a", b"4")
    backend.here.put("v/a", b"5")
    backend.here.put("u/d", b"6")
    backend.here.delete("u/d")
    newer = backend.there.range("u/", middle)
    assert [(entry.key, entry.data) for entry in newer] == [("u/a", b"4"), ("u/b", b"3")]


@pytest.mark.parametrize("key", ["", "a\0b", "x" * (KEY_LIMIT + 1), "é" * (KEY_LIMIT // 2 + 1)])
def test_a_key_beyond_the_limits_is_refused(backend: Backend, key: str) -> None:
    with pytest.raises(ValueError, match="a key has"):
        backend.here.put(key, b"")


def test_data_beyond_the_limit_are_refused(backend: Backend) -> None:
    with pytest.raises(ValueError, match="more than"):
        backend.here.put("a", bytes(DATA_LIMIT + 1))
    assert backend.here.get("a") is None


operations = st.lists(
    st.tuples(
        st.sampled_from(["put", "delete"]),
        st.sampled_from(["a", "a/b", "a/c", "b"]),
        st.sampled_from(["any", "current", "stale", "absent"]),
        st.booleans(),
    ),
    max_size=20,
)


@given(operations)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_changes_does_what_a_dict_with_versions_would(
    backend: Backend, steps: list[tuple[str, str, str, bool]]
) -> None:
    model = {entry.key: (entry.version, entry.data) for entry in backend.here.range("")}
    for number, (operation, key, expectation, is_here) in enumerate(steps):
        client = backend.here if is_here else backend.there
        actual = model[key][0] if key in model else ABSENT
        expect = {"any": None, "current": actual, "stale": actual + 1, "absent": ABSENT}[expectation]
        fits = expect is None or expect == actual
        data = b"%d" % number
        try:
            if operation == "put":
                model[key] = (client.put(key, data, expect), data)
            elif client.delete(key, expect):
                del model[key]
            assert fits
        except Conflict:
            assert not fits
    assert {entry.key: (entry.version, entry.data) for entry in backend.here.range("")} == model
    below = sorted(key for key in model if key.startswith("a/"))
    assert backend.there.range("a/") == [Entry(key, *model[key]) for key in below]


def test_a_lease_is_held_by_one(backend: Backend) -> None:
    lease = backend.here.acquire("volume/7", "gateway-1", 10)
    backend.pass_time(4)
    with pytest.raises(LeaseHeld) as raised:
        backend.there.acquire("volume/7", "gateway-2", 10)
    assert raised.value.holder == "gateway-1"
    assert raised.value.remaining_s == pytest.approx(6, abs=0.5)
    assert backend.there.acquire("volume/8", "gateway-2", 10).holder == "gateway-2"
    assert (lease.holder, lease.epoch) == ("gateway-1", 1)


def test_each_acquisition_has_a_larger_epoch(backend: Backend) -> None:
    epochs = [backend.here.acquire("v", "one", 10).epoch]
    epochs.append(backend.here.acquire("v", "one", 10).epoch)
    backend.pass_time(10.1)
    third = backend.there.acquire("v", "two", 10)
    epochs.append(third.epoch)
    backend.there.release(third)
    epochs.append(backend.here.acquire("v", "one", 10).epoch)
    assert epochs == sorted(set(epochs))


def test_a_renewed_lease_lasts_and_keeps_its_epoch(backend: Backend) -> None:
    lease = backend.here.acquire("v", "one", 10)
    for _ in range(3):
        backend.pass_time(8)
        renewed = backend.here.renew(lease, 10)
        assert renewed.epoch == lease.epoch
    with pytest.raises(LeaseHeld):
        backend.there.acquire("v", "two", 10)


def test_a_lease_that_ended_cannot_be_renewed(backend: Backend) -> None:
    lease = backend.here.acquire("v", "one", 10)
    backend.pass_time(10.1)
    with pytest.raises(LeaseLost):
        backend.here.renew(lease, 10)
    other = backend.there.acquire("v", "two", 10)
    with pytest.raises(LeaseLost):
        backend.here.renew(lease, 10)
    assert backend.there.renew(other, 10).epoch == other.epoch


def test_a_holder_that_acquires_again_fences_off_its_past_self(backend: Backend) -> None:
    before = backend.here.acquire("v", "one", 10)
    after = backend.there.acquire("v", "one", 10)
    with pytest.raises(LeaseLost):
        backend.here.renew(before, 10)
    backend.here.release(before)
    assert backend.there.renew(after, 10).epoch == after.epoch


def test_a_released_lease_is_free_and_lost(backend: Backend) -> None:
    lease = backend.here.acquire("v", "one", 10)
    backend.here.release(lease)
    backend.here.release(lease)
    with pytest.raises(LeaseLost):
        backend.here.renew(lease, 10)
    assert backend.there.acquire("v", "two", 10).epoch > lease.epoch


class Seen:
    """Collects what a watch tells, and waits for it."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._something = asyncio.Event()

    def __call__(self, changes: Sequence[Change]) -> None:
        self.changes.extend(changes)
        self._something.set()

    async def until(self, key: str) -> None:
        """Wait until the last change of `key` has been told."""
        async with asyncio.timeout(WATCH_TIMEOUT_S):
            while not any(change.key == key for change in self.changes):
                self._something.clear()
                await self._something.wait()


def test_a_watch_tells_of_changes_by_others_and_by_oneself(backend: Backend) -> None:
    async def scenario() -> list[Change]:
        backend.here.put("u/before", b"")
        seen = Seen()
        backend.here.watch("u/", seen)
        first = backend.there.put("u/1", b"one")
        backend.there.put("v/1", b"elsewhere")
        await seen.until("u/1")
        assert seen.changes == [Change("u/1", first, b"one")]
        backend.here.put("u/2", b"two")
        await seen.until("u/2")
        return seen.changes[1:]

    (change,) = asyncio.run(scenario())
    assert (change.key, change.data) == ("u/2", b"two")


def test_a_watch_tells_of_deletions_in_the_order_of_versions(backend: Backend) -> None:
    async def scenario() -> list[Change]:
        backend.here.put("u/a", b"1")
        backend.here.put("u/b", b"2")
        seen = Seen()
        backend.here.watch("u/", seen)
        backend.there.delete("u/b")
        backend.there.delete("u/a")
        backend.there.put("u/0", b"3")
        await seen.until("u/0")
        return seen.changes

    changes = asyncio.run(scenario())
    assert [(change.key, change.data) for change in changes] == [("u/b", None), ("u/a", None), ("u/0", b"3")]
    assert changes == sorted(changes, key=lambda change: change.version)


def test_a_cancelled_watch_is_silent_and_a_failing_one_harms_no_other(backend: Backend) -> None:
    async def scenario() -> tuple[Seen, Seen]:
        cancelled, lasting = Seen(), Seen()

        def fail(changes: Sequence[Change]) -> None:
            raise RuntimeError("a bug in a callback")

        backend.here.watch("u/", fail)
        watch = backend.here.watch("u/", cancelled)
        backend.here.watch("u/", lasting)
        watch.cancel()
        watch.cancel()
        backend.there.put("u/1", b"")
        await lasting.until("u/1")
        backend.there.put("u/2", b"")
        await lasting.until("u/2")
        return cancelled, lasting

    cancelled, lasting = asyncio.run(scenario())
    assert cancelled.changes == []
    assert [change.key for change in lasting.changes] == ["u/1", "u/2"]
