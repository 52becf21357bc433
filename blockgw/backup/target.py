"""What backups need of the place where they are: objects with names, written whole or not at all.

Names are relative to the target's prefix, and have no characters that need care: letters, digits, `/`, `-`.
A put that was answered is found by the next `get` of that name. A listing may lag behind, as Swift's may.
All methods may be called from several threads at once; each tries again by itself before it raises TargetFailed.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from blockgw.backup.errors import BackupError

_URL = re.compile(r"(s3|swift)://([^/]+)(?:/(.*))?")


class Entry(NamedTuple):
    """An object, as a listing has it."""

    name: str
    size: int  # bytes


class Target(Protocol):
    """A bucket or container, from a prefix on."""

    @property
    def place(self) -> str:
        """What tells it from all other places: the service that has it, and its address there."""

    def put(self, name: str, data: bytes) -> None:
        """Write an object, in place of one that may be there."""

    def put_new(self, name: str, data: bytes) -> bool:
        """Write an object if there is none of that name; tell whether it was written."""

    def get(self, name: str) -> bytes:
        """Return an object, the newest that is known of. Raise NoSuchObject."""

    def size(self, name: str) -> int | None:
        """Return how many bytes an object has; None: it is not there."""

    def list(self, prefix: str) -> Iterator[Entry]:
        """Yield the objects whose names begin so, in no order."""

    def folders(self) -> Sequence[str]:
        """Return the first parts of all names, up to `/`, each once."""

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects; those that are not there are no error."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where backups are: s3://BUCKET/PREFIX or swift://CONTAINER/PREFIX."""

    scheme: str
    bucket: str
    prefix: str  # empty, or ends with `/`

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.prefix}".rstrip("/")

    @staticmethod
    def parse(url: str) -> "Address":
        """Return what `url` names. Raise BackupError."""
        found = _URL.fullmatch(url)
        if found is None:
            raise BackupError(f"{url} is no place for backups: s3://BUCKET/PREFIX or swift://CONTAINER/PREFIX is one")
        prefix = (found[3] or "").strip("/")
        return Address(found[1], found[2], prefix + "/" if prefix else "")
