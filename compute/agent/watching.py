"""All guests of a host as they are now, for those who wait for one to change."""

import dataclasses
import hashlib
import json
import threading
from collections.abc import Callable, Mapping

from compute.agent.guest import GuestState, document_of
from compute.agent.interface import Seen


class Watch:
    """The states of guests. It does not ask for them: it is told."""

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._changed = threading.Condition()
        self._states: dict[str, GuestState] = {}
        self._seen = _seen({})
        self._closed = False

    def put(self, state: GuestState) -> GuestState:
        """Note how a guest is; return it with the moment since which it is so."""
        with self._changed:
            known = self._states.get(state.id)
            if known is not None and dataclasses.replace(state, since_us=known.since_us) == known:
                return known
            found = dataclasses.replace(state, since_us=self._clock_us())
            self._states[state.id] = found
            self._tell()
            return found

    def drop(self, guest_id: str) -> None:
        """Note that a guest is gone."""
        with self._changed:
            if self._states.pop(guest_id, None) is not None:
                self._tell()

    def all(self) -> Mapping[str, GuestState]:
        """Return all states, by the guest's id."""
        with self._changed:
            return dict(self._states)

    def seen(self, tag: str, wait_s: float) -> Seen:
        """Return all states once they are others than those of `tag`, or `wait_s` is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._seen.tag != tag, max(0.0, wait_s))
            return self._seen

    def close(self) -> None:
        """Have nobody wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _tell(self) -> None:
        self._seen = _seen(self._states)
        self._changed.notify_all()


def _seen(states: Mapping[str, GuestState]) -> Seen:
    guests = tuple(states[guest_id] for guest_id in sorted(states))
    content = json.dumps([document_of(state) for state in guests])
    return Seen(hashlib.sha256(content.encode()).hexdigest()[:32], guests)
