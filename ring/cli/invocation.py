"""A command line, apart from what its command makes of its own words. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from ring.cli import operations
from ring.cli.options import Misuse
from ring.formats import Format

HELP = frozenset({"-h", "--help"})


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command line, taken apart. The options that every command has may stand anywhere in it."""

    file: str
    command: str
    words: tuple[str, ...]
    json: bool
    help: bool
    format: Format | None


def parse(words: Sequence[str]) -> Invocation:
    """Return what `words`, of which there is one at least, say. Raise Misuse."""
    file, *rest = words
    kept: list[str] = []
    chosen = None
    left = iter(rest)
    for word in left:
        if word == "--format":
            chosen = _format(next(left, ""))
        elif word.startswith("--format="):
            chosen = _format(word.removeprefix("--format="))
        elif word not in ("--json", *HELP):
            kept.append(word)
    command, *arguments = kept or [operations.DEFAULT]
    return Invocation(
        file=file,
        command=operations.ALIASES.get(command, command),
        words=tuple(arguments),
        json="--json" in rest,
        help=not HELP.isdisjoint(rest),
        format=chosen,
    )


def _format(name: str) -> Format:
    try:
        return Format(name)
    except ValueError:
        raise Misuse(f"--format is {' or '.join(each.value for each in Format)}, not {name!r}") from None
