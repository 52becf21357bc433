"""The keys that tokens are sealed with: the newest is primary, one waits its turn, older ones still open.

As Keystone's key repository: number 0 is staged; the highest number is the primary, and alone seals. A rotation
makes the staged key the primary and stages a fresh one, so that every process has had a key for a whole period
before the first token made with it comes by. A token must not outlive the keys: `active_limit` times the period
of rotation is more than its lifetime.

They are kept in coordination under `identity/fernet/N`. A rotation that died half way is completed by the next:
it stores the staged key under its new number first, and in the end drops what is beyond the limit.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.fernet import Fernet

from cluster.coordination.errors import Conflict
from cluster.coordination.interface import ABSENT, Coordination

KEY_PREFIX = "identity/fernet/"  # of keys in coordination
ACTIVE_LIMIT = 5
_STAGED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """The keys of one moment. `Fernet` objects are dear to make, and are made once."""

    texts: Mapping[int, bytes] = field(repr=False)  # by number
    primary: Fernet = field(repr=False)
    candidates: tuple[Fernet, ...] = field(repr=False)  # that open tokens: primary, older ones, staged

    @classmethod
    def of(cls, texts: Mapping[int, bytes]) -> "Keys":
        """Return the keys made of `texts`, base64 as `Fernet.generate_key` gives it. Raise ValueError."""
        if not texts:
            raise ValueError("there is no key to seal tokens with")
        newest_first = sorted(texts, reverse=True)  # 0, the staged one, comes last
        fernets = tuple(Fernet(texts[number]) for number in newest_first)
        return cls(texts=dict(texts), primary=fernets[0], candidates=fernets)

    @property
    def primary_number(self) -> int:
        """Return the number of the key that seals."""
        return max(self.texts)

    def surplus(self, active_limit: int) -> list[int]:
        """Return the numbers of the keys that go: the oldest beyond `active_limit`, the staged one counted in."""
        oldest_first = sorted(number for number in self.texts if number != _STAGED)
        return oldest_first[: max(0, len(self.texts) - max(active_limit, 2))]


class KeyRepository:
    """The keys of a cluster in coordination, for those who make and rotate them."""

    def __init__(
        self, coordination: Coordination, generate: Callable[[], bytes] = Fernet.generate_key
    ) -> None:
        self._coordination = coordination
        self._generate = generate

    def load(self) -> Keys:
        """Return the keys as they are now. Raise ValueError when there are none."""
        return Keys.of({number_of(entry.key): entry.data for entry in self._coordination.range(KEY_PREFIX)})

    def ensure(self) -> Keys:
        """Make the first two keys unless they are there; of several processes that try, one does."""
        numbers = {number_of(entry.key) for entry in self._coordination.range(KEY_PREFIX)}
        if _STAGED not in numbers:
            self._put(_STAGED, self._generate(), ABSENT)
        if not numbers - {_STAGED}:
            self._put(_STAGED + 1, self._generate(), ABSENT)
        return self.load()

    def rotate(self, active_limit: int = ACTIVE_LIMIT) -> Keys:
        """Make the staged key the primary, stage a fresh one, and drop the oldest beyond `active_limit`."""
        keys = self.ensure()
        staged = self._coordination.get(_key_of(_STAGED))
        if staged is not None:
            if staged.data != keys.texts[keys.primary_number]:  # else a rotation that died got as far as this
                self._put(keys.primary_number + 1, staged.data, ABSENT)
            self._put(_STAGED, self._generate(), staged.version)
        keys = self.load()
        for number in keys.surplus(active_limit):
            self._coordination.delete(_key_of(number))
        return self.load()

    def _put(self, number: int, data: bytes, expect: int) -> None:
        with contextlib.suppress(Conflict):  # another process was faster; what it stored is as good
            self._coordination.put(_key_of(number), data, expect)


def number_of(key: str) -> int:
    """Return the number of the key kept in coordination under `key`. Raise ValueError."""
    return int(key.removeprefix(KEY_PREFIX))


def _key_of(number: int) -> str:
    return f"{KEY_PREFIX}{number}"
