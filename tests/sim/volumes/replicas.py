"""Whether the replicas of each chunk are equal in the end, in version and in bytes, as far as somebody reads them."""

from collections.abc import Iterator

from blockgw.catalog.volume import Chain, Volume
from blockgw.extents import chunk_count
from storage.chunks.chunk import lay_over
from storage.chunks.key import chunk_key
from storage.chunks.store import ChunkStore
from storage.chunks.version import NOTHING, Version
from storage.rings.document import OBJECT
from tests.sim.volumes.history import BLOCK
from tests.sim.volumes.world import VolumeWorld

Held = tuple[Version, dict[int, bytes]]  # a version, and what is not zeros


def differences(world: VolumeWorld, blocks: tuple[int, ...]) -> list[str]:
    """Return the chunks, as volumes and snapshots read them, of which replicas differ in the blocks given."""
    found = []
    for volume in world.volumes():
        for name, size, chain in _chains(volume):
            for number in range(chunk_count(size)):
                found += _differences(world, f"{name} chunk {number}", volume, chain, number, blocks)
    return found


def _chains(volume: Volume) -> Iterator[tuple[str, int, Chain]]:
    yield volume.name, volume.size, volume.chain
    for snapshot in volume.snapshots:
        yield f"{volume.name}@{snapshot.name}", snapshot.size, snapshot.chain


def _differences(
    world: VolumeWorld, what: str, volume: Volume, chain: Chain, number: int, blocks: tuple[int, ...]
) -> list[str]:
    """Return how the replicas of one chunk differ: [] or one line."""
    placement = next(host.placement for host in world.gateways if host.placement is not None)
    family = bytes.fromhex(volume.family)
    members = placement.replicas(OBJECT, chunk_key(placement.names, family, number)).members
    stores = {device: _store(world, device) for device, _peer in members}
    for layer in chain:
        held = {device: _held(store, family, number, layer, blocks) for device, store in stores.items()}
        if all(version == NOTHING for version, _content in held.values()):
            continue
        if all(each == next(iter(held.values())) for each in held.values()):
            return []
        versions = {device: version for device, (version, _content) in held.items()}
        same = "differ" if len(set(versions.values())) > 1 else "are equal, bytes differ"
        return [f"{what}, layer {layer:x}: versions {same}: {versions}"]
    return []


def _store(world: VolumeWorld, device: int) -> ChunkStore:
    running = world.devices[device].device
    assert running is not None, "all devices are up in the end"
    return running._chunks


def _held(store: ChunkStore, family: bytes, number: int, layer: int, blocks: tuple[int, ...]) -> Held:
    """Return what a device has of a chunk, with what is on its way into the file."""
    chunk = store.table.find(family, number, layer)
    if chunk is None:
        return NOTHING, {}
    found: dict[int, bytes] = {}
    for start in blocks:
        buffer = bytearray(BLOCK)
        if chunk.exists:
            store.disk.preadv(store.files.fd(chunk), (buffer,), start)
        lay_over(buffer, start, chunk.pending)
        if any(buffer):
            found[start] = bytes(buffer)
    return chunk.head, found
