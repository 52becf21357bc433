"""The catalog in coordination: `volumes/<id>` has a volume, `volume-names/<name>` the id of who is called so, and
`volume-garbage/<family>/<layer>` says that a layer may be nobody's.

Each change is one compare-and-set of one document, so there is nothing to be undone after a crash:

- create: the name first, if it is nobody's, then the volume. A name that names no volume is free; so the name is looked
  at once more in the end, and who has lost it takes his volume back.
- delete: the volume first, then its name.
- clone: the new volume first; then its parent is looked at, and the clone is taken back if the snapshot is going.
- delete a snapshot: it is marked first; then all volumes are looked at, and the mark is taken back if one is its
  clone. Whichever of the two is first, the other sees it: a snapshot never goes from under a clone.

Calls block, as those of coordination do.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from blockgw.catalog import record, volume
from blockgw.catalog.errors import Busy, NameTaken, NoSuchVolume, Overtaken, SnapshotInUse
from blockgw.catalog.family import Family
from blockgw.catalog.volume import Snapshot, Volume
from cluster.coordination.errors import Conflict
from cluster.coordination.interface import ABSENT, Coordination

VOLUMES, NAMES, DOOMED = "volumes/", "volume-names/", "volume-garbage/"
_TRIES = 20  # of a change that others come before


class Known(NamedTuple):
    """A volume, and the version at which coordination has it."""

    version: int
    volume: Volume


class Catalog:
    """All volumes of a cluster."""

    def __init__(self, coordination: Coordination, entropy: Callable[[int], bytes], now_us: Callable[[], int]) -> None:
        self._coordination = coordination
        self._entropy = entropy
        self._now_us = now_us
        self._epoch: int | None = None  # of whoever changes volumes; None: it is no matter who has them

    def owned(self, epoch: int) -> "Catalog":
        """Return the catalog for who has a volume open under `epoch`: `change` raises Overtaken if he has no more."""
        owned = Catalog(self._coordination, self._entropy, self._now_us)
        owned._epoch = epoch
        return owned

    # reading

    def find(self, name: str) -> Volume:
        """Return the volume called `name`. Raise NoSuchVolume."""
        return self._find(name).volume

    def get(self, volume_id: str) -> Volume:
        """Return the volume of an id. Raise NoSuchVolume."""
        known = self._get(volume_id)
        if known is None:
            raise NoSuchVolume(f"no volume has the id {volume_id}")
        return known.volume

    def all(self) -> list[Volume]:
        """Return all volumes, those in the trash too, by name."""
        found = [record.decode(entry.data) for entry in self._coordination.range(VOLUMES)]
        return sorted(found, key=lambda each: each.name)

    def clones(self, parent: Volume, snapshot: Snapshot | None = None) -> list[Volume]:
        """Return the volumes that were cloned from `parent`, or from one snapshot of it, and still read through it."""
        return [
            each
            for each in self.all()
            if each.parent is not None
            and each.parent.volume_id == parent.id
            and (snapshot is None or each.parent.snapshot_id == snapshot.id)
        ]

    def _get(self, volume_id: str) -> Known | None:
        value = self._coordination.get(VOLUMES + volume_id)
        return None if value is None else Known(value.version, record.decode(value.data))

    def _find(self, name: str) -> Known:
        value = self._coordination.get(NAMES + name)
        known = None if value is None else self._get(value.data.decode())
        if known is None or known.volume.name != name:
            raise NoSuchVolume(f"there is no volume {name}")
        return known

    # changing

    def create(self, name: str, size: int, description: str = "", key: str = "") -> Volume:
        """Make an empty volume; with a `key` as in `Volume`, an encrypted one. Raise InvalidRequest, NameTaken."""
        made = Volume(
            self._new_id(),
            volume.check_name(name),
            volume.check_size(size, bool(key)),
            self._new_id(),
            (self.new_layer(),),
            self._now_us(),
            description=description,
            key=key,
        )
        self._add(made)
        return made

    def clone(self, parent_name: str, snapshot_name: str, name: str) -> Volume:
        """Make a volume that begins as a snapshot of another one. Raise SnapshotInUse when that is being deleted."""
        parent = self.find(parent_name)
        made = volume.cloned(parent, snapshot_name, self._new_id(), name, self.new_layer(), self._now_us())
        self._add(made)
        try:
            volume.cloned(self.find(parent_name), snapshot_name, made.id, name, made.layer, made.created_us)
        except BaseException:
            self.remove(made)
            raise
        return made

    def change(self, name: str, decide: Callable[[Volume], Volume]) -> Volume:
        """Change a volume as `decide` says, which is asked again when somebody came between. Raise what it raises."""
        for _ in range(_TRIES):
            known = self._find(name)
            if self._epoch is not None and known.volume.epoch != self._epoch:
                raise Overtaken(f"{name} was opened by another gateway")
            changed = decide(known.volume)
            try:
                if changed != known.volume:
                    self._coordination.put(VOLUMES + changed.id, record.encode(changed), known.version)
            except Conflict:
                continue
            return changed
        raise Busy(f"others change {name} all the time")

    def delete_snapshot(self, name: str, snapshot_name: str) -> Volume:
        """Give up a snapshot. Raise SnapshotInUse when clones read through it."""
        marked = self.change(name, lambda each: volume.marked_for_deletion(each, snapshot_name))
        clones = self.clones(marked, marked.snapshot(snapshot_name))
        if clones:
            self.change(name, lambda each: volume.spared(each, snapshot_name))
            names = ", ".join(clone.name for clone in clones[:5])
            raise SnapshotInUse(f"snapshot {snapshot_name} of {name} has clones: {names}; flatten or delete them first")
        self.doom(marked.family, volume.given_up(marked, volume.without_snapshot(marked, snapshot_name)))
        inherited = self.family(marked.family).inherited(marked)
        return self.change(
            name, lambda each: volume.independent(volume.without_snapshot(each, snapshot_name), inherited)
        )

    def family(self, family: str) -> Family:
        """Return the volumes that share layers."""
        return Family(each for each in self.all() if each.family == family)

    # layers that are nobody's

    def doom(self, family: str, layers: Iterable[int]) -> None:
        """Note that layers may be nobody's soon: before chains are changed, so that none is forgotten."""
        for layer in layers:
            self._coordination.put(f"{DOOMED}{family}/{layer:016x}", b"")

    def doomed(self) -> dict[str, list[int]]:
        """Return what was noted: layers, by family."""
        found: dict[str, list[int]] = {}
        for entry in self._coordination.range(DOOMED):
            family, _slash, layer = entry.key.removeprefix(DOOMED).partition("/")
            found.setdefault(family, []).append(int(layer, 16))
        return found

    def dropped(self, family: str, layer: int) -> None:
        """Forget a layer that no device has any more."""
        self._coordination.delete(f"{DOOMED}{family}/{layer:016x}")

    def remove(self, doomed: Volume) -> None:
        """Forget a volume. Its layers are nobody's from now on, but for those that clones share."""
        self._coordination.delete(VOLUMES + doomed.id)
        value = self._coordination.get(NAMES + doomed.name)
        if value is not None and value.data == doomed.id.encode():
            try:
                self._coordination.delete(NAMES + doomed.name, value.version)
            except Conflict:
                return  # it is somebody else's already

    def new_layer(self) -> int:
        """Return a layer that nobody has: drawn at random from so many that it needs no counter."""
        return int.from_bytes(self._entropy(8), "big") >> 1 | 1

    def _new_id(self) -> str:
        return self._entropy(16).hex()

    def _add(self, made: Volume) -> None:
        key = NAMES + made.name
        value = self._coordination.get(key)
        if value is not None:
            owner = self._get(value.data.decode())
            if owner is not None and owner.volume.name == made.name:
                raise NameTaken(f"there is a volume {made.name} already")
        try:
            self._coordination.put(key, made.id.encode(), ABSENT if value is None else value.version)
        except Conflict:
            raise NameTaken(f"there is a volume {made.name} already") from None
        self._coordination.put(VOLUMES + made.id, record.encode(made), ABSENT)
        value = self._coordination.get(key)
        if value is None or value.data != made.id.encode():  # it looked free before the volume was there
            self._coordination.delete(VOLUMES + made.id)
            raise NameTaken(f"somebody else makes a volume {made.name} just now")
