"""tests.sim.volumes.disk_semantics: what no disk does is found, and what one may do is not."""

from collections.abc import Mapping, Sequence

from tests.sim.volumes.disk_semantics import violations
from tests.sim.volumes.history import UNKNOWN, ZEROS, Content, Disk, Flush, Read, Snapshot, Write

OFFSET, OTHER = 0, 512


def disk(
    writes: Sequence[Write], reads: Sequence[Read], flushes: Sequence[Flush] = (), snapshots: Sequence[Snapshot] = ()
) -> Disk:
    return Disk(
        "v",
        (OFFSET, OTHER),
        writes={OFFSET: list(writes)},
        reads={OFFSET: list(reads)},
        flushes=list(flushes),
        snapshots=list(snapshots),
    )


def wrote(at: float, content: Content, epoch: int = 1, answered: bool = True, durable: bool = False) -> Write:
    return Write(epoch, at, content, durable, at + 0.1 if answered else UNKNOWN)


def read(at: float, value: bytes, epoch: int = 1) -> Read:
    return Read(epoch, at, at + 0.1, value)


def wrong(
    found: Disk,
    losses: Sequence[float] = (),
    opened: Mapping[tuple[str, int], float] | None = None,
    power_cuts: Sequence[tuple[float, int]] = (),
) -> list[str]:
    return [violation.text for violation in violations([found], losses, opened or {}, power_cuts)]


def test_a_block_reads_as_zeros_until_it_is_written_and_as_that_from_then_on() -> None:
    assert not wrong(disk([wrote(1, b"a"), wrote(3, b"b")], [read(0, ZEROS), read(2, b"a"), read(4, b"b")]))


def test_a_read_during_a_write_may_see_it_or_not() -> None:
    slow = Write(1, 1.0, b"a", False, 9.0)
    assert not wrong(disk([slow], [read(2, ZEROS), read(3, b"a"), read(4, ZEROS)]))


def test_an_acknowledged_write_is_seen_by_who_has_the_volume() -> None:
    assert "comes after" in wrong(disk([wrote(1, b"a")], [read(2, ZEROS)]))[0]
    assert wrong(disk([wrote(1, b"a")], [read(3, ZEROS)]), losses=[2.0]), "a power cut is no excuse for him"


def test_when_all_replicas_lose_their_power_the_owner_goes_on_without_what_was_not_flushed_and_is_told() -> None:
    cuts = [(5.0, 0), (5.1, 1), (5.2, 2)]
    times = [at for at, _device in cuts]
    history = disk([wrote(1, b"a")], [read(6, ZEROS)])
    assert not wrong(history, times, power_cuts=cuts)
    assert wrong(history, times[:2], power_cuts=cuts[:2]), "one replica has it"
    assert wrong(history, times, power_cuts=[(at, 0) for at in times]), "the others have it"
    flushed = disk([wrote(1, b"a")], [read(6, ZEROS)], [Flush(1, 2.0, 2.1)])
    assert wrong(flushed, times, power_cuts=cuts)
    silent = disk([wrote(1, b"a")], [read(9, ZEROS)], [Flush(1, 7.0, 7.1)])
    assert wrong(silent, times, power_cuts=cuts), "a flush succeeds, and nobody was told"
    silent.losses_told.append(Flush(1, 6.0, 6.1))
    assert not wrong(silent, times, power_cuts=cuts)


def test_what_nobody_wrote_is_not_read() -> None:
    assert "nobody has written" in wrong(disk([wrote(1, b"a")], [read(2, b"b")]))[0]
    assert wrong(disk([wrote(2, b"a")], [read(1, b"a")])), "before it was written"
    assert wrong(disk([wrote(1, b"a", epoch=2)], [read(2, b"a", epoch=1)])), "by who had lost the volume before"


def test_an_acknowledged_write_survives_a_gateway_and_only_a_power_cut_loses_it() -> None:
    history = disk([wrote(1, b"a")], [read(3, ZEROS, epoch=2)])
    assert wrong(history)
    assert wrong(history, losses=[0.5]), "before the write"
    assert not wrong(history, losses=[2.0])


def test_a_flushed_write_survives_everything() -> None:
    history = disk([wrote(1, b"a")], [read(4, ZEROS, epoch=2)], [Flush(1, 2.0, 2.1)])
    assert wrong(history, losses=[3.0])
    early = disk([wrote(1, b"a")], [read(4, ZEROS, epoch=2)], [Flush(1, 1.05, 2.1)])
    assert not wrong(early, losses=[3.0]), "it was not answered yet when the flush began"
    durably = disk([wrote(1, b"a", durable=True)], [read(4, ZEROS, epoch=2)])
    assert wrong(durably, losses=[3.0])


def test_a_flush_of_a_later_owner_does_not_bring_back_what_was_lost_before() -> None:
    history = disk([wrote(1, b"a")], [read(5, ZEROS, epoch=2)], [Flush(2, 3.0, 3.1)])
    assert wrong(history)
    assert not wrong(history, losses=[2.0])
    assert wrong(history, losses=[4.0])


def test_a_write_without_an_answer_may_be_there_or_not_but_not_come_and_go() -> None:
    unknown = wrote(1, b"a", answered=False)
    assert not wrong(disk([unknown], [read(2, ZEROS, epoch=2), read(3, ZEROS, epoch=3)]))
    assert not wrong(disk([unknown], [read(2, b"a", epoch=2), read(3, b"a", epoch=3)]))
    assert wrong(disk([unknown], [read(2, b"a", epoch=2), read(3, ZEROS, epoch=2)]))
    assert wrong(disk([unknown], [read(2, b"a", epoch=2), read(3, ZEROS, epoch=3)]))
    assert "it was gone" in wrong(disk([unknown], [read(2, ZEROS, epoch=2), read(3, b"a", epoch=2)]))[0]
    assert wrong(disk([unknown], [read(2, ZEROS, epoch=2), read(3, b"a", epoch=3)]))


def test_a_power_cut_undoes_what_was_decided_unless_it_was_flushed() -> None:
    reads = [read(2, ZEROS, epoch=2), read(5, b"a", epoch=3)]
    unknown, opened = wrote(1, b"a", answered=False), {("v", 2): 1.5, ("v", 3): 4.5}
    assert not wrong(disk([unknown], reads), [4.0], opened)
    assert wrong(disk([unknown], reads, [Flush(2, 3.0, 3.1)]), [4.0], opened)


def test_the_writes_of_an_older_epoch_come_first_whenever_they_were_made() -> None:
    late = wrote(3, b"old", epoch=1, answered=False)
    assert not wrong(disk([wrote(2, b"new", epoch=2), late], [read(4, b"new", epoch=2)]))
    assert wrong(disk([wrote(2, b"new", epoch=2), late], [read(4, b"old", epoch=2)]))


def test_no_write_succeeds_that_was_asked_for_after_somebody_else_had_the_volume() -> None:
    history = disk([wrote(3, b"a", epoch=1)], [])
    assert "after epoch 2 had begun" in wrong(history, opened={("v", 1): 0.0, ("v", 2): 2.0})[0]
    assert not wrong(history, opened={("v", 1): 0.0, ("v", 2): 3.05})


def snapshot(reads: dict[int, list[bytes]], at: float = 5.0) -> Snapshot:
    return Snapshot("v", "s", at, 1, at + 0.1, reads)


def test_a_snapshot_is_always_the_same() -> None:
    writes = [wrote(1, b"a"), wrote(7, b"b")]
    assert not wrong(disk(writes, [], snapshots=[snapshot({OFFSET: [b"a", b"a"]})]))
    assert "changes" in wrong(disk(writes, [], snapshots=[snapshot({OFFSET: [b"a", b"b"]})]))[0]


def test_a_snapshot_has_what_was_acknowledged_before_and_nothing_that_came_later() -> None:
    writes = [wrote(1, b"a"), wrote(3, b"b"), wrote(7, b"c")]
    assert not wrong(disk(writes, [], snapshots=[snapshot({OFFSET: [b"b"]})]))
    assert wrong(disk(writes, [], snapshots=[snapshot({OFFSET: [b"a"]})]))
    assert wrong(disk(writes, [], snapshots=[snapshot({OFFSET: [b"c"]})]))


def test_a_snapshot_is_of_one_moment() -> None:
    slow = snapshot({OFFSET: [ZEROS], OTHER: [b"b"]}, at=0.5)
    slow.ended = 9.0
    found = disk([wrote(1, b"a")], [], snapshots=[slow])
    found.writes[OTHER] = [wrote(3, b"b")]
    assert "and not" in wrong(found)[0]
    slow.reads = {OFFSET: [b"a"], OTHER: [ZEROS]}
    assert not wrong(found)


def test_after_a_rollback_a_volume_is_what_the_snapshot_was() -> None:
    taken = snapshot({OFFSET: [b"a"]}, at=2.0)
    writes = [wrote(1, b"a"), wrote(3, b"b"), wrote(5, taken, durable=True)]
    assert not wrong(disk(writes, [read(6, b"a")], snapshots=[taken]))
    assert wrong(disk(writes, [read(6, b"b")], snapshots=[taken]))


def test_a_clone_begins_as_the_snapshot_was() -> None:
    origin = disk([wrote(1, b"a")], [], snapshots=[snapshot({OFFSET: [b"a"]}, at=2.0)])
    clone = Disk("c", (OFFSET,), origin.snapshots[0], reads={OFFSET: [read(3, b"a")]})
    assert not violations([origin, clone], [], {})
    clone.reads[OFFSET].append(read(4, ZEROS))
    assert violations([origin, clone], [], {})
