"""Holdfast with one rule left out, to see that the simulator notices: each mutant replaces a function or two.

    python -m tests.sim.mutants [--seeds 500] [--only NAME]

This is the one place where functions are replaced. It happens in a process that simulates one seed and ends.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from cluster.clock import Timestamp
from cluster.wire import PeerUnavailable, RemoteError, Reply
from proxy.objects import register, rounds
from proxy.objects.changes import Put, Restamp, Tombstone
from proxy.objects.databases import Databases
from proxy.objects.decision import Fate, Tries
from proxy.objects.directory import Directory
from proxy.objects.register import Register
from storage.blobs import commits, reader, record
from storage.blobs.commits import Commits
from storage.blobs.files import FileStore
from storage.blobs.index import BlobIndex
from storage.blobs.replaced import Replaced
from storage.client import Placement, Replicas
from storage.housekeeping.join import Join
from storage.housekeeping.replicate import Replicate
from storage.housekeeping.retire import Retire
from storage.housekeeping.rows import AddRows
from storage.indexes.freezes import Freezes
from storage.log import record as log_records
from storage.log.interface import Position, Record, RecordDamaged
from storage.log.reader import RecordReader
from storage.log.walk import Walk
from storage.log.writer import SegmentWriter
from storage.membership.votes import Votes
from storage.messages import IndexMove, Refusal
from storage.quorum import Joint, Majority, Settled, WriteTally, timestamp_of
from storage.service import DeviceService
from tests.sim.hunting import Mutant, hunt_all
from tests.sim.run import simulate
from tests.sim.runner import with_fixed_hashes
from tests.sim.shape import changes_rings, contends, loses_data, rots
from tests.sim.simulation import Verdict

SEEDS = 500


MUTANTS: list[Mutant] = []


def mutant(rule: str, seeds: Callable[[int], bool] = lambda _seed: True) -> Callable[[Callable[[], None]], None]:
    """Enter the decorated function, which leaves `rule` out, under its own name."""

    def enter(apply: Callable[[], None]) -> None:
        MUTANTS.append(Mutant(apply.__name__, rule, apply, seeds))

    return enter


def replace(owner: Any, name: str, new: Callable[..., Any]) -> None:
    """Put `new` in place of a function; it gets the old one first."""
    old = getattr(owner, name)

    def replaced(*arguments: Any, **named: Any) -> Any:
        return new(old, *arguments, **named)

    setattr(owner, name, replaced)


def _remove(index: BlobIndex, versions: Sequence[tuple[bytes, Timestamp]]) -> None:
    """Take versions out of an index, as if they had never been there."""
    index.merge()
    index._tables.remove(versions, index._shift)


# reads and writes of objects


@mutant("a reader brings the newest version to a quorum before it answers")
def no_write_back() -> None:
    async def write_back(_old: Any, _self: Any, _replicas: Any, _key: bytes, found: Any) -> Settled:
        return Settled(found.version, found.holders)

    replace(Register, "_write_back", write_back)


@mutant("a write is acknowledged when a quorum has it, not one replica")
def write_quorum_of_one() -> None:
    replace(Majority, "tally", lambda _old, self: WriteTally(1, len(self.members)))


@mutant("a read asks a quorum, not one replica")
def read_quorum_of_one() -> None:
    def judge(_old: Any, answers: dict[int, Any], _quorum: Any) -> Settled | None:
        if not answers:
            return None
        newest = max(answers.values(), key=timestamp_of)
        return Settled(newest, tuple(one for one, version in answers.items() if version is newest))

    replace(rounds, "judge", judge)


@mutant("a replica keeps the newest version, not the one that came last")
def last_arrival_wins() -> None:
    def admit(_old: Any, self: Commits, key: bytes, timestamp: Timestamp) -> Any:
        return None if self._index.timestamp(key) != timestamp else commits._done()

    def add(old: Any, self: BlobIndex, item: Any) -> None:
        key, timestamp = record.decode_identity(item.metadata)[3:5]
        here = self.timestamp(key)
        if here is not None and here > timestamp:
            _remove(self, [(key, here)])
        old(self, item)

    replace(Commits, "admit_copy", admit)
    replace(BlobIndex, "_add", add)


@mutant("a write that something newer was in the way of is written again above it")
def superseded_is_success() -> None:
    def failed(old: Any, self: rounds.WriteRound, device_id: int, error: BaseException) -> None:
        if isinstance(error, RemoteError) and error.code == Refusal.SUPERSEDED:
            self.replies[device_id] = None
            self._tally.durable(device_id)
        else:
            old(self, device_id, error)

    replace(rounds.WriteRound, "_failed", failed)


@mutant("a tombstone stays until no replica can bring back what it deletes")
def tombstone_dropped_early() -> None:
    def apply(old: Any, self: Commits, batch: Sequence[Any]) -> None:
        old(self, batch)
        dead = [item.metadata for item in batch if item.metadata[0] == record.Type.TOMBSTONE]
        _remove(self._index, [record.decode_identity(metadata)[3:5] for metadata in dead])

    replace(Commits, "_apply", apply)


# conditional writes


@mutant("a conditional write is decided among the replicas: no check first, and write then")
def check_then_write() -> None:
    async def decide(old: Any, self: Register, key: bytes, change: Any, condition: Any, *tried: Any) -> Any:
        if condition is None or type(change) not in (Put, Tombstone):
            return await old(self, key, change, condition, *tried)
        condition(await self.head(key))
        return await self._write(key, change, None)

    replace(Register, "_decide", decide)


@mutant("what was promised outlasts a crash")
def promises_in_memory() -> None:
    def promise(_old: Any, self: Commits, key: bytes, timestamp: Timestamp) -> Any:
        if self._admit(key, timestamp) is not None:
            raise RemoteError(Refusal.SUPERSEDED, timestamp)
        if self._promised(key) == timestamp:
            raise RemoteError(Refusal.PROMISED, timestamp)
        self._index._promise([(key, timestamp)])
        return commits._done()

    replace(Commits, "promise", promise)


@mutant("a replica takes nothing below what it has promised", contends)
def promises_not_kept() -> None:
    replace(Commits, "_keep_promise", lambda _old, _self, _key, _timestamp: None)


@mutant("a write whose first try is in doubt finds out what became of it before the second", contends)
def forgets_its_tries() -> None:
    replace(register, "fate", lambda _old, _newest, _tries, _conditional: Fate.NOTHING)


@mutant("who has tried before refuses upon what is past his tries, not upon what he reads", contends)
def refused_upon_a_read() -> None:
    async def agrees(
        old: Any, self: Register, key: bytes, condition: Any, base: Any, replicas: Any, timestamp: Any, _tries: Any
    ) -> bool:
        return bool(await old(self, key, condition, base, replicas, timestamp, Tries()))

    replace(Register, "_agrees", agrees)


@mutant("a replica remembers a write that was here and has been replaced: it is not new", contends)
def replaced_forgotten() -> None:
    replace(Replaced, "has", lambda _old, _self, _key, _timestamp: False)


@mutant("a replica that was to fetch a version, and found something newer here, has not taken it", contends)
def newer_is_a_vote() -> None:
    async def fetched(_old: Any, self: DeviceService, message: Any) -> Reply:
        try:
            await self.fetch(message.key, message.timestamp, message.source)
        except PeerUnavailable as error:
            raise RemoteError(Refusal.BUSY, str(error)) from error
        return Reply()

    replace(DeviceService, "_fetched", fetched)


@mutant("a write that something newer has replaced counts when a quorum has what replaced it", contends)
def overwritten_is_enough() -> None:
    overwritten: list[Any] = [None]  # the version that was found to be written over an earlier try

    def noted(old: Any, newest: Any, tries: Any, conditional: bool) -> Fate:
        found: Fate = old(newest, tries, conditional)
        overwritten[0] = newest if found is Fate.OVERWRITTEN else None
        return found

    async def send(old: Any, self: Restamp, replicas: Any, timestamp: Timestamp, base: Any) -> dict[int, Any]:
        if base is not None and base.version is not None and base.version is overwritten[0]:
            return {}
        replies: dict[int, Any] = await old(self, replicas, timestamp, base)
        return replies

    replace(register, "fate", noted)
    replace(Restamp, "send", send)


# durability


@mutant("a record is on the device when its appender is told so")
def ack_before_sync() -> None:
    def sync(_old: Any, self: SegmentWriter) -> Position:
        self._synced = self._offset
        return self._end

    replace(SegmentWriter, "sync", sync)


@mutant("a file is on the device, with its name, before a record names it")
def file_not_synced() -> None:
    def publish(_old: Any, self: FileStore, file: Any, data_id: bytes, size: int, identity: Any, named: bool) -> None:
        path = self.path(data_id)
        self._identify(file.fd, size, identity)
        if not named:
            self._disk.make_directories(os.path.dirname(path))
            self._disk.name(file, path)

    replace(FileStore, "publish", publish)


@mutant("what follows a gap in the log does not come back")
def log_resurrects() -> None:
    def proves(_old: Any, self: Walk, candidate: int, _damaged: int) -> bool:
        return not isinstance(self._head_at(candidate), str)

    replace(Walk, "_proves", proves)
    replace(Walk, "_fits", lambda _old, _self, _header, _offset, _unknown: True)


@mutant("bytes that do not match their checksums are not served", rots)
def checksums_not_verified() -> None:
    def parse(_old: Any, self: RecordReader, position: Position, buffer: bytearray) -> Record:
        view = memoryview(buffer)
        header = log_records.decode_header(view)
        if header is None:
            raise RecordDamaged(position, "no header")
        payload_at = log_records.HEADER_SIZE + header.metadata_length
        return Record(
            position,
            Position(position + log_records.size_of(header.metadata_length, header.payload_length)),
            header.kind,
            header.flags,
            header.sequence,
            bytes(view[log_records.HEADER_SIZE : payload_at]),
            view[payload_at : payload_at + header.payload_length],
            header.payload_length,
        )

    replace(RecordReader, "_parse", parse)
    replace(reader, "first_mismatch", lambda _old, _data, _first, _checksums: None)


@mutant("a device that has lost its data does not vote", loses_data)
def rebuilding_votes() -> None:
    replace(Votes, "check", lambda _old, _self, _request: None)


# listings


@mutant("the row of an object is on a quorum before its PUT is acknowledged")
def rows_behind_the_answer() -> None:
    background: set[asyncio.Future[Any]] = set()

    async def add_row(old: Any, self: Directory, *arguments: Any) -> None:
        task = asyncio.ensure_future(old(self, *arguments))
        background.add(task)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    replace(Directory, "add_row", add_row)


@mutant("a listing is what a quorum agrees on, not one replica's")
def listing_from_one_replica() -> None:
    async def merge(
        _old: Any, _self: Any, database: Any, replicas: Any, message: Any, decode: Any, full_id: int, _others: Any
    ) -> Any:
        reply = await replicas.peer(full_id).call(*message(None), b"", 5.0, replicas.version)
        return None if reply.metadata is None else decode(reply.metadata)

    replace(Databases, "_merge", merge)


@mutant("a container is frozen, and found empty, before it is deleted")
def delete_without_freeze() -> None:
    async def thaw(_old: Any, _self: Freezes, _state: Any, _token: bytes) -> None:
        return

    replace(Freezes, "_thaw_unless_empty", thaw)


@mutant("a deletion of a container counts when a quorum has accepted it, not when one replica has")
def deletion_without_a_vote() -> None:
    async def at_once(old: Any, self: Freezes, message: IndexMove) -> None:
        if message.token is not None and not message.pointers:
            message = message._replace(token=None, deleted=True)
        await old(self, message)

    replace(Freezes, "move", at_once)


@mutant("the row of an object whose proxy died is added by its devices")
def rows_not_added() -> None:
    async def step(_old: Any, _self: AddRows) -> float:
        return 3600.0

    replace(AddRows, "step", step)


# convergence, and changes of the rings


@mutant("replicas are compared, and what one has missed is copied")
def no_replication() -> None:
    async def step(_old: Any, _self: Replicate) -> float:
        return 3600.0

    replace(Replicate, "step", step)


@mutant("while partitions move, a write needs a quorum of the old and of the new places", changes_rings)
def old_quorum_alone() -> None:
    def replicas_on(old: Any, self: Placement, write_sets: Any, read_sets: Any) -> Replicas:
        replicas: Replicas = old(self, write_sets, read_sets)
        replicas.writers = Joint((Majority.of(write_sets[0]),))
        return replicas

    replace(Placement, "_replicas_on", replicas_on)


@mutant("what is placed by rings that are too old is refused", changes_rings)
def stale_rings_accepted() -> None:
    def handle(old: Any, self: DeviceService, request: Any) -> Any:
        if request.tag < self._placement.rings.floor:
            request.tag = self._placement.rings.version
        return old(self, request)

    replace(DeviceService, "handle", handle)


@mutant("a device that comes new to a partition is read from when it has copied it", changes_rings)
def joiner_copies_nothing() -> None:
    async def copy_some(_old: Any, _self: Join, work: Any) -> None:
        work.backlog.take(lambda *_arguments: 10_000)
        work.backlog.settle({})

    replace(Join, "_copy_some", copy_some)


@mutant("a device keeps what has moved away until all its primaries have it", changes_rings)
def retires_at_once() -> None:
    async def bring(_old: Any, _self: Retire, *_arguments: Any) -> None:
        return

    replace(Retire, "_bring", bring)
    replace(Retire, "_hand_over", bring)


@mutant("a device that stands in for others, or has lost a partition, hands it back", changes_rings)
def no_hand_back() -> None:
    async def step(_old: Any, _self: Retire) -> float:
        return 3600.0

    replace(Retire, "step", step)


def mutated(name: str) -> Callable[[int], Verdict]:
    """Return what simulates a seed with a rule left out. It is for a process that ends thereafter."""
    one = next(found for found in MUTANTS if found.name == name)

    def work(seed: int) -> Verdict:
        one.apply()
        return simulate(seed)

    return work


def main() -> int:
    """Hunt all mutants; return 1 when one gets away."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.mutants")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    chosen = [one for one in MUTANTS if not arguments.only or one.name in arguments.only]
    return hunt_all(chosen, mutated, arguments.seeds, arguments.jobs)


if __name__ == "__main__":
    with_fixed_hashes("tests.sim.mutants", sys.argv[1:])
    sys.exit(main())
