"""Images as volumes: made once, whole or not at all, and gone after the image."""

import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blockgw.client import uri_of
from compute.images import conversion, goldens
from compute.images.conversion import Source
from compute.images.errors import Refused
from compute.images.golden import SNAPSHOT, Disk, GoldenMaker, VolumeFailed, name_of
from compute.images.settings import Settings
from tests.unit.compute.images.formats import hostile
from tests.unit.compute.images.formats.hostile import MiB
from tests.unit.compute.images.service import SECOND_US, Service

needs_qemu = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img converts")


class MemoryVolumes:
    """`compute.images.golden.Volumes`; volumes are files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.snapshots: dict[str, list[str]] = {}
        self.cloned: set[str] = set()
        self.failing: set[str] = set()
        self.servers: list[subprocess.Popen[bytes]] = []

    def has(self, name: str) -> bool:
        return name in self.snapshots

    def has_snapshot(self, name: str, snapshot: str) -> bool:
        return snapshot in self.snapshots.get(name, ())

    def create(self, name: str, size: int) -> None:
        self._check("create")
        assert name not in self.snapshots
        self.snapshots[name] = []
        with self.path(name).open("wb") as file:
            file.truncate(size)

    def open(self, name: str) -> Disk:
        self._check("open")
        return FileDisk(self.path(name))

    def uri(self, name: str) -> str:
        self._check("uri")
        socket = self.directory / f"{len(self.servers)}.sock"
        self.servers.append(subprocess.Popen(["qemu-nbd", "-f", "raw", "-k", socket, self.path(name)]))
        deadline = time.monotonic() + 10
        while not socket.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return uri_of(socket, "")

    def close(self) -> None:
        for server in self.servers:
            server.terminate()
            server.wait(10)

    def snapshot(self, name: str, snapshot: str) -> None:
        self._check("snapshot")
        self.snapshots[name].append(snapshot)

    def remove(self, name: str) -> bool:
        self._check("remove")
        if name in self.cloned:
            return False
        self.snapshots.pop(name, None)
        return True

    def path(self, name: str) -> Path:
        return self.directory / name

    def _check(self, what: str) -> None:
        if what in self.failing:
            raise VolumeFailed(f"{what} fails")


class FileDisk:
    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b")

    def write_at(self, offset: int, data: memoryview) -> None:
        self._file.seek(offset)
        self._file.write(data)

    def close(self) -> None:
        self._file.close()


class Goldens:
    """A service that makes volumes."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.service = Service(directory, Settings(**settings), has_volumes=True)
        self.volumes = MemoryVolumes(directory / "volumes")
        self.directory = directory
        self.restart()

    def restart(self) -> None:
        self.service.restart()
        self.maker = GoldenMaker(self.service.dock, self.volumes, self.directory / "scratch")
        self.maker.prepare()

    def ask(self, image: Any, status: int) -> Any:
        return self.service.ann.post(f"/v2/images/{image['id']}/actions/golden", status=status)

    def run(self) -> None:
        """Make all volumes that are wanted, however long that takes."""
        while self._waiting():
            while self.maker.step():
                pass
            if self._waiting():
                self.service.clock.pass_s(30)

    def _waiting(self) -> bool:
        now_us = self.service.clock() + 3600 * SECOND_US
        return bool(self.service.in_database(lambda connection: goldens.any_due(connection, now_us)))

    def bytes_of(self, image: Any) -> bytes:
        return self.volumes.path(name_of(image["id"])).read_bytes()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Goldens]:
    here = Goldens(tmp_path)
    yield here
    here.volumes.close()


RAW = bytes(5 * MiB) + b"data" * MiB + b"the end"


def test_an_image_becomes_a_volume_as_soon_as_it_is_there(here: Goldens) -> None:
    image = here.service.ann.active(RAW)
    assert here.ask(image, 202) == {"status": "converting"}
    here.run()
    found = here.ask(image, 200)
    size = -(-len(RAW) // 512) * 512
    assert found == {"status": "ready", "volume": f"image-{image['id']}", "snapshot": "golden", "size": size,
                     "disk_format": "raw", "min_disk": 0}
    assert here.bytes_of(image) == RAW.ljust(size, b"\0")
    assert here.volumes.snapshots[found["volume"]] == [SNAPSHOT]


def test_or_when_it_is_asked_for(tmp_path: Path) -> None:
    here = Goldens(tmp_path, goldens_at_once=False)
    image = here.service.ann.active(RAW)
    assert not here.maker.step()
    here.ask(image, 202)
    here.ask(image, 202)
    assert here.maker.step()
    assert here.ask(image, 200)["status"] == "ready"


@needs_qemu
@pytest.mark.parametrize("disk_format", ["qcow2", "vmdk", "vdi"])
def test_other_formats_are_converted(here: Goldens, tmp_path: Path, disk_format: str) -> None:
    data = hostile.with_data(tmp_path, disk_format)
    image = here.service.ann.active(data, disk_format=disk_format)
    assert image["virtual_size"] == 4 * MiB
    here.run()
    assert here.ask(image, 200)["size"] == 4 * MiB
    assert here.bytes_of(image) == (tmp_path / "raw").read_bytes()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_who_may_not_download_gets_no_volume(here: Goldens) -> None:
    image = here.service.ann.active(RAW, visibility="private")
    path = f"/v2/images/{image['id']}/actions/golden"
    here.service.bob.post(path, status=404)
    here.service.reader.post(path, status=403)
    here.service.worker.post(path, status=202)


def test_of_some_images_there_are_no_volumes(here: Goldens, tmp_path: Path) -> None:
    ann = here.service.ann
    for image in (ann.make(), ann.active(b"x", disk_format="aki", container_format="aki"),
                  ann.active(b"x", container_format="ova"), ann.active(b"")):
        here.ask(image, 409)
    assert not here.maker.step()
    (tmp_path / "other").mkdir()
    without = Service(tmp_path / "other")
    without.ann.post(f"/v2/images/{without.ann.active(RAW)['id']}/actions/golden", status=409)


@pytest.mark.parametrize("what", ["create", "open", "snapshot"])
def test_a_gateway_that_is_away_is_asked_again(here: Goldens, what: str) -> None:
    image = here.service.ann.active(RAW)
    here.volumes.failing = {what}
    assert here.maker.step()
    here.ask(image, 202)
    here.volumes.failing = set()
    here.run()
    assert here.bytes_of(image).startswith(RAW)
    here.ask(image, 200)


def test_one_that_stays_away_is_told_and_later_asked_again(here: Goldens) -> None:
    image = here.service.ann.active(RAW)
    here.volumes.failing = {"open", "remove"}
    here.run()
    assert "fails" in here.ask(image, 409)["message"]
    here.volumes.failing = set()
    here.service.clock.pass_s(31)
    here.ask(image, 202)
    here.run()
    here.ask(image, 200)


@pytest.mark.parametrize("point", ["claimed", "created", "written", "kept"])
def test_a_kill_in_the_midst_of_it_is_made_up_for(here: Goldens, point: str) -> None:
    image = here.service.ann.active(RAW)
    dock, name = here.service.dock, name_of(image["id"])
    here.service.in_database(lambda connection: goldens.claim(connection, dock.worker_id, dock.clock_us()))
    if point != "claimed":
        here.volumes.create(name, len(RAW) + 5)
    if point in ("written", "kept"):
        here.volumes.open(name).write_at(0, memoryview(RAW.ljust(-(-len(RAW) // 512) * 512, b"\0")))
    if point == "kept":
        here.volumes.snapshot(name, SNAPSHOT)
    here.restart()
    here.run()
    here.ask(image, 200)
    assert here.volumes.snapshots[name] == [SNAPSHOT]
    assert here.bytes_of(image).startswith(RAW)


def test_a_defect_of_ours_does_not_keep_it_from_being_made(here: Goldens, monkeypatch: pytest.MonkeyPatch) -> None:
    image = here.service.ann.active(RAW)
    monkeypatch.setattr(here.volumes, "open", lambda _name: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        here.maker.step()
    monkeypatch.undo()
    assert not here.maker.step()  # it is put back, and due in a while
    here.run()
    here.ask(image, 200)


def test_the_volume_of_a_deleted_image_goes_when_nobody_reads_through_it(here: Goldens) -> None:
    image = here.service.ann.active(RAW)
    here.run()
    name = name_of(image["id"])
    here.volumes.cloned.add(name)
    here.service.ann.delete(f"/v2/images/{image['id']}")
    here.maker.remove_unwanted()
    assert here.volumes.has(name)
    here.volumes.cloned.clear()
    here.maker.remove_unwanted()
    assert not here.volumes.has(name)
    assert here.service.in_database(lambda connection: goldens.get(connection, image["id"])) is None


def test_a_volume_that_cannot_be_removed_keeps_no_others(here: Goldens) -> None:
    images = [here.service.ann.active(RAW) for _ in range(2)]
    here.run()
    names = [name_of(image["id"]) for image in images]
    remove = here.volumes.remove

    def refuse_first(name: str) -> bool:
        if name == names[0]:
            raise VolumeFailed("somebody is connected")
        return remove(name)

    here.volumes.remove = refuse_first  # type: ignore[method-assign]
    for image in images:
        here.service.ann.delete(f"/v2/images/{image['id']}")
    here.maker.remove_unwanted()
    assert list(here.volumes.snapshots) == names[:1]


def test_an_id_is_not_given_again_while_its_volume_is_there(here: Goldens) -> None:
    image = here.service.ann.active(RAW)
    here.run()
    here.service.ann.delete(f"/v2/images/{image['id']}")
    here.service.clock.pass_s(400 * 24 * 3600)
    here.service.reaper.step()
    here.service.ann.post("/v2/images", {"id": image["id"]}, 409)
    here.maker.remove_unwanted()
    here.service.reaper.step()
    here.service.ann.post("/v2/images", {"id": image["id"]}, 201)


def test_an_image_that_is_deleted_while_it_becomes_a_volume_leaves_none(here: Goldens) -> None:
    image = here.service.ann.active(RAW)
    create = here.volumes.create

    def create_late(name: str, size: int) -> None:
        here.service.ann.delete(f"/v2/images/{image['id']}")
        here.maker.remove_unwanted()  # it must not take for gone what is about to be made
        create(name, size)

    here.volumes.create = create_late  # type: ignore[method-assign]
    here.run()
    here.maker.remove_unwanted()
    assert here.volumes.snapshots == {}
    assert here.service.in_database(lambda connection: goldens.get(connection, image["id"])) is None


def test_data_that_the_store_has_spoilt_becomes_no_volume(here: Goldens) -> None:
    image = here.service.ann.active(RAW)
    (key,) = here.service.store.objects
    here.service.store.objects[key] = b"spoilt".ljust(len(RAW), b"\0")
    here.run()
    assert "digest differs" in here.ask(image, 409)["message"]
    assert here.volumes.snapshots == {}


# what qemu-img is given, and what it may
@needs_qemu
def test_qemu_opens_nothing_but_the_image(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret" * 1000)
    (tmp_path / "own").mkdir()
    path = str(secret).encode()
    backing = struct.pack(">QI", 1024, len(path))
    for name, disk_format, data in (
        ("backing", "qcow2", hostile.patched(hostile.patched(hostile.made(tmp_path, "qcow2"), 8, backing), 1024, path)),
        ("flat", "vmdk", hostile.vmdk_descriptor("monolithicFlat", f'RW 8 FLAT "{secret}" 0')),
        ("nested", "vmdk", hostile.vmdk(hostile.vmdk_descriptor("monolithicFlat", f'RW 8 FLAT "{secret}" 0'), 0)),
    ):
        file = tmp_path / "own" / name
        file.write_bytes(data)
        with pytest.raises(Refused):
            conversion.check(Source(file, disk_format, 4 * MiB))


@needs_qemu
def test_what_qemu_finds_must_be_what_was_found_before(tmp_path: Path) -> None:
    path = tmp_path / "image.qcow2"
    hostile.made(tmp_path, "qcow2")
    conversion.check(Source(path, "qcow2", 4 * MiB))
    with pytest.raises(Refused, match="another disk"):
        conversion.check(Source(path, "qcow2", 5 * MiB))
    with pytest.raises(Refused):
        conversion.check(Source(path, "vmdk", 4 * MiB))


@needs_qemu
def test_a_damaged_image_is_told_as_such_without_paths(tmp_path: Path) -> None:
    path = tmp_path / "image.qcow2"
    hostile.made(tmp_path, "qcow2")
    path.write_bytes(path.read_bytes()[:70_000].ljust(70_000, b"\xff"))
    with pytest.raises(Refused) as told:
        conversion.write_to(Source(path, "qcow2", 4 * MiB), str(tmp_path / "target"))
    assert str(tmp_path) not in str(told.value)
