"""blockgw.usage: bytes that are counted once, and differences that are exact."""

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from blockgw.extents import CHUNK
from blockgw.usage import SECTOR, unequal
from tests.loopback import LoopbackCluster
from tests.unit.blockgw.gateways import CLIENT, MiB, gateways, on_three_devices


@given(st.lists(st.integers(0, 270), max_size=20), st.integers(1, 140_000))
@settings(deadline=None)
def test_differences_are_the_sectors_that_differ(places: list[int], length: int) -> None:
    one = random.Random(length).randbytes(length)
    other = bytearray(one)
    for place in places:
        if place * SECTOR < length:
            other[min(place * SECTOR + place, length - 1)] ^= 0xFF
    expected = {at // SECTOR for at in range(length) if one[at] != other[at]}
    found = list(unequal(one, bytes(other)))
    covered = {sector for start, size in found for sector in range(start // SECTOR, -(-(start + size) // SECTOR))}
    assert covered == expected
    assert all(start + size < following for (start, size), (following, _) in itertools.pairwise(found))
    assert all(start + size <= length for start, size in found)


@on_three_devices
async def test_each_layer_is_counted_for_the_oldest_who_reads_it(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 40 * MiB)
        export = await gateway.open("disk", CLIENT)
        await export.write(0, memoryview(b"1" * MiB), False)
        await export.write(CHUNK, memoryview(b"1" * MiB), False)
        await gateway.snapshot("disk", "monday")
        await export.write(0, memoryview(b"2" * 4096), False)
        await gateway.snapshot("disk", "tuesday")
        await export.flush()
        monday, tuesday, head = await gateway.usage("disk")
        assert (monday.snapshot, tuesday.snapshot, head.snapshot) == ("monday", "tuesday", None)
        assert (monday.chunks, tuesday.chunks, head.chunks) == (2, 1, 0)
        assert 2 * MiB <= monday.data <= 3 * MiB
        assert monday.stored == 3 * monday.data
        await gateway.clone("disk", "monday", "copy")
        own, parents = await gateway.usage("copy")
        assert (own.chunks, own.inherited) == (0, False)
        assert (parents.chunks, parents.inherited) == (2, True)


@on_three_devices
async def test_a_diff_is_exact_and_a_fast_one_tells_whole_chunks(cluster: LoopbackCluster) -> None:
    async with gateways(cluster) as (gateway,):
        await gateway.create("disk", 10 * MiB)
        export = await gateway.open("disk", CLIENT)
        await export.write(0, memoryview(b"1" * MiB), False)
        await gateway.snapshot("disk", "monday")
        await export.write(1024, memoryview(b"2" * 1024), False)
        await export.write(9 * MiB, memoryview(b"2" * MiB), False)
        await export.write(4 * MiB, memoryview(bytes(512)), False)
        exact = [each async for _chunk, extents in gateway.diff("disk", "monday") for each in extents]
        assert exact == [(1024, 1024), (9 * MiB, MiB)]
        fast = [each async for _chunk, extents in gateway.diff("disk", "monday", fast=True) for each in extents]
        assert fast == [(0, CHUNK), (CHUNK, CHUNK), (2 * CHUNK, 2 * MiB)]
        await gateway.snapshot("disk", "tuesday")
        await export.write(0, memoryview(b"3" * 512), False)
        exact = [each async for _chunk, extents in gateway.diff("disk", "monday", "tuesday") for each in extents]
        assert exact == [(1024, 1024), (9 * MiB, MiB)]
