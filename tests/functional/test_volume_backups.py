"""Backups of volumes of a running cluster to its own S3 and Swift, through the commands that operators use."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blockgw.backup.opening import open_target
from blockgw.backup.target import Address, Entry, Target
from tests.cluster import COMMAND, ROOT, Cluster
from tests.functional.volumes import TIMEOUT_S, qemu_io, run

MiB = 1 << 20
PIECE = 4 * MiB
ALONE = [sys.executable, "-m", "tools.backup_alone"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("backups") / "data")
    cluster.up()
    cluster.s3().create_bucket(Bucket="backups")
    cluster.run("swift", "post", "backups")
    yield cluster
    cluster.holdfast("down", check=False)


@pytest.fixture(autouse=True)
def keys(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have boto3 find the cluster and its keys, as it does for a user."""
    for name, value in cluster.environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


@pytest.fixture(params=["s3", "swift"])
def place(request: pytest.FixtureRequest) -> str:
    """Return a place for backups that is empty."""
    return f"{request.param}://backups/{uuid.uuid4().hex[:8]}/deep"


@pytest.fixture
def s3_place() -> str:
    return f"s3://backups/{uuid.uuid4().hex[:8]}"


class Tools:
    """The commands, with what they need in their environment."""

    def __init__(self, cluster: Cluster, **env: str) -> None:
        self._cluster = cluster
        self.env = {**cluster.environment(), **env}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `holdfast volume`."""
        command = [*COMMAND, "volume", *arguments, "--data", str(self._cluster.directory)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=ROOT, env=self.env, text=True, **pipes)  # type: ignore[call-overload, no-any-return]

    def volume(self, *arguments: str, expect: int = 0) -> str:
        """Run `holdfast volume`; return all that it prints."""
        return self._ended(self.start(*arguments), expect)

    def alone(self, *arguments: str, expect: int = 0) -> str:
        """Run `holdfast-backup`, which is told of no cluster."""
        command = [*ALONE, *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return self._ended(subprocess.Popen(command, cwd=ROOT, env=self.env, text=True, **pipes), expect)  # type: ignore[call-overload]

    @staticmethod
    def _ended(process: subprocess.Popen[str], expect: int) -> str:
        out, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == expect, f"{process.args!r}: {process.returncode}\n{out}\n{errors}"
        assert "Traceback" not in errors
        return out + errors

    def backup(self, name: str, place: str, *options: str) -> dict[str, Any]:
        """Take a backup; return what is told of it."""
        told: dict[str, Any] = json.loads(self.volume("backup", name, place, *options, "--json"))["backup"]
        return told


@pytest.fixture
def tools(cluster: Cluster) -> Tools:
    return Tools(cluster)


def make(cluster: Cluster, name: str, size: int, extents: dict[int, int]) -> None:
    """Make a volume with random bytes in `extents`: lengths by offset."""
    cluster.holdfast("volume", "create", name, str(size))
    image = cluster.directory.parent / f"{name}.raw"
    with image.open("wb") as file:
        file.truncate(size)
        for offset, length in extents.items():
            file.seek(offset)
            file.write(os.urandom(length))
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", str(image), cluster.nbd(name))
    image.unlink()


def checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(PIECE):
            digest.update(data)
    return digest.hexdigest()


def checksum_of_volume(cluster: Cluster, name: str, folder: Path) -> str:
    """Return the checksum of what a volume holds, as qemu-img reads it."""
    image = folder / f"{uuid.uuid4().hex}.raw"
    run("qemu-img", "convert", "-f", "raw", "-O", "raw", cluster.nbd(name), str(image))
    found = checksum(image)
    image.unlink()
    return found


def target_of(cluster: Cluster, place: str) -> Target:
    return open_target(Address.parse(place), None, cluster.environment())


def pieces(target: Target) -> list[Entry]:
    return sorted(entry for entry in target.list("") if "/pieces/" in entry.name)


def test_backups_come_back_as_the_volume_was(cluster: Cluster, tools: Tools, place: str, tmp_path: Path) -> None:
    name = f"disk-{place.partition(':')[0]}"
    make(cluster, name, 96 * MiB, {0: 9 * MiB, 50 * MiB + 4096: 3 * MiB, 96 * MiB - 512: 512})
    was_first = checksum_of_volume(cluster, name, tmp_path)
    first = tools.backup(name, place)
    assert (first["parent"], first["zeros"]) == (None, 0)
    assert 12 * MiB < first["sent"] < 13 * MiB
    assert first["read"] <= 6 * PIECE, "holes are not read"
    qemu_io(cluster, name, "write -P 9 51M 1M", "write -z 4M 4M", "write -P 0 8M 1M", "flush")
    was_second = checksum_of_volume(cluster, name, tmp_path)
    second = tools.backup(name, place)
    assert second["parent"] == first["id"]
    assert second["read"] == 3 * PIECE
    tools.alone("restore", place, first["id"], "--to-file", str(tmp_path / "first"))
    tools.alone("restore", place, second["id"], "--to-file", str(tmp_path / "second"))
    assert (checksum(tmp_path / "first"), checksum(tmp_path / "second")) == (was_first, was_second)
    assert (tmp_path / "second").stat().st_blocks * 512 < 24 * MiB, "holes come back as holes"
    tools.volume("restore", place, second["id"], f"{name}-again")
    assert checksum_of_volume(cluster, f"{name}-again", tmp_path) == was_second
    listed = json.loads(tools.volume("backups", place, "--json"))["backups"]
    assert [(each["id"], each["state"]) for each in listed] == [(first["id"], "ok"), (second["id"], "ok")]
    assert first["id"] in tools.alone("list", place)
    assert "2 backups" in tools.volume("verify-backup", place)
    tools.volume("delete-backup", place, first["id"])
    assert checksum_of_volume(cluster, name, tmp_path) == was_second
    (tmp_path / "second").unlink()
    tools.volume("restore", place, second["id"], "--to-file", str(tmp_path / "second"))
    assert checksum(tmp_path / "second") == was_second
    assert "no backup" in tools.volume("restore", place, first["id"], "--to-file", str(tmp_path / "x"), expect=1)
    tools.volume("delete-backup", place, second["id"])
    assert list(target_of(cluster, place).list("")) == []


def one_percent(cluster: Cluster, tools: Tools, place: str, folder: Path, size: int) -> tuple[float, float]:
    """Back up a volume of `size`, change a hundredth of it, and again; return what the second one read and sent."""
    name = f"percent-{size // MiB}"
    make(cluster, name, size, dict.fromkeys(range(0, size, size // 4), size // 100))
    tools.backup(name, place)
    changed = size // 100 // PIECE  # chunks, apart from each other
    step = size // (changed + 1) // PIECE * PIECE
    image = folder / "changes"
    commands = []
    for number in range(changed):
        image.write_bytes(os.urandom(PIECE))
        commands.append(f"write -s {image} {number * step} {PIECE}")
        qemu_io(cluster, name, commands[-1])
    said = tools.volume("backup", name, place)
    found = re.search(r"read (\S+ \S+) of (\S+ \S+), sent (\S+ \S+), deduplicated 0 B", said)
    assert found is not None, said
    read, of, sent = map(_bytes, found.groups())
    assert of == size
    assert read == changed * PIECE
    backup_id = said.split()[0]
    tools.volume("restore", place, backup_id, "--to-file", str(folder / "restored"))
    assert checksum(folder / "restored") == checksum_of_volume(cluster, name, folder)
    cluster.holdfast("volume", "delete-snapshot", name, _snapshot(cluster, name))
    cluster.holdfast("volume", "delete", name)
    return read, sent


def _bytes(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit]


def _snapshot(cluster: Cluster, name: str) -> str:
    shown = json.loads(cluster.holdfast("volume", "show", name, "--json"))["volume"]
    (snapshot,) = shown["snapshots"]
    return str(snapshot["name"])


def test_an_incremental_backup_of_one_percent_reads_and_sends_one_percent(
    cluster: Cluster, tools: Tools, s3_place: str, tmp_path: Path
) -> None:
    read, sent = one_percent(cluster, tools, s3_place, tmp_path, 1024 * MiB)
    assert read <= 1024 * MiB / 100
    assert 0.99 * read < sent < 1.01 * read + 65536


@pytest.mark.long
def test_an_incremental_backup_of_one_percent_of_10_gib_reads_and_sends_one_percent(
    cluster: Cluster, tools: Tools, s3_place: str, tmp_path: Path
) -> None:
    read, sent = one_percent(cluster, tools, s3_place, tmp_path, 10240 * MiB)
    assert read <= 10240 * MiB / 100
    assert 0.99 * read < sent < 1.01 * read + 65536


def test_a_backup_that_was_killed_goes_on(cluster: Cluster, tools: Tools, place: str, tmp_path: Path) -> None:
    name = f"killed-{place.partition(':')[0]}"
    make(cluster, name, 64 * MiB, {0: 64 * MiB})
    was = checksum_of_volume(cluster, name, tmp_path)
    target = target_of(cluster, place)
    process = tools.start("backup", name, place, "--jobs", "1")
    deadline = time.monotonic() + 60
    while len(pieces(target)) < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    sent = {entry.name for entry in pieces(target)}
    assert len(sent) < 16, "it was killed in the midst of it"
    qemu_io(cluster, name, "write -P 1 0 1M", "flush")  # after the snapshot: not in the backup
    (unfinished,) = json.loads(tools.volume("backups", place, "--json"))["backups"]
    assert unfinished["state"] == "unfinished"
    done = tools.backup(name, place)
    assert done["resumed"]
    assert done["id"] == unfinished["id"]
    assert done["read"] == 64 * MiB, "both times together, nothing is read twice that was noted"
    assert done["deduplicated"] >= len(sent) * PIECE - unfinished["read"]
    assert done["sent"] - unfinished["sent"] <= (16 - len(sent)) * (PIECE + 64) + 65536, "nothing is sent twice"
    tools.alone("restore", place, done["id"], "--to-file", str(tmp_path / "restored"))
    assert checksum(tmp_path / "restored") == was
    assert _snapshot(cluster, name).endswith(done["id"])
    assert tools.backup(name, place)["read"] == PIECE


def test_a_restore_that_was_killed_goes_on(cluster: Cluster, tools: Tools, s3_place: str, tmp_path: Path) -> None:
    make(cluster, "half", 64 * MiB, {0: 64 * MiB})
    was = checksum_of_volume(cluster, "half", tmp_path)
    backup_id = tools.backup("half", s3_place)["id"]
    process = tools.start("restore", s3_place, backup_id, "whole", "--jobs", "1")
    deadline = time.monotonic() + 60
    while not any(each["name"] == "whole" for each in volumes(cluster)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert "already" in tools.volume("restore", s3_place, backup_id, "whole", expect=1)
    assert "not what a restore" in tools.volume("restore", s3_place, backup_id, "half", "--resume", expect=1)
    tools.volume("restore", s3_place, backup_id, "whole", "--resume")
    assert checksum_of_volume(cluster, "whole", tmp_path) == was


def volumes(cluster: Cluster) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(cluster.holdfast("volume", "list", "--json"))["volumes"]
    return told


def test_a_damaged_object_is_named_and_not_restored(
    cluster: Cluster, tools: Tools, place: str, tmp_path: Path
) -> None:
    name = f"spoiled-{place.partition(':')[0]}"
    make(cluster, name, 32 * MiB, {0: 32 * MiB})
    backup_id = tools.backup(name, place)["id"]
    target = target_of(cluster, place)
    victim = pieces(target)[3].name
    data = target.get(victim)
    target.put(victim, data[:1000] + bytes((data[1000] ^ 1,)) + data[1001:])
    said = tools.alone("verify", place, backup_id, expect=1)
    assert victim in said
    assert said.count("is damaged") == 1
    assert "right size" in tools.alone("verify", place, backup_id, "--fast")
    image = tmp_path / "restored"
    assert victim in tools.alone("restore", place, backup_id, "--to-file", str(image), expect=1)
    assert not image.exists()
    assert victim in tools.volume("restore", place, backup_id, f"{name}-again", expect=1)
    assert f"{name}-again" not in {each["name"] for each in volumes(cluster)}
    target.delete([victim])
    assert victim in tools.alone("verify", place, "--fast", expect=1)
    said = tools.volume("backup", name, place)
    assert victim in said
    tools.alone("verify", place)
    tools.alone("restore", place, backup_id, "--to-file", str(image))
    assert checksum(image) == checksum_of_volume(cluster, name, tmp_path)


@pytest.mark.parametrize("key", ["passphrase", "file"])
def test_encrypted_backups_come_back_with_their_key_only(
    cluster: Cluster, s3_place: str, tmp_path: Path, key: str
) -> None:
    name = f"secret-{key}"
    cluster.holdfast("volume", "create", name, "16M")
    qemu_io(cluster, name, "write -P 0x41 5M 1M", "flush")
    key_file = tmp_path / "key"
    key_file.write_bytes(os.urandom(32))
    tools = Tools(cluster, HOLDFAST_BACKUP_PASSPHRASE="correct horse")
    options = ("--encrypt",) if key == "passphrase" else ("--key-file", str(key_file))
    backup_id = tools.backup(name, s3_place, *options)["id"]
    target = target_of(cluster, s3_place)
    plain = hashlib.sha256(bytes(MiB) + b"A" * MiB + bytes(2 * MiB)).hexdigest()
    for entry in target.list(""):
        assert plain not in entry.name
        assert name.encode() not in target.get(entry.name)
    image = tmp_path / "restored"
    assert "encrypted" in tools.alone("restore", s3_place, backup_id, "--to-file", str(image), expect=1)
    assert "encrypted" in tools.alone("list", s3_place)
    assert "encrypted" in tools.volume("backup", name, s3_place, expect=1)
    wrong = Tools(cluster, HOLDFAST_BACKUP_PASSPHRASE="wrong")
    assert "passphrase" in wrong.alone("restore", s3_place, backup_id, "--to-file", str(image), "--encrypt", expect=1)
    tools.alone("restore", s3_place, backup_id, "--to-file", str(image), *options)
    assert checksum(image) == checksum_of_volume(cluster, name, tmp_path)


def test_an_encrypted_volume_is_backed_up_and_brought_back_into_one(
    cluster: Cluster, tools: Tools, s3_place: str, tmp_path: Path
) -> None:
    """It takes whole sectors only, of whoever reads it."""
    cluster.holdfast("volume", "create", "sectors", "16M", "--encrypt")
    qemu_io(cluster, "sectors", "write -P 0x41 5M 1M", "flush")
    backup_id = tools.backup("sectors", s3_place)["id"]
    tools.volume("restore", s3_place, backup_id, "sectors-again", "--encrypt-volume")
    assert json.loads(cluster.holdfast("volume", "show", "sectors-again", "--json"))["volume"]["encrypted"]
    was = checksum_of_volume(cluster, "sectors", tmp_path)
    assert checksum_of_volume(cluster, "sectors-again", tmp_path) == was


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("s3://nobody-has-this", "no bucket"),
        ("swift://nobody-has-this", "no container"),
        ("ftp://somewhere", "no place for backups"),
    ],
)
def test_a_place_that_is_none_is_refused_before_anything_is_done(
    cluster: Cluster, tools: Tools, place: str, reason: str
) -> None:
    if "untouched" not in {each["name"] for each in volumes(cluster)}:
        cluster.holdfast("volume", "create", "untouched", "1M")
    assert reason in tools.volume("backup", "untouched", place, expect=1)
    assert json.loads(cluster.holdfast("volume", "show", "untouched", "--json"))["volume"]["snapshots"] == []


def test_a_target_does_what_backups_need(cluster: Cluster, place: str) -> None:
    target = target_of(cluster, place)
    assert (list(target.list("")), list(target.folders()), target.size("a/1")) == ([], [], None)
    assert target.put_new("a/1", b"one")
    assert not target.put_new("a/1", b"another")
    target.put("a/2", b"two")
    target.put("a/2", b"two again")
    for number in range(25):
        target.put(f"b/{number}", bytes(number))
    assert (target.get("a/1"), target.get("a/2"), target.size("a/2")) == (b"one", b"two again", 9)
    assert sorted(target.list("a/")) == [Entry("a/1", 3), Entry("a/2", 9)]
    assert len(list(target.list(""))) == 27
    assert sorted(target.folders()) == ["a", "b"]
    target.delete(["a/1", "a/none", *(f"b/{number}" for number in range(25))])
    assert [entry.name for entry in target.list("")] == ["a/2"]
