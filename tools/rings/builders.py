"""The builders of a cluster's rings, in coordination beside the rings that they made.

    builder/NAME/DIGEST     the builder (ring.builder_file) that made the ring NAME whose file is DIGEST

A builder is stored before its ring is published. So the rings in force have their builders, whoever dies in
between; and when a change is cancelled, those of before are in force again. What is left then are builders of
no ring, which the next `collect` removes.
"""

from collections.abc import Collection, Mapping
from hashlib import sha256

from cluster.coordination.interface import Coordination
from ring import builder_file, file
from ring.builder import RingBuilder
from ring.errors import RingError
from ring.lookup import Ring
from tools.errors import OperatorError

Builders = Mapping[str, RingBuilder]  # by name of the ring
_PREFIX = "builder/"


class BuilderStore:
    """The builders in coordination."""

    def __init__(self, coordination: Coordination) -> None:
        self._coordination = coordination

    def load(self, rings: Mapping[str, str]) -> dict[str, RingBuilder]:
        """Return the builders of the rings that have these digests, by name. Raise OperatorError."""
        return {name: self._load(name, digest) for name, digest in rings.items()}

    def _load(self, name: str, digest: str) -> RingBuilder:
        value = self._coordination.get(_key(name, digest))
        if value is None:
            raise OperatorError(f"coordination lacks the builder of the ring {name}: restore a copy of it")
        try:
            return builder_file.load(value.data)
        except RingError as error:
            raise OperatorError(f"the builder of the ring {name} cannot be used: {error}") from error

    def save(self, builders: Builders) -> dict[str, Ring]:
        """Store `builders`, each for the ring that it makes; return these rings."""
        rings = {name: builder.to_ring() for name, builder in builders.items()}
        for name, ring in rings.items():
            self._coordination.put(_key(name, digest_of(ring)), builder_file.dump(builders[name]))
        return rings

    def collect(self, used: Collection[str]) -> None:
        """Remove the builders of rings whose digests are not in `used`."""
        for entry in self._coordination.range(_PREFIX):
            if entry.key.rpartition("/")[2] not in used:
                self._coordination.delete(entry.key)


def digest_of(ring: Ring) -> str:
    """Return the name under which `storage.rings.store` keeps a ring."""
    return sha256(file.dump(ring)).hexdigest()


def _key(name: str, digest: str) -> str:
    return f"{_PREFIX}{name}/{digest}"
