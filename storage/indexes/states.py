"""What the loop's thread knows of databases, of the last that were asked for."""

import asyncio
from collections import OrderedDict

from storage.indexes.errors import bad_request
from storage.indexes.jobs import Jobs
from storage.indexes.shelf import Shelf
from storage.indexes.state import State, state_of
from storage.messages import KEY_SIZE

_FORGOTTEN_PART = 8  # of the idle states are forgotten at once: looking for them costs a walk over all


class States:
    """Of one device."""

    def __init__(self, shelf: Shelf, jobs: Jobs, limit: int) -> None:
        """`limit`: states that are kept; those that have something under way are kept beyond it."""
        self._shelf = shelf
        self._jobs = jobs
        self._limit = limit
        self.known: OrderedDict[bytes, State] = OrderedDict()  # least recently used first
        self._loading: dict[bytes, asyncio.Task[None]] = {}

    async def of(self, key: bytes) -> State:
        """Return what is known of the database, reading its file if need be."""
        while (state := self.known.get(key)) is None:  # it may be forgotten again before we hear that it is there
            if type(key) is not bytes or len(key) != KEY_SIZE:
                raise bad_request("not a key")
            self._jobs.refuse_when_busy()
            loading = self._loading.get(key)
            if loading is None:
                loading = self._loading[key] = asyncio.ensure_future(self._load(key))
                loading.add_done_callback(lambda _task: self._loading.pop(key))
            await asyncio.shield(loading)
        self.known.move_to_end(key)
        return state

    async def _load(self, key: bytes) -> None:
        header = await self._jobs.run(self._shelf.header, key)
        self._forget_idle()
        self.known[key] = state_of(key, header)

    def _forget_idle(self) -> None:
        """Make room for a state: forget the least recently used that has nothing under way."""
        now = asyncio.get_running_loop().time()
        if len(self.known) >= self._limit:
            idle = [key for key, state in self.known.items() if state.idle(now)]
            for key in idle[: max(1, self._limit // _FORGOTTEN_PART)]:
                del self.known[key]

    def forget(self, key: bytes) -> bool:
        """Forget what is known of a database, unless something is under way; whoever asks next reads its file."""
        state = self.known.get(key)
        if key in self._loading or (state is not None and not state.idle(asyncio.get_running_loop().time())):
            return False
        self.known.pop(key, None)
        return True
