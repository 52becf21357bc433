"""Encrypted volumes on devices: what clients read, what devices see, and who has the key."""

from pathlib import Path

import pytest

from blockgw.catalog.errors import InvalidRequest
from blockgw.encryption import SECTOR, WrongKey
from blockgw.extents import CHUNK
from blockgw.interfaces import Export
from tests.loopback import LoopbackCluster
from tests.unit.blockgw.gateways import CLIENT, MiB, gateways, on_three_devices, read

DATA = b"nobody shall see this" * SECTOR  # 21 sectors


async def write(export: Export, offset: int, data: bytes) -> None:
    await export.write(offset, memoryview(data), True)


def stored(cluster: LoopbackCluster) -> bytes:
    """Return all bytes of all files of all devices."""
    files = [path for device in cluster.devices for path in Path(device.directory).rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in files)


@on_three_devices
async def test_devices_see_nothing_of_what_clients_read(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        for name, encrypted in (("secret", True), ("open", False)):
            await gateway.create(name, 16 * MiB, encrypted=encrypted)
        export = await gateway.open("secret", CLIENT)
        await write(export, CHUNK - 3 * SECTOR, DATA)
        assert await read(export, CHUNK - 3 * SECTOR, len(DATA)) == DATA
        assert await read(export, CHUNK, SECTOR) == DATA[3 * SECTOR : 4 * SECTOR]
        assert await read(export, 0, SECTOR) == bytes(SECTOR)
        assert DATA[:16] not in stored(cluster)
        await write(await gateway.open("open", CLIENT), 0, DATA)
        assert DATA[:16] in stored(cluster)


@on_three_devices
async def test_what_is_given_back_reads_as_zeros(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("secret", 16 * MiB, encrypted=True)
        export = await gateway.open("secret", CLIENT)
        await write(export, 0, DATA)
        await export.trim(SECTOR, 2 * SECTOR, False)
        await export.write_zeroes(5 * SECTOR, SECTOR, False, False, False)
        expected = bytearray(DATA)
        expected[SECTOR : 3 * SECTOR] = bytes(2 * SECTOR)
        expected[5 * SECTOR : 6 * SECTOR] = bytes(SECTOR)
        assert await read(export, 0, len(DATA)) == expected


@on_three_devices
async def test_snapshots_and_clones_have_the_key_of_their_origin(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("secret", 16 * MiB, encrypted=True)
        export = await gateway.open("secret", CLIENT)
        await write(export, 0, DATA)
        await gateway.snapshot("secret", "kept")
        await write(export, 0, bytes(len(DATA)))
        await gateway.clone("secret", "kept", "copy")
        copy = await gateway.open("copy", CLIENT)
        await write(copy, SECTOR, b"c" * SECTOR)
        assert await read(await gateway.open("secret@kept", CLIENT), 0, len(DATA)) == DATA
        assert await read(copy, 0, len(DATA)) == DATA[:SECTOR] + b"c" * SECTOR + DATA[2 * SECTOR :]
        assert await read(export, 0, len(DATA)) == bytes(len(DATA))


@on_three_devices
async def test_clients_must_ask_for_whole_sectors(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("secret", 16 * MiB, encrypted=True)
        assert (await gateway.open("secret", CLIENT)).block_sizes.minimum == SECTOR
        with pytest.raises(InvalidRequest, match="multiple of 4096"):
            await gateway.create("odd", 16 * MiB + 512, encrypted=True)
        with pytest.raises(InvalidRequest, match="multiple of 4096"):
            await gateway.resize("secret", 32 * MiB + 512, False)


@on_three_devices
async def test_without_the_clusters_key_a_volume_is_not_opened(cluster: LoopbackCluster) -> None:
    async with gateways(cluster, 2, (b"k" * 32, b"x" * 32)) as (ours, other):
        made = await ours.create("secret", 16 * MiB, encrypted=True)
        with pytest.raises(WrongKey):
            await other.open("secret", CLIENT)
        assert made.key not in repr(made)
