"""Which partitions a device compares with which others, while rings change too. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from ring.lookup import Ring
from storage.client import Rings
from storage.rings.document import Stage
from storage.rings.moves import held_partitions


def shared_partitions(rings: Rings, name: str, device_id: int) -> Mapping[int, Sequence[int]]:
    """Return, by other device, the partitions of a ring that it holds together with `device_id`.

    Those that join are not compared with while they copy: they know best what they lack (join).
    """
    placements = [rings.current[name]]
    if rings.stage is Stage.SERVING:
        placements += [ring for ring in (rings.target.get(name),) if ring is not None]
    shared: dict[int, list[int]] = {}
    for partition in _held(placements, device_id):
        for other in dict.fromkeys(device.id for ring in placements for device in ring.primaries(partition)):
            if other != device_id:
                shared.setdefault(other, []).append(partition)
    return shared


def _held(placements: Iterable[Ring], device_id: int) -> list[int]:
    held: set[int] = set()
    for ring in placements:
        held.update(held_partitions(ring, device_id))
    return sorted(held)


class Shares:
    """What `shared_partitions` says, worked out anew when the rings have changed.

    Keeps no rings: who holds old ones counts as using them.
    """

    def __init__(self, name: str, device_id: int) -> None:
        self._name = name
        self._device_id = device_id
        self._version = 0
        self._shared: Mapping[int, Sequence[int]] = {}

    def of(self, rings: Rings) -> Mapping[int, Sequence[int]]:
        """Return the shares by `rings`."""
        if rings.version != self._version:
            self._shared = shared_partitions(rings, self._name, self._device_id)
            self._version = rings.version
        return self._shared
