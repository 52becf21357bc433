"""When keys are rotated: identity/keystone/tokens/rotation.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.coordination.embedded import EmbeddedCoordination
from identity.keystone.tokens.keys import KeyRepository
from identity.keystone.tokens.rotation import ROTATED, Rotation

DAY_US = 86_400_000_000


class Setting:
    """Coordination, two that would rotate, and their clock."""

    def __init__(self, directory: Path) -> None:
        self.coordination = EmbeddedCoordination(directory / "coordination.db")
        self.repository = KeyRepository(self.coordination)
        self.repository.ensure()
        self.now_us = 1_000 * DAY_US
        self.one, self.other = (
            Rotation(self.coordination, self.repository, 86_400, lambda: self.now_us) for _ in range(2)
        )

    def primary(self) -> int:
        return self.repository.load().primary_number


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    made = Setting(tmp_path)
    yield made
    made.coordination.close()


def test_new_keys_live_for_a_whole_period(setting: Setting) -> None:
    assert not setting.one.step()
    setting.now_us += DAY_US - 1
    assert not setting.one.step()
    setting.now_us += 1
    assert setting.one.step()
    assert setting.primary() == 2


def test_of_two_that_notice_one_rotates(setting: Setting) -> None:
    setting.one.step()
    setting.now_us += DAY_US
    assert [setting.one.step(), setting.other.step(), setting.one.step()] == [True, False, False]


def test_a_long_pause_is_one_rotation_and_a_clock_set_back_none(setting: Setting) -> None:
    setting.one.step()
    setting.now_us += 50 * DAY_US
    assert [setting.one.step(), setting.one.step()] == [True, False]
    setting.now_us -= 10 * DAY_US
    assert not setting.one.step()


def test_one_that_died_before_it_rotated_leaves_the_keys(setting: Setting) -> None:
    setting.one.step()
    setting.now_us += DAY_US
    setting.coordination.put(ROTATED, b"%d" % setting.now_us)
    assert not setting.other.step()
    assert setting.primary() == 1
