"""What the replicas of a chunk say is there, and what follows from that. Pure.

A chunk lies in some of the layers of its volume's chain (blockgw.chain); in each it has a version: (epoch, sequence) of
the last write. A replica that holds a version holds exactly what the writer had written by then, so the newest
version on any quorum contains all that was acknowledged.

It may contain more: writes whose writer has died before a quorum had them. Two quorums may differ in those, as long as
nobody has *settled* the chunk: written it on a quorum under a newer epoch. A chunk that the writer of this epoch has
written, or found the same on all replicas, is settled.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class ChunkVersion(NamedTuple):
    """Of a chunk in one layer. Compared as a pair."""

    epoch: int
    sequence: int


NOTHING = ChunkVersion(0, 0)  # there is nothing of the chunk in that layer


@dataclass(frozen=True, slots=True)
class Agreement:
    """What is to be taken for the content of a chunk."""

    versions: tuple[ChunkVersion, ...]  # by layer of the chain, the newest layer first
    current: frozenset[int]  # devices that have all that
    unanimous: bool  # every replica has answered, and they all have the same in the newest layer

    @property
    def head(self) -> ChunkVersion:
        """The version in the newest layer."""
        return self.versions[0]

    @property
    def depth(self) -> int | None:
        """Where in the chain the chunk's bytes are; None: nowhere, they are zeros."""
        return next((depth for depth, version in enumerate(self.versions) if version != NOTHING), None)


def agree(answers: Mapping[int, Sequence[ChunkVersion]], members: Collection[int]) -> Agreement:
    """Return what follows from `answers` of a quorum: by device, the versions of a chunk in each layer of the chain.

    A device is current when it has the newest version of the layer that is read, and of the head.
    """
    newest = tuple(max(versions) for versions in zip(*answers.values(), strict=True))
    depth = next((depth for depth, version in enumerate(newest) if version != NOTHING), None)
    current = frozenset(
        device
        for device, versions in answers.items()
        if versions[0] == newest[0] and (depth is None or versions[depth] == newest[depth])
    )
    heads = {versions[0] for versions in answers.values()}
    return Agreement(newest, current, len(heads) == 1 and answers.keys() >= set(members))
