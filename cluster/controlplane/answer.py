"""What an operation answers: a status, a document, headers. The shell (`application`) turns it into HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. Without a document it has no body."""

    status: int
    document: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def ok(document: Mapping[str, Any]) -> Answer:
    """Return `document`."""
    return Answer(200, document)


def created(document: Mapping[str, Any]) -> Answer:
    """Return the document of what was made."""
    return Answer(201, document)


NO_CONTENT = Answer(204)
