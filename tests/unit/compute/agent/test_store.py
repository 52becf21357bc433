"""What hosts keep of guests."""

import json
from pathlib import Path

from compute.agent.store import Record, Store, Wish
from tests.unit.compute.agent.memory import disk, guest, nic


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = Record(guest=guest(disks=(disk(limits={"a": 1}),)), wish=Wish.PAUSED, reboot_id="r", leaving=(nic(3),),
                    off_by_us=7, starting=True, crashed=True, trouble="t")  # fmt: skip
    Store(tmp_path).put(record)
    assert Store(tmp_path).all() == {record.guest.id: record}
    assert (tmp_path / f"{record.guest.id}.json").stat().st_mode & 0o077 == 0  # it has secrets


def test_a_damaged_record_is_put_aside_and_the_others_are_read(tmp_path: Path) -> None:
    store, record = Store(tmp_path), Record(guest=guest())
    store.put(record)
    for number, text in enumerate(("", "{", "[]", "{}", '{"guest": {"id": "x"}}', '{"guest": 5}')):
        (tmp_path / f"damaged-{number}.json").write_text(text)
    (tmp_path / "other.json").write_bytes((tmp_path / f"{record.guest.id}.json").read_bytes())
    assert list(Store(tmp_path).all()) == [record.guest.id]
    assert len(list(tmp_path.glob("*.damaged"))) == 7


def test_a_newer_ones_fields_are_let_be(tmp_path: Path) -> None:
    record = Record(guest=guest())
    Store(tmp_path).put(record)
    path = tmp_path / f"{record.guest.id}.json"
    document = json.loads(path.read_text())
    document["guest"]["colour"] = document["colour"] = "blue"
    path.write_text(json.dumps(document))
    assert Store(tmp_path).get(record.guest.id) == record


def test_what_is_dropped_leaves_nothing(tmp_path: Path) -> None:
    store, record = Store(tmp_path), Record(guest=guest())
    store.put(record)
    (store.files(record.guest.id) / "console.log").write_text("x")
    store.drop(record.guest.id)
    store.drop(record.guest.id)
    assert store.get(record.guest.id) is None
    assert not list(tmp_path.iterdir())
