"""Volumes with one rule left out, to see that the simulator notices: each mutant replaces a function, or a line of one.

    python -m tests.sim.volumes --mutants [--seeds 200] [--mutant NAME]

This and tests.sim.mutants are the places where functions are replaced. It happens in a process that simulates one seed
and ends.
"""

import asyncio
import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from blockgw.catalog.store import Catalog
from blockgw.extents import CHUNK
from blockgw.volumes.chunk import Chunk
from blockgw.volumes.devices import DeviceReplica
from blockgw.volumes.opening import Opening
from blockgw.volumes.volume import OpenVolume
from storage.chunks.checkpointer import Checkpointer
from storage.chunks.chunk import Chunk as StoredChunk
from storage.chunks.pulls import Pulls
from storage.chunks.reads import Reads
from storage.chunks.replay import Replay
from storage.chunks.store import ChunkStore
from tests.sim.hunting import Mutant
from tests.sim.mutants import replace
from tests.sim.simulation import Verdict
from tests.sim.volumes.run import simulate


@dataclass(frozen=True, slots=True)
class Mutants:
    """All of them, in the order of this file."""

    known: dict[str, Mutant]

    def __call__(self, rule: str) -> Callable[[Callable[[], None]], None]:
        """Enter the decorated function, which leaves `rule` out, under its own name."""

        def enter(apply: Callable[[], None]) -> None:
            self.known[apply.__name__] = Mutant(apply.__name__, rule, apply)

        return enter


mutant = Mutants({})


def rewrite(owner: type, name: str, before: str, after: str) -> None:
    """Put other text in the place of some in a method: it must be there."""
    function = inspect.unwrap(getattr(owner, name))
    source = textwrap.dedent(inspect.getsource(function))
    assert before in source, f"{owner.__name__}.{name} has no {before!r} any more"
    found: dict[str, Any] = {}
    exec(compile(source.replace(before, after), f"<mutant of {name}>", "exec"), function.__globals__, found)
    setattr(owner, name, found[name])


def _done(result: Any = None) -> "asyncio.Future[Any]":
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future


# one writer


@mutant("devices are told to refuse older epochs before a volume is used")
def no_fence() -> None:
    replace(DeviceReplica, "fence", lambda _old, self, _layer, _epoch: _done(self.run))


@mutant("a fence outlasts the device's process")
def fence_in_memory() -> None:
    def fence(_old: Any, self: ChunkStore, family: bytes, layer: int, epoch: int) -> Any:
        self._refuse_fenced(family, layer, epoch)
        self.table.raise_fence(family, layer, epoch)
        return _done()

    replace(ChunkStore, "fence", fence)


@mutant("layers are changed by who has the volume, not by who believes so")
def lease_not_in_catalog() -> None:
    replace(Catalog, "owned", lambda _old, self, _epoch: self)


# what is there when a volume is opened


@mutant("a write is acknowledged when a quorum has it, not one replica")
def quorum_of_one() -> None:
    rewrite(Chunk, "_acknowledge", "self.members.reached(self.history[0].takers)", "self.history[0].takers")


@mutant("what is found on a quorum and not on all is written once more, before it counts")
def no_adoption() -> None:
    replace(OpenVolume, "adopt", lambda _old, _self, _chunk: None)


@mutant("replicas may differ from the moment on at which a volume is opened")
def settled_too_early() -> None:
    def begin(old: Any, self: OpenVolume, *arguments: Any, **named: Any) -> None:
        old(self, *arguments, **named)
        self.settled = True

    replace(OpenVolume, "__init__", begin)


@mutant("what is older than what was acknowledged is not taken for the content of a chunk")
def older_is_fine() -> None:
    rewrite(Opening, "_opened_once", "found.head < chunk.acknowledged", "False")


@mutant("a device that lacks something copies it before it counts again")
def stale_is_current() -> None:
    async def is_equal(_old: Any, *_arguments: Any) -> bool:
        return True

    replace(Opening, "_is_equal", is_equal)


@mutant("a device that is behind copies a chunk before it is written to again")
def no_pull_at_opening() -> None:
    async def brought(_old: Any, _self: Opening, _chunk: Chunk, _found: Any, lacking: Any) -> set[int]:
        return set(lacking)

    replace(Opening, "_brought", brought)
    _takes_anything()


# devices


def _takes_anything() -> None:
    """Have devices apply writes on top of any version that is older."""

    def may_take(old: Any, self: StoredChunk, version: Any, previous: Any) -> bool:
        return (not self.busy and version > self.head) or bool(old(self, version, previous))

    def admit(old: Any, self: ChunkStore, chunk: StoredChunk, version: Any, _previous: Any, *others: Any) -> Any:
        return old(self, chunk, version, chunk.head, *others)

    replace(StoredChunk, "may_take", may_take)
    replace(ChunkStore, "_admit", admit)


@mutant("a device applies a write on top of the version before it, and of no other")
def stale_previous_taken() -> None:
    _takes_anything()


@mutant("a device reads only what is at the version asked for, and gateways ask those that have it")
def reads_from_anyone() -> None:
    rewrite(Reads, "read", "if here != version and not", "if False and not")
    replace(Chunk, "readable", lambda _old, self, device: device in self.current)


@mutant("a write is answered when it outlasts the device's process")
def answered_when_admitted() -> None:
    def admit(old: Any, self: ChunkStore, *arguments: Any) -> None:
        old(self, *arguments)

    replace(ChunkStore, "_admit", admit)


@mutant("a chunk begins in a new layer as its base is at the version that was frozen")
def base_not_checked() -> None:
    rewrite(ChunkStore, "_begin", "source.head != version or ", "")


@mutant("a copy replaces nothing that is as new")
def copy_installs_older() -> None:
    rewrite(Pulls, "_install", "old.head > version or (old.head == version and not replace)", "False")


@mutant("a copy is at the version asked for, or newer")
def copies_older() -> None:
    rewrite(Pulls, "give", "chunk.applied < version", "False")


# what survives


@mutant("a flush is answered when devices have synced")
def flush_does_not_sync() -> None:
    replace(ChunkStore, "flush", lambda _old, _self: None)


@mutant("a write with FUA is answered when it is durable")
def fua_when_written() -> None:
    rewrite(ChunkStore, "_admit", "bool(flags & _FUA)", "False")


@mutant("a write that a flush is foreseen for goes out as one with FUA; others are flushed")
def foreseen_counts_as_flushed() -> None:
    rewrite(OpenVolume, "_change", "fua = self._foresight.write() or fua", "self._foresight.write()")
    rewrite(OpenVolume, "acknowledge", "not pending.write.fua", "not (pending.write.fua or self._foresight._followed)")


@mutant("what a device took and lost with its power does not count as flushed by it")
def flush_counts_any_run() -> None:
    def note_run(_old: Any, self: Chunk, device: int, _run: int) -> None:
        self.runs[device] = 0

    def found(old: Any, self: Chunk, version: Any, devices: dict[int, int]) -> Any:
        return old(self, version, dict.fromkeys(devices, 0))

    def flush(old: Any, self: DeviceReplica, layer: int) -> Any:
        flushed, outcome = old(self, layer), asyncio.get_running_loop().create_future()

        def answered(call: "asyncio.Future[int]") -> None:
            error = call.exception()
            if error is None:
                outcome.set_result(0)
            else:
                outcome.set_exception(error)
                outcome.exception()

        flushed.add_done_callback(answered)
        return outcome

    replace(Chunk, "note_run", note_run)
    replace(Chunk, "found", found)
    replace(DeviceReplica, "flush", flush)


@mutant("replay applies each record of the journal")
def replay_skips_records() -> None:
    rewrite(Replay, "_write", "record.extents, payload", "() if self.count % 4 == 3 else record.extents, payload")


@mutant("files are synced before they claim a version, and the journal goes")
def checkpoint_without_sync() -> None:
    rewrite(Checkpointer, "_sync", "self._disk.fdatasync(fd)", "pass")


# layers


@mutant("a snapshot is taken while no write is under way")
def no_quiet() -> None:
    async def quiet(_old: Any, _self: OpenVolume) -> None:
        return

    replace(OpenVolume, "_quiet", quiet)


@mutant("a chunk that is not written again is read from the layer before")
def older_layers_forgotten() -> None:
    rewrite(Chunk, "freeze", "if self.version != NOTHING:", "if False:")


@mutant("after a rollback nothing is known of chunks that was known before")
def rollback_keeps_chunks() -> None:
    rewrite(OpenVolume, "_go_on_in", "chain[1:] != before", "False")


@mutant("what is cut off is zeros when it comes back")
def nothing_cut_off() -> None:
    def zero(old: Any, self: OpenVolume, offset: int, length: int, *others: Any, **named: Any) -> Any:
        return _done() if length >= CHUNK else old(self, offset, length, *others, **named)

    replace(OpenVolume, "zero", zero)


# hunting them


def mutated(name: str) -> Callable[[int], Verdict]:
    """Return what simulates a seed with a rule left out. It is for a process that ends thereafter."""
    one = mutant.known[name]

    def work(seed: int) -> Verdict:
        one.apply()
        return simulate(seed)

    return work


def chosen(names: Sequence[str]) -> list[Mutant]:
    """Return the mutants of these names; none: all."""
    return [one for one in mutant.known.values() if not names or one.name in names]
