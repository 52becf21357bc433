"""Keys and revocations, followed in coordination: what a `TokenValidator` is kept current by.

A process with an event loop hands in changes as a watch brings them; one without reads what is new every second.
Either way `apply` is all there is to it. A statement that cannot be read is reported and passed over: it comes from
a newer release, and the tokens that it voids end with their expiry.
"""

from collections.abc import Iterable

from cluster.coordination.interface import Change, Coordination, Entry, Watch
from cluster.telemetry.log import get_logger
from identity.keystone.tokens.keys import KEY_PREFIX, Keys, number_of
from identity.keystone.tokens.revoked import Kind, Revoked, Subject

REVOKED_PREFIX = "identity/revoked/"  # of keys in coordination: then KIND/ID; the data is a decimal number

_log = get_logger("identity")


def key_of(subject: Subject) -> str:
    """Return where a statement about `subject` is published."""
    return f"{REVOKED_PREFIX}{subject.kind.value}/{subject.id}"


def subject_of(key: str) -> Subject:
    """Return what the statement published under `key` is about. Raise ValueError."""
    kind, _, subject_id = key.removeprefix(REVOKED_PREFIX).partition("/")
    return Subject(Kind(kind), subject_id)


class KeyFollower:
    """`validation.KeySource` of what is in coordination."""

    def __init__(self) -> None:
        self._texts: dict[str, bytes] = {}  # by key in coordination
        self._keys: Keys | None = None

    def __repr__(self) -> str:
        return f"KeyFollower({len(self._texts)} keys)"

    def current(self) -> Keys | None:
        """Return the keys; the same object until they change."""
        return self._keys

    def apply(self, changes: Iterable[Change]) -> None:
        """Take changes under KEY_PREFIX over."""
        texts = dict(self._texts)
        for change in changes:
            if change.data is None:
                texts.pop(change.key, None)
            else:
                texts[change.key] = change.data
        self._set(texts)

    def read(self, entries: Iterable[Entry]) -> None:
        """Take over all that there is under KEY_PREFIX."""
        self._set({entry.key: entry.data for entry in entries})

    def _set(self, texts: dict[str, bytes]) -> None:
        if texts == self._texts:
            return
        self._texts = texts
        try:
            self._keys = Keys.of({number_of(key): text for key, text in texts.items()}) if texts else None
        except ValueError as error:  # those that were good go on: tokens must not stop the data
            _log.error("token_keys_unreadable", error=error)


class RevocationFollower:
    """Keeps a `Revoked` as it is in coordination."""

    def __init__(self) -> None:
        self.revoked = Revoked()

    def apply(self, changes: Iterable[Change]) -> None:
        """Take changes under REVOKED_PREFIX over."""
        for change in changes:
            try:
                subject = subject_of(change.key)
                if change.data is None:
                    self.revoked.forget(subject)
                else:
                    self.revoked.put(subject, int(change.data))
            except ValueError as error:
                _log.error("revocation_unreadable", key=change.key, error=error)

    def read(self, entries: Iterable[Entry]) -> None:
        """Take over all that there is under REVOKED_PREFIX. What has been swept out since is kept: it voids nothing."""
        self.apply(Change(*entry) for entry in entries)


class Following:
    """Reads keys and revocations from coordination. `start` it on an event loop, or `poll` it from a thread."""

    def __init__(self, coordination: Coordination) -> None:
        self._coordination = coordination
        self.keys = KeyFollower()
        self._revocations = RevocationFollower()
        self._watches: list[Watch] = []

    @property
    def revoked(self) -> Revoked:
        """Return the statements that are known."""
        return self._revocations.revoked

    def start(self) -> None:
        """Follow from now on, on the running event loop. Raise `coordination.errors.Unavailable`."""
        self._watches = [
            self._coordination.watch(KEY_PREFIX, self.keys.apply),
            self._coordination.watch(REVOKED_PREFIX, self._revocations.apply),
        ]
        self.poll()

    def close(self) -> None:
        """Follow no more."""
        for watch in self._watches:
            watch.cancel()

    def poll(self) -> None:
        """Read all there is. Raise `coordination.errors.Unavailable`."""
        self.keys.read(self._coordination.range(KEY_PREFIX))
        self._revocations.read(self._coordination.range(REVOKED_PREFIX))
