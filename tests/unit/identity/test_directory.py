"""Users followed in memory: identity/directory.py."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.coordination.embedded import EmbeddedCoordination
from cluster.coordination.errors import Unavailable
from cluster.coordination.interface import Entry
from identity.directory import REREADS_PER_S, Directory
from identity.users import UserStore, new_user

WATCH_TIMEOUT_S = 10.0


class CountingCoordination(EmbeddedCoordination):
    """Counts how often a range is read, and can fail."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reads = 0
        self.is_down = False

    def range(self, prefix: str, after: int = 0) -> list[Entry]:
        self.reads += 1
        if self.is_down:
            raise Unavailable("down")
        return super().range(prefix, after)


class Setting:
    """A directory in one process, a store in another, and the clock of the first."""

    def __init__(self, directory: Path) -> None:
        self.now_s = 1000.0
        self.coordination = CountingCoordination(directory / "coordination.db")
        self.other = EmbeddedCoordination(directory / "coordination.db")
        self.store = UserStore(self.other)
        self.directory = Directory(self.coordination, lambda: self.now_s)


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    made = Setting(tmp_path)
    yield made
    made.coordination.close()
    made.other.close()


def started(setting: Setting, scenario: Callable[[], Awaitable[Any]]) -> Any:
    """Run `scenario` with the directory started."""

    async def main() -> Any:
        setting.directory.start()
        try:
            return await scenario()
        finally:
            setting.directory.close()

    return asyncio.run(main())


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the watch has brought what makes `condition` true."""
    async with asyncio.timeout(WATCH_TIMEOUT_S):
        while not condition():  # noqa: ASYNC110  the watch is what is tested
            await asyncio.sleep(0.01)


def test_users_are_found_by_name_and_access_key(setting: Setting) -> None:
    ann, bob = setting.store.add(new_user("ann")), setting.store.add(new_user("photos:bob"))

    async def scenario() -> None:
        assert len(setting.directory) == 2
        assert setting.directory.by_name("ann") == ann
        assert setting.directory.by_access_key(bob.access_key) == bob
        assert setting.directory.by_name("photos") is None
        assert setting.directory.by_access_key(ann.secret_key) is None

    started(setting, scenario)


def test_a_user_who_was_just_added_elsewhere_is_found_at_once(setting: Setting) -> None:
    async def scenario() -> None:
        ann = setting.store.add(new_user("ann"))
        assert setting.directory.by_access_key(ann.access_key) == ann
        bob = setting.store.add(new_user("bob"))
        assert setting.directory.by_name("bob") == bob

    started(setting, scenario)


def test_failed_lookups_read_only_so_often(setting: Setting) -> None:
    async def scenario() -> None:
        before = setting.coordination.reads
        for guess in range(100):
            assert setting.directory.by_access_key(f"guess{guess}") is None
        assert setting.coordination.reads == before + REREADS_PER_S
        setting.now_s += 1.5 / REREADS_PER_S
        for _ in range(3):
            setting.directory.by_name("nobody")
        assert setting.coordination.reads == before + REREADS_PER_S + 1

    started(setting, scenario)


def test_known_users_cost_no_read(setting: Setting) -> None:
    ann = setting.store.add(new_user("ann"))

    async def scenario() -> None:
        before = setting.coordination.reads
        for _ in range(100):
            assert setting.directory.by_access_key(ann.access_key) is setting.directory.by_name("ann")
        assert setting.coordination.reads == before

    started(setting, scenario)


def test_removal_and_new_keys_are_followed(setting: Setting) -> None:
    ann, bob = setting.store.add(new_user("ann")), setting.store.add(new_user("bob"))

    async def scenario() -> None:
        setting.store.remove("ann")
        fresh = setting.store.renew_keys("bob")
        await eventually(lambda: setting.directory.by_access_key(ann.access_key) is None)
        await eventually(lambda: setting.directory.by_access_key(bob.access_key) is None)
        assert setting.directory.by_name("ann") is None
        assert setting.directory.by_access_key(fresh.access_key) == fresh
        assert len(setting.directory) == 1

    started(setting, scenario)


def test_a_user_who_did_not_change_stays_the_same_object(setting: Setting) -> None:
    ann = setting.store.add(new_user("ann"))

    async def scenario() -> None:
        before = setting.directory.by_name("ann")
        setting.other.put("user/ann", b'{"newer": 1, ' + setting.other.get("user/ann").data[1:])  # type: ignore[union-attr]
        bob = setting.store.add(new_user("bob"))
        await eventually(lambda: "bob" in setting.directory._by_name)
        assert setting.directory.by_name("bob") == bob
        assert setting.directory.by_name("ann") is before
        assert before == ann

    started(setting, scenario)


def test_an_outage_of_coordination_leaves_the_known_users(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    ann = setting.store.add(new_user("ann"))

    async def scenario() -> None:
        setting.coordination.is_down = True
        assert setting.directory.by_access_key(ann.access_key) == ann
        assert setting.directory.by_access_key("unknown") is None
        assert setting.directory.by_access_key("unknown") is None

    started(setting, scenario)
    assert capsys.readouterr().err.count("users_not_read") == 1


def test_a_damaged_user_is_told_and_hurts_no_other(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    setting.other.put("user/broken", b"{")
    ann = setting.store.add(new_user("ann"))

    async def scenario() -> None:
        assert setting.directory.by_name("ann") == ann
        assert setting.directory.by_name("broken") is None

    started(setting, scenario)
    assert "user_unreadable" in capsys.readouterr().err
