"""What a device that lost records says of itself at start: storage.blobs.trust."""

import shutil
from pathlib import Path

from tests.unit.storage.blob_stores import Device, clock, got, key_of, put, run
from tests.unit.storage.damage import flip, place_of


async def crashed(path: Path, count: int = 30) -> tuple[Path, Path, int]:
    """Return what a killed device leaves, and which record of it is to be damaged: one in the middle."""
    device = Device(path / "d", boot_id="1")
    async with device as store:
        for n in range(count):
            await store.put(put(f"s{n}", clock.now()), b"x" * 200)
        segment, offset = place_of(device, f"s{count // 2}")
        copy = device.crash()
    return copy, copy / "log" / segment.name, offset


def test_damage_to_what_a_trusted_index_knows_is_no_loss(tmp_path: Path) -> None:
    async def body() -> None:
        copy, segment, offset = await crashed(tmp_path)
        async with Device(copy, boot_id="1"):
            pass  # a clean stop: the index has everything
        flip(segment, offset + 8)
        device = Device(copy, boot_id="1")
        async with device as store:
            assert store.lost_data == ""
            assert store.stat(key_of("s15")) is not None

    run(body)


def test_records_that_an_index_made_anew_cannot_know_are_lost_and_that_is_told_until_it_is_known(
    tmp_path: Path,
) -> None:
    async def body() -> None:
        copy, segment, offset = await crashed(tmp_path)
        flip(segment, offset + 8)
        for _ in range(2):  # the second start has a clean index; it is told by the first
            async with Device(copy, boot_id="2") as store:
                assert "damaged" in store.lost_data
                assert store.stat(key_of("s15")) is None
        async with Device(copy, boot_id="2") as store:
            store.loss_is_known()
            assert store.lost_data == ""
        async with Device(copy, boot_id="2") as store:
            assert store.lost_data == ""

    run(body)


def test_damage_to_the_data_of_a_record_is_no_loss_its_version_is_known(tmp_path: Path) -> None:
    async def body() -> None:
        copy, segment, offset = await crashed(tmp_path)
        flip(segment, offset + 180)
        async with Device(copy, boot_id="2") as store:
            assert store.lost_data == ""
            assert store.stat(key_of("s15")) is not None
            assert (await got(store, "s16"))[1] == b"x" * 200

    run(body)


def test_a_log_that_ends_before_what_the_index_knew_to_be_durable_has_lost_it(tmp_path: Path) -> None:
    async def body() -> None:
        copy, segment, offset = await crashed(tmp_path)
        async with Device(copy, boot_id="1"):
            pass
        held = shutil.copytree(copy, tmp_path / "cut")
        for path in sorted((held / "log").glob("*.segment"))[1:]:
            path.unlink()
        with (held / "log" / segment.name).open("r+b") as file:
            file.truncate(offset)
        async with Device(held, boot_id="1") as store:
            assert "ends before" in store.lost_data

    run(body)


def test_a_start_that_dies_while_it_reads_the_log_is_not_believed(tmp_path: Path) -> None:
    async def body() -> None:
        copy, _segment, _offset = await crashed(tmp_path)
        (copy / "blobs" / "index" / "state").write_bytes(b"opening\n")
        async with Device(copy, boot_id="1") as store:
            assert store.status()["index_rebuilt"]
            assert store.status()["blobs"] == 30

    run(body)
