"""tools.volumes: what people write and read."""

import argparse
import asyncio
import shutil
from pathlib import Path
from typing import cast

import pytest

from blockgw.interfaces import BlockSizes, MiB
from blockgw.nbd.protocol import Command
from blockgw.nbd.server import NbdServer
from tests.unit.blockgw.memory_export import MemoryExport, MemoryExports
from tools.data_directory import Cluster
from tools.errors import OperatorError
from tools.volumes import images
from tools.volumes.bench import READS, WRITES
from tools.volumes.load import Connection, Shape
from tools.volumes.showing import limits_shown, seconds_of, shown, size_of, table


@pytest.mark.parametrize(("text", "size"), [("512", 512), ("10G", 10 << 30), ("1.5T", 3 << 39), ("20 GiB", 20 << 30)])
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1.5h", 5400), ("7d", 604_800), ("2 w", 1_209_600)])
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


def test_what_is_neither_is_refused() -> None:
    for text in ("", "ten", "10X", "-1"):
        with pytest.raises(OperatorError):
            size_of(text)
        with pytest.raises(OperatorError):
            seconds_of(text)


def test_figures_are_shown_in_columns_and_units() -> None:
    assert (shown(512), shown(1536), shown(10 << 40)) == ("512 B", "1.5 KiB", "10 TiB")
    assert table(("A", "B"), [("long", "x")]) == ["A     B", "long  x"]
    none = dict.fromkeys(("iops", "read_iops", "write_iops", "bandwidth", "read_bandwidth", "write_bandwidth"), 0)
    assert limits_shown({**none, "burst_s": 1.0}) == ""
    assert limits_shown({**none, "write_iops": 5, "bandwidth": MiB, "burst_s": 2.0}) == (
        "1 MiB/s, 5 requests/s of writes, bursts of 2 s"
    )


@pytest.mark.parametrize("shape", [*READS, *WRITES])
def test_a_load_counts_what_was_answered(shape: Shape, tmp_path: Path) -> None:
    """Also of a volume that takes whole sectors only."""

    async def play() -> None:
        export = MemoryExport("disk", 8 * MiB, block_sizes=BlockSizes(minimum=4096))
        server = NbdServer(MemoryExports(export))
        path = str(tmp_path / "nbd.sock")
        await server.listen_unix(path)
        connection = await Connection.open(f"nbd+unix:///disk?socket={path}")
        found = await connection.run(shape, 0.1, connection.size)
        await connection.close()
        assert found.count >= shape.depth
        assert found.bytes == found.count * shape.block
        assert found.percentile(0.5) <= found.percentile(0.99) <= found.latencies_s[-1]
        assert found.count == len(found.latencies_s)
        assert export.log.count("flush") == (found.count if shape.flush_each else 0)
        assert (export._allocated.count(1) > 0) == (shape.command is Command.WRITE), "reads leave everything as it is"
        await server.close()

    asyncio.run(play())


def test_who_cannot_be_reached_or_has_no_such_volume_is_said_so(tmp_path: Path) -> None:
    async def play() -> None:
        server = NbdServer(MemoryExports())
        path = str(tmp_path / "nbd.sock")
        await server.listen_unix(path)
        with pytest.raises(OperatorError, match="no export"):
            await Connection.open(f"nbd+unix:///disk?socket={path}")
        with pytest.raises(OperatorError, match="cannot be reached"):
            await Connection.open(f"nbd+unix:///disk?socket={path}.other")
        with pytest.raises(OperatorError, match="no URI"):
            await Connection.open("https://disk")
        await server.close()

    asyncio.run(play())


def test_files_that_an_image_names_are_found() -> None:
    plain = {"filename": "a.vmdk", "format": "vmdk", "format-specific": {"data": {"extents": [{"filename": "a.vmdk"}]}}}
    assert images._other_files(plain) == []
    assert images._other_files({"filename": "a", "backing-filename": "/etc/shadow"}) == ["/etc/shadow"]
    external = {"filename": "a", "format-specific": {"data": {"data-file": "b", "extents": [{"filename": "c"}]}}}
    assert images._other_files(external) == ["b", "c"]


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
def test_what_is_imported_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        export = MemoryExport("disk", MiB)
        server = NbdServer(MemoryExports(export))
        path = str(tmp_path / "nbd.sock")
        await server.listen_unix(path)
        image = tmp_path / "image.raw"
        image.write_bytes(b"x" * MiB)
        monkeypatch.setattr(images, "ask_gateway", lambda *_asked, **_about: {})
        monkeypatch.setattr(images, "uri_of", lambda _cluster, name: f"nbd+unix:///{name}?socket={path}")
        given = argparse.Namespace(file=str(image), name="disk", format=None)
        await asyncio.to_thread(images.bring_in, cast(Cluster, None), given)
        assert bytes(export._data) == b"x" * MiB
        assert export.log[-1] == "flush"
        await server.close()

    asyncio.run(play())
