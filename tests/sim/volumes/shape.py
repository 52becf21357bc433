"""What is drawn before a simulation of volumes begins, and the paces at which the product works in it.

Leases, and what lingers, end after seconds here, so that volumes change hands many times in a seed; the relations
between these times are as in the product. Nothing relies on them but the time that things take.
"""

import random
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial

import storage.device
from blockgw import lease, openings, tenancy
from blockgw.volumes import opening, volume
from storage.chunks.journal import Rhythm
from storage.chunks.store import ChunkStore, Tuning
from tests.sim.shape import Shape

TTL_S, RENEW_S, MARGIN_S = 3.0, 0.9, 0.3
LINGER_S = 0.5
PATIENCE_S = 6.0
KiB = 1 << 10


class Theme(Enum):
    """What there is most trouble of."""

    POWER = "power"
    OWNERS = "owners"
    PATHS = "paths"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class VolumeShape:
    """Of a cluster with gateways, and of what is asked of it."""

    cluster: Shape
    theme: Theme
    gateway_count: int
    volume_count: int
    client_count: int  # of each volume
    spans_chunks: bool  # blocks at the end of chunks, too: such chunks cost 4 MiB of memory on each device
    sync_delay_s: float  # of a journal that nobody flushes
    flush_share: float  # of what clients do
    clocks_stand: bool  # of gateways: none finds by itself that its lease is over, and only the fence stops it
    moves: float  # how likely it is that a client takes another gateway than the one before
    flushes_each: bool  # clients flush each write before the next, and are few


def shape_of(chance: random.Random) -> VolumeShape:
    """Return the shape that a seed has."""
    theme = chance.choice(list(Theme))
    shape = VolumeShape(
        Shape(
            chance.choice([3, 3, 4]),
            spare_count=0,
            proxy_count=0,
            delay_s=chance.choice([0.0003, 0.002, 0.01]),
            unevenness=chance.choice([1.0, 1.0, 5.0]),
            sync_s=chance.choice([0.0002, 0.002, 0.01]),
        ),
        theme,
        gateway_count=chance.choice([2, 2, 3]),
        volume_count=chance.choice([1, 1, 2]),
        client_count=chance.choice([2, 4, 6]),
        spans_chunks=chance.random() < 0.15,
        sync_delay_s=30.0 if theme is Theme.POWER else chance.choice([0.05, 5.0, 30.0]),
        flush_share=chance.choice([0.03, 0.1, 0.25]),
        clocks_stand=theme is Theme.OWNERS or chance.random() < 0.5,
        moves=0.3 if theme is Theme.OWNERS else chance.choice([0.1, 0.3]),
        flushes_each=chance.random() < 0.25,
    )
    return replace(shape, client_count=2) if shape.flushes_each else shape


def hasten(shape: VolumeShape) -> None:
    """Set the paces of a seed, for good."""
    openings.TTL_S, openings.RENEW_S = TTL_S, RENEW_S  # type: ignore[attr-defined]
    openings.LINGER_S = LINGER_S
    lease.TTL_S, lease.RENEW_S, lease.MARGIN_S = TTL_S, RENEW_S, MARGIN_S
    tenancy.FENCE_S = volume.PATIENCE_S = opening.PATIENCE_S = PATIENCE_S
    if shape.clocks_stand:
        lease.Tenure.holds = lambda _self, _now_s: True  # type: ignore[assignment,method-assign]
    tuning = Tuning(
        Rhythm(inline_bytes=4 * KiB, sync_delay_s=shape.sync_delay_s),
        segment_bytes=256 * KiB,
        checkpoint_bytes=128 * KiB,
        checkpoint_delay_s=3.0,
        behind_bytes=16 * KiB,
        open_files=8,
    )
    storage.device.ChunkStore = partial(ChunkStore, tuning=tuning)  # type: ignore[assignment,attr-defined]
