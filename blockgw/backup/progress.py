"""How far a backup, or a restore, is."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias


class Progress(NamedTuple):
    """All in bytes."""

    done: int  # of the volume
    total: int  # of the volume: what there is to do
    moved: int  # of objects


Show: TypeAlias = Callable[[Progress], None]


def unseen(_progress: Progress) -> None:
    """Show it to nobody."""
