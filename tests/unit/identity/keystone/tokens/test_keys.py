"""The keys of tokens: identity/keystone/tokens/keys.py, and how they are followed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from cluster.coordination.embedded import EmbeddedCoordination
from cluster.coordination.errors import Unavailable
from identity.keystone.tokens.following import Following
from identity.keystone.tokens.keys import KEY_PREFIX, KeyRepository, Keys


class Dying(EmbeddedCoordination):
    """Answers no more after some changes."""

    changes_left = 1_000_000

    def _count(self) -> None:
        if self.changes_left <= 0:
            raise Unavailable("the process died")
        self.changes_left -= 1

    def put(self, key: str, data: bytes, expect: int | None = None) -> int:
        self._count()
        return super().put(key, data, expect)

    def delete(self, key: str, expect: int | None = None) -> bool:
        self._count()
        return super().delete(key, expect)


@pytest.fixture
def coordination(tmp_path: Path) -> Iterator[Dying]:
    made = Dying(tmp_path / "coordination.db")
    yield made
    made.close()


def numbers(keys: Keys) -> list[int]:
    return sorted(keys.texts)


def test_without_keys_nothing_can_be_sealed(coordination: Dying) -> None:
    with pytest.raises(ValueError, match="no key"):
        KeyRepository(coordination).load()


def test_the_first_two_are_made_once(coordination: Dying) -> None:
    first = KeyRepository(coordination).ensure()
    again = KeyRepository(coordination).ensure()
    assert numbers(first) == [0, 1]
    assert first.texts == again.texts
    assert first.primary_number == 1


def test_a_rotation_makes_the_staged_key_the_primary(coordination: Dying) -> None:
    repository = KeyRepository(coordination)
    before = repository.ensure()
    after = repository.rotate()
    assert numbers(after) == [0, 1, 2]
    assert after.texts[2] == before.texts[0]
    assert after.texts[0] not in before.texts.values()
    sealed = before.primary.encrypt(b"x")
    assert any(_opens(key, sealed) for key in after.candidates)
    assert any(_opens(key, after.primary.encrypt(b"x")) for key in before.candidates)  # who has not heard of it yet


def test_no_more_than_the_limit_are_kept(coordination: Dying) -> None:
    repository = KeyRepository(coordination)
    for _ in range(6):
        keys = repository.rotate(active_limit=3)
    assert numbers(keys) == [0, 6, 7]
    assert numbers(repository.rotate(active_limit=1)) == [0, 8]  # one to seal with is kept whatever is said


@pytest.mark.parametrize("changes", range(4))
def test_a_rotation_that_dies_is_completed_by_the_next(coordination: Dying, changes: int) -> None:
    repository = KeyRepository(coordination)
    for _ in range(2):
        repository.rotate(active_limit=3)
    before = repository.load()
    coordination.changes_left = changes
    with contextlib.suppress(Unavailable):
        repository.rotate(active_limit=3)
    coordination.changes_left = 100
    after = repository.rotate(active_limit=3)
    assert len(after.texts) == 3
    assert len(set(after.texts.values())) == 3
    assert after.primary_number > before.primary_number
    assert after.texts[before.primary_number + 1] == before.texts[0]


def test_whoever_follows_has_new_keys_and_lets_old_ones_go(coordination: Dying) -> None:
    repository, following = KeyRepository(coordination), Following(coordination)
    following.poll()
    assert following.keys.current() is None
    repository.ensure()
    following.poll()
    first = following.keys.current()
    following.poll()
    assert following.keys.current() is first  # tokens are remembered by it
    for _ in range(5):
        repository.rotate(active_limit=3)
    following.poll()
    keys = following.keys.current()
    assert keys is not None
    assert numbers(keys) == [0, 5, 6]


def test_keys_are_not_shown(coordination: Dying) -> None:
    keys = KeyRepository(coordination).ensure()
    shown = repr(keys) + repr(Following(coordination).keys)
    assert not any(text.decode() in shown for text in keys.texts.values())
    assert coordination.get(KEY_PREFIX + "0") is not None


def _opens(key: Fernet, sealed: bytes) -> bool:
    try:
        return key.decrypt(sealed) == b"x"
    except Exception:
        return False
