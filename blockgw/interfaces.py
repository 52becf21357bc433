"""What the NBD server needs: volumes that are open, and somebody who opens them."""

from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

KiB = 1024
MiB = 1024 * KiB

Buffer: TypeAlias = bytes | bytearray | memoryview
# In order; a number stands for a hole of so many zero bytes.
Pieces: TypeAlias = list[Buffer | int] | tuple[Buffer | int, ...]
Extent: TypeAlias = tuple[int, int]  # bytes, flags; a bare tuple, since there may be many


class BlockSizes(NamedTuple):
    """What a client is told about requests, in bytes: any multiple of `minimum` up to `maximum` is served."""

    minimum: int = 1
    preferred: int = 4 * KiB
    maximum: int = 32 * MiB


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks for a volume."""

    address: str  # of TCP; empty on a unix socket
    secure: bool = False  # through TLS
    identity: str = ""  # what TLS has proved: the common name of a certificate, or the name of a pre-shared key
    holder: str = ""  # for whom it asks (`holders`); empty: it does not say
    seal: str = field(default="", repr=False)  # by which it is let in as that (`grants`); empty: it claims none

    def __str__(self) -> str:
        return f"{self.identity or 'anonymous'} at {self.address or 'a unix socket'}"


class Described(Protocol):
    """What a client is told of a volume before it uses it."""

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def read_only(self) -> bool: ...
    @property
    def description(self) -> str: ...
    @property
    def block_sizes(self) -> BlockSizes: ...
    @property
    def multi_conn(self) -> bool:
        """Whether a flush on one connection covers what was answered on others, and all see the same data."""

    @property
    def contexts(self) -> Sequence[str]:
        """Names of the metadata contexts that `block_status` knows."""


@dataclass(frozen=True, slots=True)
class Description:
    """The same of a volume that need not be open. `Described`."""

    name: str
    size: int  # bytes
    read_only: bool
    description: str
    block_sizes: BlockSizes
    multi_conn: bool
    contexts: Sequence[str]


class Export(Described, Protocol):
    """A volume that is open.

    Offsets and lengths are in bytes, and lie within `size`. Operations start when they are called, in the
    order of the calls; what they return is awaited once. They raise VolumeError, or the awaited does.
    A flush covers the writes that were answered before it was called.
    """

    def read(self, offset: int, length: int) -> Pieces | Awaitable[Pieces]:
        """Return `length` bytes. The pieces are sent before they are let go of, and not changed."""

    def write(self, offset: int, data: memoryview, fua: bool) -> Awaitable[object]:
        """Write. Nobody else writes to `data` ever again, so it may be kept. `fua`: done when durable."""

    def write_zeroes(
        self, offset: int, length: int, fua: bool, may_trim: bool, fast: bool
    ) -> Awaitable[object]:
        """Make it read as zeros; with `may_trim`, holes will do. `fast`: NotSupported if it is as slow as a write."""

    def trim(self, offset: int, length: int, fua: bool) -> Awaitable[object]:
        """Give space back as far as that is possible; what is read there afterwards is undefined."""

    def flush(self) -> Awaitable[object]:
        """Make durable what was answered."""

    def cache(self, offset: int, length: int) -> Awaitable[object]:
        """Expect reads there soon."""

    def block_status(self, context: str, offset: int, length: int) -> Awaitable[Sequence[Extent]]:
        """Return extents from `offset` on: at least one, all of positive length; they may end early, or go beyond."""


class Exports(Protocol):
    """Who has volumes."""

    def list(self, client: Client) -> Iterable[str]:
        """Return the names of the volumes that are shown to this client; clients take it that they may open them."""

    async def describe(self, name: str, client: Client) -> Description:
        """Tell of a volume without opening it: whoever uses it goes on. Raises as `open` does."""

    async def open(self, name: str, client: Client) -> Export:
        """Open a volume for one connection. Raise UnknownExport, NotAllowed, TlsRequired or another VolumeError."""

    def release(self, export: Export) -> None:
        """Take back what `open` returned: this connection needs it no longer, nothing of it is under way."""
