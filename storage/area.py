"""Parts of what is on a device that scrub reads, each from its beginning to its end in pieces of its own choosing."""

from typing import NamedTuple, Protocol


class Piece(NamedTuple):
    """What one step has read."""

    size: int  # bytes
    cost: int  # bytes that it counts for, where it is not the bytes that take the time
    position: str | None  # where to go on; None: that was the end
    share: float  # of the area that lies before it, 0 to 1


class Area(Protocol):
    """One part. What it finds damaged it reports to whoever keeps it; it only reads."""

    name: str

    @property
    def found_count(self) -> int:
        """Damage found since the device was opened, beside that of versions, which are listed elsewhere."""

    @property
    def healed_count(self) -> int:
        """What of it was made good."""

    async def size(self) -> int:
        """Return about how many bytes there are."""

    async def step(self, position: str) -> Piece:
        """Read a bounded piece at a position that a step has given, or "" for the beginning.

        Positions outlive the process. What is no more where one points is passed over.
        """

    def close(self) -> None:
        """Let go of what is open."""
