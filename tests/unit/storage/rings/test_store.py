"""storage/rings/store.py: rings in coordination, and who wins when several change them."""

from pathlib import Path

import pytest

from ring import file
from storage.rings import store as stores
from storage.rings.document import OBJECT, RingDocument, Stage
from storage.rings.errors import ChangeUnderWay, NoRings, NothingToCancel, RingMissing, RingsExist, UnfitRings
from storage.rings.reports import Progress, UseReport
from storage.rings.store import RingStore
from tests.unit.storage.rings.fixtures import coordination, ring, three

BEFORE = three(ring((0, 1, 2), (1, 2, 3)))
AFTER = three(ring((0, 1, 3), (1, 2, 3)))


def finish(store: RingStore) -> RingDocument:
    """Walk a change to its end."""
    while True:
        found = store.read()
        assert found is not None
        at, document = found
        if document.settled:
            return document
        assert store.advance(at, document.advance(9) if document.enforced else document.enforce(9))


def test_rings_are_published_and_read_by_others(tmp_path: Path) -> None:
    RingStore(coordination(tmp_path)).create(BEFORE, 5)
    other = RingStore(coordination(tmp_path))
    rings = other.rings_of(other.document())
    assert (rings.version, rings.floor, rings.stage, dict(rings.target)) == (1, 0, Stage.STABLE, {})
    assert [list(row) for row in rings.current[OBJECT].replica_rows] == [[0, 1], [1, 2], [2, 3]]
    assert other.rings_of(other.document()).current[OBJECT] is rings.current[OBJECT]


def test_a_cluster_without_rings_says_so(tmp_path: Path) -> None:
    store = RingStore(coordination(tmp_path))
    assert store.read() is None
    with pytest.raises(NoRings):
        store.document()


def test_rings_are_created_once(tmp_path: Path) -> None:
    store = RingStore(coordination(tmp_path))
    store.create(BEFORE)
    with pytest.raises(RingsExist):
        store.create(AFTER)
    assert len(store.document().digests) == 1


def test_a_change_is_announced_with_the_rings_that_come(tmp_path: Path) -> None:
    store = RingStore(coordination(tmp_path))
    store.create(BEFORE)
    document = store.begin(AFTER, "drain device 2", 7)
    assert (document.version, document.stage, document.floor) == (2, Stage.JOINING, 0)
    assert (document.note, document.started_us, document.since_us) == ("drain device 2", 7, 7)
    rings = store.rings_of(store.document())
    assert [device.id for device in rings.target[OBJECT].primaries(0)] == [0, 1, 3]
    with pytest.raises(ChangeUnderWay, match="drain device 2"):
        store.begin(BEFORE, "another", 8)


def test_rings_that_do_not_fit_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    store = RingStore(coordination(tmp_path))
    store.create(BEFORE)
    for rings, words in (
        (BEFORE, "nothing would change"),
        ({OBJECT: AFTER[OBJECT]}, "account, container"),
        (three(ring((0, 1, 2))), "part power"),
    ):
        with pytest.raises(UnfitRings, match=words):
            store.begin(rings, "", 8)
    assert store.document().settled


def test_the_first_of_two_who_change_wins(tmp_path: Path) -> None:
    first, second = RingStore(coordination(tmp_path)), RingStore(coordination(tmp_path))
    first.create(BEFORE)
    found = first.read()
    assert found is not None
    first.begin(AFTER, "", 7)
    at, document = found
    assert not second.advance(at, document.begin(dict.fromkeys(AFTER, "0" * 64), "", 8))
    assert "0" * 64 not in second.document().digests


def test_who_begins_while_somebody_is_at_the_files_is_told_to_try_again(tmp_path: Path) -> None:
    store, other = RingStore(coordination(tmp_path)), RingStore(coordination(tmp_path))
    store.create(BEFORE)
    with other._files(), pytest.raises(ChangeUnderWay, match="try again"):
        store.begin(AFTER, "", 7)
    store.begin(AFTER, "", 7)


def test_a_change_is_cancelled_until_it_is_read_from(tmp_path: Path) -> None:
    store = RingStore(coordination(tmp_path))
    store.create(BEFORE)
    with pytest.raises(NothingToCancel):
        store.cancel(1)
    store.begin(AFTER, "", 7)
    assert store.cancel(8).current == store.document().current
    finish(store)
    store.begin(AFTER, "", 9)
    for _version in ("joining, enforced", "serving, announced"):
        at, document = store.read() or (0, None)
        assert document is not None
        assert store.advance(at, document.advance(9) if document.enforced else document.enforce(9))
    with pytest.raises(NothingToCancel, match="read from"):
        store.cancel(10)
    assert finish(store).current != {}


def test_files_that_nobody_names_are_removed_when_a_change_is_over(tmp_path: Path) -> None:
    keys = coordination(tmp_path)
    store = RingStore(keys)
    store.create(BEFORE)
    store.begin(AFTER, "", 7)
    assert store.collect() == 0
    finish(store)
    assert store.collect() == 1
    assert len(keys.range("ring-file/")) == 1
    fresh = RingStore(keys)
    assert [device.id for device in fresh.rings_of(fresh.document()).current[OBJECT].primaries(0)] == [0, 1, 3]


def test_a_file_is_kept_in_parts_and_missed_when_one_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "PART_SIZE", 50)
    keys = coordination(tmp_path)
    RingStore(keys).create(BEFORE)
    parts = keys.range("ring-file/")
    assert len(parts) > 2
    assert b"".join(part.data for part in parts) == file.dump(BEFORE[OBJECT])
    store = RingStore(keys)
    assert store.rings_of(store.document()).current[OBJECT].part_power == 1
    keys.put(parts[1].key, parts[1].data[::-1])
    with pytest.raises(RingMissing):
        RingStore(keys).rings_of(store.document())
    keys.delete(parts[1].key)
    with pytest.raises(RingMissing):
        RingStore(keys).rings_of(store.document())


def test_reports_come_back_and_damaged_ones_are_passed_over(tmp_path: Path) -> None:
    keys = coordination(tmp_path)
    store = RingStore(keys)
    store.report_use("proxy-0", 3, 4)
    store.report_use("storage-1", 4, 4, floor=3, now_us=9)
    progress = Progress(version=3, partitions_done=1, partitions_total=2, waiting="device 2 is down")
    store.report_progress(1, progress)
    keys.put("ring-use/proxy-9", b"{")
    keys.put("ring-use/proxy-8", b'{"oldest": "x", "newest": 1}')
    keys.put("ring-use/proxy-7", b'{"oldest": 1, "newest": 1, "floor": 0, "at_us": 0, "later": 1}')
    keys.put("ring-progress/x", b"{}")
    assert store.uses() == {
        "proxy-0": UseReport(3, 4),
        "storage-1": UseReport(4, 4, 3, 9),
        "proxy-7": UseReport(1, 1),
    }
    assert store.progress() == {1: progress}
    store.forget_use("proxy-0")
    assert "proxy-0" not in store.uses()


def test_reports_of_a_change_that_is_over_are_removed_and_what_is_told_meanwhile_is_not(tmp_path: Path) -> None:
    """Its conductor may have been asleep: the next change may wait for what devices tell of that."""
    keys = coordination(tmp_path)
    store = RingStore(keys)
    for device_id, version in enumerate((5, 5, 9)):
        store.report_progress(device_id, Progress(version, 2, 2))
    for process, newest in (("proxy-0", 5), ("proxy-1", 6), ("storage-2", 9)):
        store.report_use(process, newest, newest)
    delete = keys.delete

    def delayed(key: str, expect: int | None = None) -> bool:
        if key == "ring-progress/1":
            store.report_progress(1, Progress(9, 2, 2))
        return delete(key, expect)

    keys.delete = delayed  # type: ignore[method-assign]
    store.forget_reports(7)
    assert {device_id: progress.version for device_id, progress in store.progress().items()} == {1: 9, 2: 9}
    assert sorted(store.uses()) == ["proxy-1", "storage-2"]
