"""`holdfast volume` on a running cluster: space, differences, images, limits, loads, and the client in Python."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from blockgw.client import Volumes, VolumesError
from tests.cluster import ROOT, Cluster, running
from tests.functional.volumes import TIMEOUT_S, qemu_io, refused, run, volume

SPACE_S = 60.0  # until what is nobody's is gone
MiB = 1 << 20
CHUNK = 4 * MiB


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from running(tmp_path_factory.mktemp("volume-commands") / "data", nodes=3)


def stored(cluster: Cluster, name: str) -> int:
    """Return how many bytes of one replica belong to a volume and its snapshots."""
    (found,) = volume(cluster, "du", name)["volumes"]
    return int(found["data"])


def test_du_and_diff_say_where_space_went(cluster: Cluster) -> None:
    volume(cluster, "create", "disk", "64M")
    qemu_io(cluster, "disk", "write -P 1 0 8M")
    volume(cluster, "snapshot", "disk", "monday")
    qemu_io(cluster, "disk", "write -P 2 1M 64k", "write -P 2 40M 4k")
    volume(cluster, "snapshot", "disk", "tuesday")
    (found,) = volume(cluster, "du", "disk")["volumes"]
    monday, tuesday, now = found["shares"]
    assert [each["chunks"] for each in (monday, tuesday, now)] == [2, 2, 0]
    assert 8 * MiB <= monday["data"] <= 9 * MiB
    assert monday["stored"] == 3 * monday["data"]
    exact = volume(cluster, "diff", "disk", "monday")
    assert exact["extents"] == [[MiB, 64 << 10], [40 * MiB, 4096]]
    assert volume(cluster, "diff", "disk", "tuesday")["extents"] == []
    fast = volume(cluster, "diff", "disk", "monday", "tuesday", "--fast")
    assert fast["extents"] == [[0, CHUNK], [40 * MiB, CHUNK]]
    assert "snapshot monday" in cluster.holdfast("volume", "du")
    assert "69632 bytes in 2 ranges differ" in cluster.holdfast("volume", "diff", "disk", "monday")


def test_a_deleted_snapshot_gives_its_space_back(cluster: Cluster) -> None:
    volume(cluster, "create", "churn", "32M")
    for number in (1, 2, 3):
        qemu_io(cluster, "churn", f"write -P {number} 0 16M")
        volume(cluster, "snapshot", "churn", f"s{number}")
    assert stored(cluster, "churn") >= 48 * MiB
    for number in (1, 2):
        volume(cluster, "delete-snapshot", "churn", f"s{number}")
    deadline = time.monotonic() + SPACE_S
    while stored(cluster, "churn") > 17 * MiB or volume(cluster, "show", "churn")["volume"]["layers"] > 2:
        assert time.monotonic() < deadline, volume(cluster, "jobs")
        time.sleep(0.5)
    qemu_io(cluster, "churn", "read -P 3 0 16M")
    run("qemu-io", "-r", "-f", "raw", "-c", "read -P 3 0 16M", cluster.nbd("churn@s3"))


def test_a_clone_is_flattened_under_load_and_its_parent_goes(cluster: Cluster) -> None:
    volume(cluster, "create", "golden", "32M")
    qemu_io(cluster, "golden", "write -P 1 0 32M")
    volume(cluster, "snapshot", "golden", "v1")
    volume(cluster, "clone", "golden", "v1", "guest")
    load = subprocess.Popen(
        ["fio", "--name=load", "--ioengine=nbd", f"--uri={cluster.nbd('guest')}", "--rw=randwrite", "--bs=4k",
         "--offset=16M", "--size=16M", "--iodepth=8", "--verify=crc32c", "--do_verify=1", "--verify_state_save=0"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    assert volume(cluster, "flatten", "guest")["job"]["state"] == "done"
    said, _nothing = load.communicate(timeout=TIMEOUT_S)
    assert load.returncode == 0, said
    assert volume(cluster, "show", "guest")["volume"]["parent"] is None
    volume(cluster, "delete-snapshot", "golden", "v1")
    volume(cluster, "delete", "golden")
    qemu_io(cluster, "guest", "read -P 1 0 16M")
    assert "no clone" in refused(cluster, "flatten", "guest")


def test_a_group_of_snapshots_and_the_trash(cluster: Cluster) -> None:
    for name in ("log", "data"):
        volume(cluster, "create", name, "8M")
    made = volume(cluster, "snapshot-group", "both", "log", "data")["volumes"]
    assert [each["snapshots"][0]["name"] for each in made] == ["both", "both"]
    assert volume(cluster, "trash", "log", "--keep", "7d")["volume"]["purge_us"] > time.time() * 1e6
    assert "deleted for ever after" in cluster.holdfast("volume", "show", "log")
    assert volume(cluster, "purge", "--all") == {"purged": ["log"]}
    assert "log" not in {each["name"] for each in volume(cluster, "list")["volumes"]}


@pytest.mark.parametrize("format_", ["raw", "qcow2", "vmdk"])
def test_images_come_out_and_go_in_the_same(cluster: Cluster, tmp_path: Path, format_: str) -> None:
    source, name = tmp_path / "source.raw", f"image-{format_}"
    with source.open("wb") as file:
        file.truncate(48 * MiB)
        for offset in (0, 9 * MiB + 4096, 47 * MiB):
            file.seek(offset)
            file.write(os.urandom(100_000))
    image = tmp_path / f"image.{format_}"
    run("qemu-img", "convert", "-f", "raw", "-O", format_, str(source), str(image))
    made = volume(cluster, "import", str(image), name)["volume"]
    assert made["size"] == 48 * MiB
    assert stored(cluster, name) < 4 * MiB, "holes stay holes"
    volume(cluster, "snapshot", name, "s")
    qemu_io(cluster, name, "write -P 9 0 1M")
    out = tmp_path / f"out.{format_}"
    told = volume(cluster, "export", f"{name}@s", str(out), "--format", format_)
    assert (told["size"], told["format"]) == (48 * MiB, format_)
    assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", format_, str(source), str(out))
    assert out.stat().st_blocks * 512 < 4 * MiB
    assert "is there already" in refused(cluster, "export", name, str(out))


def test_an_image_that_names_other_files_is_not_imported(cluster: Cluster, tmp_path: Path) -> None:
    secret, image = tmp_path / "secret.raw", tmp_path / "overlay.qcow2"
    secret.write_bytes(os.urandom(MiB))
    run("qemu-img", "create", "-f", "qcow2", "-b", str(secret), "-F", "raw", str(image))
    assert "other files" in refused(cluster, "import", str(image), "thief")
    assert "thief" not in {each["name"] for each in volume(cluster, "list")["volumes"]}


def test_limits_are_kept_and_a_bench_shows_them(cluster: Cluster) -> None:
    volume(cluster, "create", "slow", "16M")
    qemu_io(cluster, "slow", "write -P 1 0 16M")
    limits = volume(cluster, "limit", "slow", "--read-iops", "100", "--bandwidth", "50M", "--burst", "0.1")
    assert limits["volume"]["limits"]["read_iops"] == 100
    assert "100 requests/s of reads" in cluster.holdfast("volume", "limit", "slow")
    loads = {each["load"]: each for each in volume(cluster, "bench", "slow", "--seconds", "1")["loads"]}
    assert loads["4 KiB random reads, 32 at once"]["iops"] <= 140
    volume(cluster, "limit", "slow", "--read-iops", "0", "--bandwidth", "0")
    loads = {each["load"]: each for each in volume(cluster, "bench", cluster.nbd("slow"), "--seconds", "1")["loads"]}
    assert loads["4 KiB random reads, 32 at once"]["iops"] > 140
    qemu_io(cluster, "slow", "read -P 1 0 16M")
    before = volume(cluster, "list")
    written = volume(cluster, "bench", "--write", "--seconds", "0.5")["loads"]
    assert any("flush" in each["load"] and each["iops"] > 0 for each in written)
    assert volume(cluster, "list") == before, "what was made for it is gone"
    assert "not overwritten" in refused(cluster, "bench", "slow", "--write")


def test_clients_see_what_was_written_to_since_a_snapshot(cluster: Cluster) -> None:
    volume(cluster, "create", "tracked", "32M")
    qemu_io(cluster, "tracked", "write -P 1 0 32M")
    volume(cluster, "snapshot", "tracked", "s")
    qemu_io(cluster, "tracked", "write -P 2 9M 4k")
    said = run("nbdinfo", "--map=holdfast:dirty-since/s", "--json", cluster.nbd("tracked"))
    extents = [(each["offset"], each["length"], each["type"]) for each in json.loads(said)]
    assert extents == [(0, 8 * MiB, 0), (8 * MiB, CHUNK, 1), (12 * MiB, 20 * MiB, 0)]


def test_the_example_of_the_python_client_works(cluster: Cluster) -> None:
    """docs/volumes.md."""
    page = (ROOT / "docs" / "volumes.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    said: list[str] = []
    exec(
        example.replace("~/.local/share/holdfast", str(cluster.directory)),
        {"print": lambda *words: said.append(" ".join(map(str, words)))},
    )
    assert said == ["b'hello'", "monday", "[(4096, 512)]"]


def test_the_python_client_reads_and_writes_like_a_file(cluster: Cluster) -> None:
    volumes = Volumes(cluster.directory)
    volumes.create("file", 8 * MiB)
    with volumes.open("file") as file:
        assert (file.readable(), file.writable(), file.seek(0, os.SEEK_END)) == (True, True, 8 * MiB)
        assert file.read(10) == b""
        with pytest.raises(OSError, match="end of the volume"):
            file.write(b"x")
        file.seek(8 * MiB - 3)
        assert file.write(b"12345") == 3
        file.seek(-3, os.SEEK_END)
        assert file.read() == b"123"
        file.seek(0)
        assert file.write(bytes(range(256)) * 40_000) == 8 * MiB
        file.zero(4096, 4096)
        file.seek(0)
        assert file.read(8192) == (bytes(range(256)) * 16) + bytes(4096)
    volumes.snapshot("file", "s")
    with volumes.open("file@s") as file, pytest.raises(OSError, match="snapshot"):
        file.write(b"x")
    with pytest.raises(VolumesError, match="no volume"):
        volumes.open("nothing")
    with pytest.raises(VolumesError, match="snapshots"):
        volumes.delete("file")
    volumes.delete_snapshot("file", "s")
    volumes.delete("file")
    assert "file" not in {each.name for each in volumes.list()}
