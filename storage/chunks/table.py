"""Which chunks are here: their names in memory, of all of them; what else is known, of those that were asked for.

Names are read when the store is opened, a chunk's version when it is first asked for, from its file. So a start costs
what the names cost, however much data there is, and a version that nobody needs costs nothing.

Who has asked for the names is told from then on where something changed (`take_touched`).
"""

from collections.abc import Callable, Iterable, Iterator

from cluster.wire import RemoteError
from storage.chunks.chunk import Chunk
from storage.chunks.files import ChunkFiles, FileDamaged
from storage.chunks.version import NOTHING
from storage.messages import Refusal

_LAYER_BITS = 64  # a chunk's place in its family is one number: chunk number, then layer


class Table:
    """Of one device."""

    def __init__(self, files: ChunkFiles) -> None:
        """Read the names. Blocking."""
        self._files = files
        self._families: dict[bytes, dict[int, Chunk | None]] = {}  # None: there is a file that nobody has asked for
        self.fences: dict[tuple[bytes, int], int] = {}  # (family, layer) -> oldest epoch that may write it
        self.damaged: dict[tuple[bytes, int, int], None] = {}  # family, number, layer of what the disk could not read
        self.on_damage: Callable[[], None] = lambda: None
        self._touched: set[tuple[bytes, int]] | None = None  # places where something changed; None: nobody asks
        for family in files.families():
            self._families[family] = {_place(*chunk): None for chunk in files.chunks(family)}

    def __repr__(self) -> str:
        return f"Table({len(self)} chunks of {len(self._families)} families)"

    def __len__(self) -> int:
        return sum(map(len, self._families.values()))

    def find(self, family: bytes, number: int, layer: int) -> Chunk | None:
        """Return a chunk that is here, or on its way; None: there is none. RemoteError CORRUPT."""
        chunks = self._families.get(family)
        if chunks is None:
            return None
        place = number << _LAYER_BITS | layer
        chunk = chunks.get(place)
        if chunk is not None:
            return chunk
        if place not in chunks:
            return None
        chunk = chunks[place] = self._load(family, number, layer)
        return chunk

    def _load(self, family: bytes, number: int, layer: int) -> Chunk:
        try:
            return self._files.load(family, number, layer)
        except FileDamaged as damaged:
            raise RemoteError(Refusal.CORRUPT, f"{damaged}: it does not say what it is") from damaged
        except OSError as error:
            raise RemoteError(Refusal.CORRUPT, str(error)) from error

    def recovered(self, family: bytes, number: int, layer: int) -> Chunk:
        """Return a chunk as replay finds it: of a file that does not say what it is there is nothing. Blocking."""
        known = self.known(family, number, layer)
        if known is not None:
            return known
        try:
            chunk = self._files.load(family, number, layer)
        except (FileDamaged, FileNotFoundError):
            return Chunk(family, number, layer)
        self.add(chunk)
        return chunk

    def add(self, chunk: Chunk) -> None:
        """Have a chunk here, in the place of what was."""
        self._families.setdefault(chunk.family, {})[_place(chunk.number, chunk.layer)] = chunk
        self.damaged.pop((chunk.family, chunk.number, chunk.layer), None)
        self.note(chunk)

    def drop(self, family: bytes, number: int, layer: int) -> None:
        """Have a chunk here no more."""
        chunks = self._families.get(family)
        self.damaged.pop((family, number, layer), None)
        if chunks is not None:
            place = _place(number, layer)
            chunks.pop(place, None)
            if not chunks:
                del self._families[family]
            if self._touched is not None:
                self._touched.add((family, place))

    def known(self, family: bytes, number: int, layer: int) -> Chunk | None:
        """Return a chunk of which more than the name is known."""
        return self._families.get(family, {}).get(_place(number, layer))

    def numbers(self, family: bytes, layer: int) -> list[int]:
        """Return the numbers of the chunks of a layer that are here, in order."""
        mask = (1 << _LAYER_BITS) - 1
        return sorted(place >> _LAYER_BITS for place in self._families.get(family, ()) if place & mask == layer)

    def loaded(self) -> Iterator[Chunk]:
        """Yield the chunks of which more than the name is known."""
        for chunks in self._families.values():
            yield from (chunk for chunk in chunks.values() if chunk is not None)

    def drop_if_empty(self, chunk: Chunk) -> None:
        """Forget a chunk of which nothing has come into the journal."""
        if chunk.head == NOTHING and not chunk.pending:
            self.drop(chunk.family, chunk.number, chunk.layer)

    def note_damage(self, chunk: Chunk) -> None:
        """Note that the disk could not read a chunk's file: it is to be replaced."""
        place = chunk.family, chunk.number, chunk.layer
        if place not in self.damaged and not chunk.dropped:
            self.damaged[place] = None
            self.on_damage()

    # by place, for who keeps account of all chunks

    def names(self) -> list[tuple[bytes, int]]:
        """Return family and place of every chunk; note changes from now on."""
        self._touched = set()
        return [(family, place) for family, chunks in self._families.items() for place in chunks]

    def note(self, chunk: Chunk) -> None:
        """Note that a chunk has changed."""
        if self._touched is not None:
            self._touched.add((chunk.family, chunk.number << _LAYER_BITS | chunk.layer))

    def take_touched(self) -> Iterable[tuple[bytes, int]]:
        """Return the places where something has changed since this was asked last, or the names were."""
        if not self._touched:
            return ()
        touched, self._touched = self._touched, set()
        return touched

    def has(self, family: bytes, place: int) -> bool:
        """Tell whether there is a chunk at a place, or one is on its way there."""
        return place in self._families.get(family, ())

    def at(self, family: bytes, place: int) -> Chunk | None:
        """Return the chunk at a place, if more than its name is known."""
        return self._families.get(family, {}).get(place)

    def layers(self) -> set[tuple[bytes, int]]:
        """Return the layers that have chunks here, with their families. It looks at all names."""
        return {
            (family, number_and_layer(place)[1]) for family, chunks in self._families.items() for place in chunks
        }

    # fences

    def epoch_seen(self, family: bytes, layer: int) -> int:
        """Return the oldest epoch that may write a layer."""
        return self.fences.get((family, layer), 0)

    def raise_fence(self, family: bytes, layer: int, epoch: int) -> None:
        """Let no older epoch than this write a layer any more."""
        if epoch > self.fences.get((family, layer), 0):
            self.fences[family, layer] = epoch


def _place(number: int, layer: int) -> int:
    return number << _LAYER_BITS | layer


def number_and_layer(place: int) -> tuple[int, int]:
    """Return what a place in a family stands for."""
    return place >> _LAYER_BITS, place & (1 << _LAYER_BITS) - 1
