"""Takes new versions of the rings over into a running daemon, and reports which versions it works by.

The report says what the daemon's requests were placed by, so it is written when a new version is taken
over, and once more when the last request of the older one has ended; while nothing changes nothing is done. A
device reports its floor only when what it had accepted before is durable or refused (`settle`): until then
somebody else might read there, and a write of an older version might still come after.

Reading is done on the loop's thread and takes some microseconds; reports are written in the background.
"""

import asyncio
from collections.abc import Awaitable, Callable

from cluster.clock import wall_us
from cluster.coordination.errors import CoordinationError
from cluster.coordination.interface import Change, Coordination, Watch
from cluster.telemetry.log import get_logger
from storage.client import Rings
from storage.rings.background import BackgroundStore
from storage.rings.document import RingDocument
from storage.rings.errors import RingsError
from storage.rings.store import DOCUMENT_KEY, RingStore

LAG_S = 0.1  # between looks while requests of an older version are under way
RETRY_S = 0.5  # after something could not be read, taken over or reported
_log = get_logger("rings")


async def _nothing_to_settle() -> None:
    return


class RingFollower:
    """Follows the rings for one process.

    follower = RingFollower(coordination, "proxy-0", background)
    placement = Placement(..., follower.load(), ...)    # before anything is served
    follower.start(placement.update, placement.oldest_version_in_use)
    """

    def __init__(
        self,
        coordination: Coordination,
        process: str,
        background: BackgroundStore,
        wall: Callable[[], int] = wall_us,
    ) -> None:
        self._wall_us = wall
        self._store = RingStore(coordination)  # to read from
        self._coordination = coordination
        self._background = background
        self._process = process
        self._apply: Callable[[Rings], None] = lambda _rings: None
        self._oldest_in_use: Callable[[], int] = lambda: self._document_version()
        self._settle: Callable[[], Awaitable[None]] = _nothing_to_settle
        self._serves_device = False
        self._document: RingDocument | None = None
        self._rings: Rings | None = None
        self._floor = 0  # that is settled
        self._reported: tuple[int, int, int] | None = None
        self._watch: Watch | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._settling: asyncio.Task[None] | None = None
        self._reporting: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"RingFollower({self._process}, version={self._document_version()}, reported={self._reported})"

    @property
    def document(self) -> RingDocument:
        """The version that was taken over last."""
        assert self._document is not None, "load first"
        return self._document

    @property
    def rings(self) -> Rings:
        """Its rings."""
        assert self._rings is not None, "load first"
        return self._rings

    def load(self) -> Rings:
        """Read what is in force. Raise RingsError, CoordinationError."""
        document = self._store.document()
        self._rings = self._store.rings_of(document)
        self._document = document
        return self._rings

    def start(
        self,
        apply: Callable[[Rings], None],
        oldest_in_use: Callable[[], int],
        settle: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Take over, from now on, what is published, by `apply`; report what is in use.

        `settle`, of a device: waits until what was accepted so far is durable or has failed.
        """
        self._apply = apply
        self._oldest_in_use = oldest_in_use
        if settle is not None:
            self._settle, self._serves_device = settle, True
        self._watch = self._coordination.watch(DOCUMENT_KEY, self._on_change)
        self._begin_to_settle()
        self._take_over()

    def refresh(self) -> Rings:
        """Take over what is in force now: somebody knows a newer version. What cannot be read comes later."""
        self._take_over()
        return self.rings

    async def close(self, *, forget: bool = True) -> None:
        """Follow no more; with `forget`, nobody shall wait for this process."""
        if self._watch is not None:
            self._watch.cancel()
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._settling, self._reporting):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if forget:
            try:
                await self._background.run(lambda store: store.forget_use(self._process))
            except CoordinationError as error:
                _log.info("ring_use_not_forgotten", reason=str(error))

    def _document_version(self) -> int:
        return 0 if self._document is None else self._document.version

    def _on_change(self, _changes: "list[Change] | object") -> None:
        self._take_over()

    def _take_over(self) -> None:
        """Apply the document if it is newer. When this fails, the version before stays, and it is tried again."""
        try:
            found = self._store.read()
            if found is not None and found[1].version > self._document_version():
                document = found[1]
                rings = self._store.rings_of(document)
                self._apply(rings)
                self._document, self._rings = document, rings
                _log.info("rings_taken_over", version=document.version, stage=document.stage.value)
                self._begin_to_settle()
        except (RingsError, CoordinationError) as error:
            _log.warning("rings_not_taken_over", reason=str(error), retry_s=RETRY_S)
            self._again(RETRY_S)
            return
        self._report()

    # reporting

    def _begin_to_settle(self) -> None:
        """See to it that the floor may be reported."""
        if self._serves_device and self._settling is None and self._floor < self.document.floor:
            self._settling = asyncio.get_running_loop().create_task(self._settle_floor(self.document.floor))

    async def _settle_floor(self, floor: int) -> None:
        await self._settle()
        self._floor = floor
        self._settling = None
        self._begin_to_settle()  # there may be a newer one by now
        self._report()

    def _report(self) -> None:
        """Report if something has changed; look again while older requests are under way."""
        if self._reporting is None and self._use() != self._reported:
            self._reporting = asyncio.get_running_loop().create_task(self._report_all())
        if self._oldest_in_use() < self.document.version:
            self._again(LAG_S)

    async def _report_all(self) -> None:
        try:
            while (use := self._use()) != self._reported:
                await self._background.run(
                    lambda store, use=use: store.report_use(self._process, *use, now_us=self._wall_us())  # type: ignore[misc]
                )
                self._reported = use
        except CoordinationError as error:
            _log.warning("ring_use_not_reported", reason=str(error), retry_s=RETRY_S)
            self._again(RETRY_S)
        finally:
            self._reporting = None

    def _use(self) -> tuple[int, int, int]:
        """Return what is to be reported: oldest version in use, newest, floor."""
        newest = self.document.version
        return min(newest, self._oldest_in_use()), newest, self._floor

    def _again(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._take_over)
