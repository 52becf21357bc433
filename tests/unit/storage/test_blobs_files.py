"""storage.blobs.files: what is durable when."""

import threading
from pathlib import Path

from storage.blobs.files import FileIdentity, FileStore
from tests.unit.storage.faulty_disk import FaultyDisk


class Watched(FaultyDisk):
    """Notes which directories were synced; a sync of files/ may be kept waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.synced: list[str] = []
        self.may_sync = threading.Event()
        self.may_sync.set()
        self.waiting = threading.Semaphore(0)

    def fsync_directory(self, path: str) -> None:
        if path.endswith("/files"):
            self.waiting.release()
            assert self.may_sync.wait(10)
        super().fsync_directory(path)
        self.synced.append(path)


def publish(files: FileStore, data_id: bytes) -> None:
    file = files.create()
    files.publish(file, data_id, 0, FileIdentity(b"metadata", b""), named=False)
    files._disk.close(file.fd)


def test_a_file_is_not_durable_before_its_directory_is_whoever_makes_that(tmp_path: Path) -> None:
    disk = Watched()
    files = FileStore(disk, str(tmp_path))
    files.open()
    assert disk.waiting.acquire(timeout=10)
    disk.may_sync.clear()
    first, second = (
        threading.Thread(target=publish, args=(files, b"\1" + end * 15), daemon=True) for end in (b"a", b"b")
    )
    first.start()
    assert disk.waiting.acquire(timeout=10)  # it has made the directory
    second.start()
    second.join(0.2)
    assert second.is_alive()
    disk.may_sync.set()
    first.join(10)
    second.join(10)
    assert sorted(files.data_ids("01")) == [b"\1" + end * 15 for end in (b"a", b"b")]


def test_directories_that_a_dead_process_made_are_made_durable(tmp_path: Path) -> None:
    (tmp_path / "files" / "01").mkdir(parents=True)
    disk = Watched()
    files = FileStore(disk, str(tmp_path))
    files.open()
    assert disk.synced == [str(tmp_path), str(tmp_path / "files")]
    publish(files, b"\1" * 16)
    assert disk.synced[2:] == [str(tmp_path / "files" / "01")]
