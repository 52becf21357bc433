"""Backups taken, interrupted, verified, restored and deleted, on a target in memory."""

import os
import random
from contextlib import suppress

import pytest

from blockgw.backup import lock, manifest, restoring, sending, taking
from blockgw.backup.deleting import delete
from blockgw.backup.errors import BackupError, Busy, Damaged, NoSuchBackup, TargetFailed, WrongKey
from blockgw.backup.key import Secret
from blockgw.backup.manifest import Kind
from blockgw.backup.repository import Repository, find, repositories
from blockgw.backup.restoring import damaged, missing, restore
from blockgw.backup.taking import Outcome, Taking, Wishes
from tests.unit.blockgw.backup.places import PIECE, VOLUME_ID, MemorySink, MemoryTarget, MemoryVolume

SIZE = 10 * PIECE + 512
SECRET = Secret.file(bytes(32))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, and pieces of 4 KiB."""
    monkeypatch.setattr(lock, "SETTLE_S", 0.0)
    for module in (manifest, restoring, sending, taking):
        monkeypatch.setattr(module, "PIECE", PIECE)


@pytest.fixture
def target() -> MemoryTarget:
    return MemoryTarget()


@pytest.fixture
def volume() -> MemoryVolume:
    made = MemoryVolume(SIZE)
    for position in (0, 3, 4, 10):
        made.write(position * PIECE, os.urandom(512))
    return made


def back_up(
    volume: MemoryVolume, target: MemoryTarget, secret: Secret | None = None, full: bool = False
) -> Outcome:
    return Taking(volume, Repository(target, VOLUME_ID, secret), Wishes(full, 2)).run()


def restored(target: MemoryTarget, backup_id: str, secret: Secret | None = None) -> bytes:
    repository = Repository(target, VOLUME_ID, secret)
    opened = repository.read(backup_id)
    sink = MemorySink(opened.manifest.origin.size)
    restore(repository, opened, sink)
    assert sink.flushed
    return bytes(sink.data)


@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "sealed"])
def test_a_restore_is_the_volume_as_it_was(volume: MemoryVolume, target: MemoryTarget, secret: Secret | None) -> None:
    was = bytes(volume.data)
    taken = back_up(volume, target, secret)
    volume.write(0, b"later")
    assert restored(target, taken.manifest.id, secret) == was
    assert "lock" not in "".join(target.objects), "the lock is given back"


def test_holes_are_neither_read_nor_sent(volume: MemoryVolume, target: MemoryTarget) -> None:
    taken = back_up(volume, target)
    assert sorted(volume.reads) == [position * PIECE for position in (0, 3, 4, 10)]
    assert taken.manifest.counts.read == 3 * PIECE + 512
    assert len(target.names("pieces")) == 4


def test_an_incremental_backup_reads_and_sends_what_has_changed(volume: MemoryVolume, target: MemoryTarget) -> None:
    first = back_up(volume, target)
    volume.reads.clear()
    volume.write(7 * PIECE, os.urandom(2000))
    volume.write(3 * PIECE, bytes(512))  # zeros again
    was = bytes(volume.data)
    second = back_up(volume, target)
    assert sorted(volume.reads) == [3 * PIECE, 7 * PIECE]
    assert second.manifest.parent == first.manifest.id
    counts = second.manifest.counts
    assert (counts.read, counts.zeros, counts.deduplicated) == (2 * PIECE, PIECE, 0)
    assert 2000 < counts.sent < 4000
    assert restored(target, second.manifest.id) == was


def test_the_snapshot_of_the_last_backup_is_kept_and_no_other(volume: MemoryVolume, target: MemoryTarget) -> None:
    volume.take("mine")
    for _ in range(3):
        last = back_up(volume, target)
    elsewhere = back_up(volume, MemoryTarget("elsewhere"))
    kept = {snapshot.name for snapshot in volume.snapshots()}
    assert kept == {"mine", last.manifest.origin.snapshot_name, elsewhere.manifest.origin.snapshot_name}


def test_a_snapshot_that_cannot_be_given_up_is_a_remark(
    volume: MemoryVolume, target: MemoryTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: MemoryVolume, name: str) -> None:
        raise BackupError(f"{name} has clones")

    back_up(volume, target)
    monkeypatch.setattr(MemoryVolume, "give_up", refuse)
    second = back_up(volume, target)
    assert "has clones" in second.remarks[0]
    assert restored(target, second.manifest.id) == bytes(volume.data)


def test_contents_that_are_there_already_are_not_sent(volume: MemoryVolume, target: MemoryTarget) -> None:
    volume.write(6 * PIECE, volume.data[3 * PIECE : 4 * PIECE])  # twice in one backup
    first = back_up(volume, target)
    assert (len(target.names("pieces")), first.manifest.counts.deduplicated) == (4, PIECE)
    volume.write(8 * PIECE, volume.data[0:PIECE])  # in an earlier one
    second = back_up(volume, target)
    assert (second.manifest.counts.read, second.manifest.counts.deduplicated) == (PIECE, PIECE)
    third = back_up(volume, target, full=True)
    assert third.manifest.parent is None
    assert third.manifest.counts.deduplicated == third.manifest.counts.read == 5 * PIECE + 512
    assert restored(target, third.manifest.id) == bytes(volume.data)


@pytest.mark.parametrize("size", [SIZE + 512, 14 * PIECE, SIZE - 512, 4 * PIECE + 1024])
def test_a_volume_that_was_resized_between_backups_comes_back(
    volume: MemoryVolume, target: MemoryTarget, size: int
) -> None:
    back_up(volume, target)
    volume.data = volume.data[:size].ljust(size, b"\0")
    second = back_up(volume, target)
    assert second.manifest.parent is not None
    assert restored(target, second.manifest.id) == bytes(volume.data)


@pytest.mark.parametrize("lost", ["snapshot", "manifest"])
def test_without_what_the_last_backup_left_everything_is_read(
    volume: MemoryVolume, target: MemoryTarget, lost: str
) -> None:
    first = back_up(volume, target)
    if lost == "snapshot":
        volume.give_up(first.manifest.origin.snapshot_name)
    else:
        delete(Repository(target, VOLUME_ID), first.manifest.id)
    second = back_up(volume, target)
    assert second.manifest.parent is None
    assert second.manifest.counts.read == 3 * PIECE + 512
    assert restored(target, second.manifest.id) == bytes(volume.data)


def test_pieces_that_went_away_are_sent_again_by_the_next_backup(volume: MemoryVolume, target: MemoryTarget) -> None:
    back_up(volume, target)
    gone, short = target.names("pieces")[:2]
    del target.objects[gone]
    target.objects[short] = target.objects[short][:-1]
    second = back_up(volume, target)
    assert second.manifest.parent is not None
    assert gone in second.remarks[0] or short in second.remarks[0]
    assert restored(target, second.manifest.id) == bytes(volume.data)


# interruptions


def test_an_interrupted_backup_goes_on_and_sends_nothing_twice(
    volume: MemoryVolume, target: MemoryTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "JOURNAL_S", 0.0)
    was = bytes(volume.data)
    target.fails = lambda call, name: call == "put" and "/pieces/" in name and len(target.names("pieces")) >= 2
    with pytest.raises(TargetFailed):
        back_up(volume, target)
    assert not target.names("backups"), "a backup without a manifest does not exist"
    sent = set(target.names("pieces"))
    assert sent
    volume.write(0, b"after the snapshot was taken")
    volume.reads.clear()
    target.log.clear()
    target.fails = lambda _call, _name: False
    done = back_up(volume, target)
    assert done.resumed
    assert len(volume.snapshots()) == 1
    assert len(volume.reads) < 4, "what was noted is not read again"
    assert not sent & {name for call, name in target.log if call == "put"}
    assert restored(target, done.manifest.id) == was
    assert not target.names("partial")


def test_a_backup_that_fails_at_any_request_is_taken_by_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request fails in turn, as a process that is killed there would not make it or any after it."""
    monkeypatch.setattr(taking, "JOURNAL_S", 0.0)
    chance = random.Random(7)
    for broken in range(200):
        volume, target = MemoryVolume(4 * PIECE), MemoryTarget()
        volume.write(0, chance.randbytes(600))
        volume.write(2 * PIECE, chance.randbytes(600))
        first = back_up(volume, target)
        volume.write(3 * PIECE, chance.randbytes(600))
        was_first, was = restored(target, first.manifest.id), bytes(volume.data)
        target.log.clear()
        target.fails = lambda _call, _name, target=target, broken=broken: len(target.log) > broken  # type: ignore[misc]
        with suppress(TargetFailed):
            back_up(volume, target)
        was_through = len(target.log) <= broken
        target.fails = lambda _call, _name: False
        target.objects.pop(f"{VOLUME_ID}/lock", None)  # its holder is dead
        second = back_up(volume, target)
        assert restored(target, second.manifest.id) == was
        assert restored(target, first.manifest.id) == was_first
        assert [each.name for each in volume.snapshots()] == [second.manifest.origin.snapshot_name]
        assert not target.names("partial")
        if was_through:
            assert broken > 10
            return
    raise AssertionError("it never came to its end")


def test_a_full_backup_does_not_go_on_with_an_incremental_one(volume: MemoryVolume, target: MemoryTarget) -> None:
    back_up(volume, target)
    volume.write(PIECE, os.urandom(512))
    target.fails = lambda call, name: call == "put" and "/pieces/" in name
    with pytest.raises(TargetFailed):
        back_up(volume, target)
    target.fails = lambda _call, _name: False
    done = back_up(volume, target, full=True)
    assert (done.resumed, done.manifest.parent) == (False, None)
    assert done.manifest.counts.read == 4 * PIECE + 512
    assert (len(volume.snapshots()), target.names("partial")) == (1, [])


def test_notes_of_a_snapshot_that_is_gone_are_of_no_use(volume: MemoryVolume, target: MemoryTarget) -> None:
    target.fails = lambda call, name: call == "put" and "/pieces/" in name
    with pytest.raises(TargetFailed):
        back_up(volume, target)
    target.fails = lambda _call, _name: False
    for snapshot in volume.snapshots():
        volume.give_up(snapshot.name)
    done = back_up(volume, target)
    assert not done.resumed
    assert restored(target, done.manifest.id) == bytes(volume.data)


# damage


def test_pieces_that_a_listing_still_shows_after_their_deletion_are_sent_again(
    volume: MemoryVolume, target: MemoryTarget
) -> None:
    """As listings of Swift may, for a while."""
    first = back_up(volume, target)
    sizes = {name: len(target.objects[name]) for name in target.names("pieces")}
    delete(Repository(target, VOLUME_ID), first.manifest.id)
    target.gone = sizes
    second = back_up(volume, target)
    assert second.manifest.counts.deduplicated == 0
    assert restored(target, second.manifest.id) == bytes(volume.data)


@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "sealed"])
@pytest.mark.parametrize("harm", ["changed", "cut", "gone", "another's"])
def test_a_damaged_piece_is_named_and_not_restored(
    volume: MemoryVolume, target: MemoryTarget, secret: Secret | None, harm: str
) -> None:
    taken = back_up(volume, target, secret)
    name, other = target.names("pieces")[:2]
    data = target.objects[name]
    if harm == "gone":
        del target.objects[name]
    else:
        harmed = {"changed": data[:-30] + b"?" + data[-29:], "cut": data[:-1], "another's": target.objects[other]}
        target.objects[name] = harmed[harm]
    repository = Repository(target, VOLUME_ID, secret)
    opened = repository.read(taken.manifest.id)
    sink = MemorySink(SIZE)
    with pytest.raises(Damaged) as raised:
        restore(repository, opened, sink)
    assert raised.value.name == name
    was = bytes(volume.data)
    assert all(sink.data[at : at + PIECE] == was[at : at + PIECE] for at in sink.writes), "what was written is right"
    assert not sink.flushed
    assert [each.name for each in damaged(repository, [opened])] == [name]
    if harm in ("cut", "gone"):
        assert [each.name for each in missing(repository, opened.manifest, repository.known())] == [name]


def test_a_damaged_manifest_is_named_and_the_next_backup_reads_all(volume: MemoryVolume, target: MemoryTarget) -> None:
    taken = back_up(volume, target)
    name = f"{VOLUME_ID}/backups/{taken.manifest.id}"
    target.objects[name] = target.objects[name][:-7] + b"damaged"
    with pytest.raises(Damaged, match=name):
        restored(target, taken.manifest.id)
    again = back_up(volume, target)
    assert name in again.remarks[0]
    assert again.manifest.parent is None
    assert restored(target, again.manifest.id) == bytes(volume.data)


def test_a_whole_backup_has_no_damage(volume: MemoryVolume, target: MemoryTarget) -> None:
    taken = back_up(volume, target)
    repository = Repository(target, VOLUME_ID)
    opened = repository.read(taken.manifest.id)
    assert list(damaged(repository, [opened])) == []
    target.unlisted = set(target.names("pieces")[:1])
    assert list(missing(repository, opened.manifest, repository.known())) == [], "a listing may lag behind"


# restoring what was begun


def test_a_restore_that_goes_on_fetches_only_what_is_not_there(volume: MemoryVolume, target: MemoryTarget) -> None:
    taken = back_up(volume, target)
    repository = Repository(target, VOLUME_ID)
    opened = repository.read(taken.manifest.id)
    sink = MemorySink(SIZE)
    sink.data[3 * PIECE : 5 * PIECE] = volume.data[3 * PIECE : 5 * PIECE]
    sink.data[0:10] = sink.data[9 * PIECE : 9 * PIECE + 10] = b"other data"
    done = restore(repository, opened, sink, begun=True)
    assert sink.data == volume.data
    assert (done.written, done.kept) == (PIECE + 512, 2 * PIECE)


# keys


def test_backups_are_all_sealed_by_one_key_or_none(volume: MemoryVolume, target: MemoryTarget) -> None:
    first = back_up(volume, target, SECRET)
    assert all(b"disk" not in data for data in target.objects.values())
    second = back_up(volume, target, SECRET, full=True)
    assert second.manifest.counts.deduplicated == first.manifest.counts.read
    for wrong in (None, Secret.file(bytes(31) + b"1")):
        with pytest.raises(WrongKey):
            back_up(volume, target, wrong)
        with pytest.raises(WrongKey):
            restored(target, first.manifest.id, wrong)
    assert len(volume.snapshots()) == 1, "nothing was begun"


def test_a_backup_can_be_read_without_the_object_that_has_the_key(volume: MemoryVolume, target: MemoryTarget) -> None:
    """Each manifest has the key document, too."""
    taken = back_up(volume, target, SECRET)
    del target.objects[f"{VOLUME_ID}/about"]
    assert restored(target, taken.manifest.id, SECRET) == bytes(volume.data)
    again = back_up(volume, target, SECRET)
    assert restored(target, again.manifest.id, SECRET) == bytes(volume.data)


# deleting


def test_what_no_other_backup_has_is_deleted(volume: MemoryVolume, target: MemoryTarget) -> None:
    first = back_up(volume, target)
    volume.write(0, os.urandom(512))
    second = back_up(volume, target)
    assert len(target.names("pieces")) == 5
    repository = Repository(target, VOLUME_ID)
    assert delete(repository, first.manifest.id).pieces == 1
    assert restored(target, second.manifest.id) == bytes(volume.data)
    with pytest.raises(NoSuchBackup):
        delete(repository, first.manifest.id)
    delete(repository, second.manifest.id)
    assert not target.objects


def test_the_pieces_of_a_backup_that_is_not_listed_yet_are_kept(volume: MemoryVolume, target: MemoryTarget) -> None:
    first = back_up(volume, target)
    second = back_up(volume, target)
    target.unlisted = {f"{VOLUME_ID}/backups/{second.manifest.id}"}
    delete(Repository(target, VOLUME_ID), first.manifest.id)
    assert restored(target, second.manifest.id) == bytes(volume.data)


def test_nothing_is_deleted_while_a_manifest_cannot_be_read(volume: MemoryVolume, target: MemoryTarget) -> None:
    first = back_up(volume, target)
    volume.write(0, os.urandom(512))
    second = back_up(volume, target)
    name = f"{VOLUME_ID}/backups/{second.manifest.id}"
    target.objects[name] = whole = target.objects[name]
    target.objects[name] = b"damaged"
    with pytest.raises(Damaged, match="no pieces were deleted"):
        delete(Repository(target, VOLUME_ID), first.manifest.id)
    assert len(target.names("pieces")) == 5
    target.objects[name] = whole
    assert restored(target, second.manifest.id) == bytes(volume.data)


def test_what_an_unfinished_backup_has_sent_and_noted_is_kept(volume: MemoryVolume, target: MemoryTarget) -> None:
    first = back_up(volume, target)
    for position in (1, 2, 5, 6, 7, 8):
        volume.write(position * PIECE, os.urandom(512))
    was = bytes(volume.data)
    target.fails = lambda call, name: call == "put" and "/pieces/" in name and len(target.names("pieces")) >= 7
    with pytest.raises(TargetFailed):
        back_up(volume, target)
    target.fails = lambda _call, _name: False
    delete(Repository(target, VOLUME_ID), first.manifest.id)
    noted = Repository(target, VOLUME_ID)
    (unfinished,) = noted.backups(Kind.UNDER_WAY)
    for stored in noted.read(unfinished, Kind.UNDER_WAY).manifest.pieces.values():
        assert noted.is_there(stored)
    assert restored(target, back_up(volume, target).manifest.id) == was


def test_backups_and_deletions_take_turns(
    volume: MemoryVolume, target: MemoryTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = back_up(volume, target)
    monkeypatch.setattr(lock, "RENEW_S", 0.01)
    monkeypatch.setattr(lock, "LOOK_S", 0.05)
    refused = []

    def disturb(_offset: int) -> None:
        for work in (lambda: delete(Repository(target, VOLUME_ID), first.manifest.id), lambda: back_up(volume, target)):
            with pytest.raises(Busy, match="a backup"):
                work()
            refused.append(work)

    volume.on_read = disturb
    volume.write(0, os.urandom(512))
    second = back_up(volume, target)
    assert len(refused) == 2
    assert restored(target, first.manifest.id) != restored(target, second.manifest.id) == bytes(volume.data)


def test_a_deletion_that_fails_at_any_request_harms_no_other_backup() -> None:
    for broken in range(100):
        volume, target = MemoryVolume(4 * PIECE), MemoryTarget()
        volume.write(0, os.urandom(600))
        first = back_up(volume, target)
        volume.write(0, os.urandom(600))
        second = back_up(volume, target)
        target.log.clear()
        target.fails = lambda _call, _name, target=target, broken=broken: len(target.log) > broken  # type: ignore[misc]
        with suppress(TargetFailed):
            delete(Repository(target, VOLUME_ID), first.manifest.id)
        was_through = len(target.log) <= broken
        target.fails = lambda _call, _name: False
        target.objects.pop(f"{VOLUME_ID}/lock", None)
        assert restored(target, second.manifest.id) == bytes(volume.data)
        if was_through:
            assert broken > 5
            return
    raise AssertionError("it never came to its end")


def test_backups_are_found_by_their_ids(volume: MemoryVolume, target: MemoryTarget) -> None:
    taken = back_up(volume, target)
    assert [each.volume_id for each in repositories(target, None)] == [VOLUME_ID]
    assert find(target, taken.manifest.id, None).volume_id == VOLUME_ID
    for unknown in ("20260102T030405Z-00000000", "../backups", ""):
        with pytest.raises(NoSuchBackup):
            find(target, unknown, None)


def test_a_backup_whose_pieces_went_away_meanwhile_is_not_one(volume: MemoryVolume, target: MemoryTarget) -> None:
    """As if somebody had deleted them who did not know of it."""
    back_up(volume, target)
    volume.write(7 * PIECE, os.urandom(512))

    def spoil(_offset: int) -> None:
        for name in target.names("pieces"):
            target.objects.pop(name, None)

    volume.on_read = spoil
    with pytest.raises(Damaged, match="went away"):
        back_up(volume, target)
    volume.on_read = lambda _offset: None
    assert len(target.names("backups")) == 1
    done = back_up(volume, target)
    assert restored(target, done.manifest.id) == bytes(volume.data)


def test_a_volume_that_cannot_be_read_makes_no_backup(volume: MemoryVolume, target: MemoryTarget) -> None:
    def fail(offset: int) -> None:
        if offset == 4 * PIECE:
            raise BackupError("the volume is away")

    volume.on_read = fail
    with pytest.raises(BackupError, match="away"):
        back_up(volume, target)
    assert not target.names("backups")
