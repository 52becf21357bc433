"""What a command is given and what comes of it: values between the shell and the operations."""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

from ring.builder import RingBuilder
from ring.device import Device
from ring.formats import Format
from ring.lookup import Ring


class Exit(enum.IntEnum):
    """How a command ended; the same as swift-ring-builder's for the same situation."""

    SUCCESS = 0
    WARNING = 1  # nothing had to be done, or it was done and something is left to be desired
    ERROR = 2  # nothing was changed


class Files(Protocol):
    """The files that a command may read besides the builder it works on. Each raises RingError or OSError."""

    def exists(self, path: str) -> bool:
        """Tell whether there is a file at `path`."""

    def absolute(self, path: str) -> str:
        """Return the whole name of `path`."""

    def builder(self, path: str) -> tuple[RingBuilder, Format]:
        """Return the builder in the file `path`, and what the file is written in."""

    def ring(self, path: str) -> tuple[Ring, Format]:
        """Return the ring in the file `path`, and what the file is written in."""

    def text(self, path: str) -> str:
        """Return the text of the file `path`."""


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a command."""

    words: tuple[str, ...]  # after the command, without the options that every command has
    builder_path: str
    ring_path: str
    now_s: float  # since 1970
    chance: int  # the seed of a rebalance that is given none
    files: Files
    format: Format | None = None  # that is asked for
    progress: Callable[[float], None] | None = None  # is told the part that is done

    def seed(self, text: str | None) -> int:
        """Return the seed that is written as `text`: a number stands for itself, other text for its hash."""
        if text is None:
            return self.chance
        if text.isascii() and text.isdecimal():
            return int(text)
        return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


@dataclass(frozen=True, slots=True)
class Question:
    """What the operator has to say yes to, because more than one device is meant."""

    text: str
    devices: Sequence[Device]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a command: what to say and what to write. Nothing is written unless all questions are answered with yes."""

    text: str
    facts: Mapping[str, Any]  # the same for programs
    exit_code: Exit = Exit.SUCCESS
    warnings: tuple[str, ...] = ()  # sentences
    questions: tuple[Question, ...] = ()
    builder: RingBuilder | None = None  # to be saved; None: it stays as it is
    format: Format | None = None  # to save it in; None: the one that it is in
    ring: Ring | None = None  # to be published
    backed_up: bool = False  # what is saved and published is put into backups/ too
    files: Mapping[str, bytes] = field(default_factory=dict)  # other files to write, by path
