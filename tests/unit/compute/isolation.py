"""Requests in which ids stand in braces, sent with what is a stranger's and with what is not there. No I/O of its own.

Whatever names a stranger's thing must be answered like what names a missing one, and nothing that is shown may bear the
stranger's mark.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

Ids = Mapping[str, str]  # by the name of the variable
Answer = tuple[int, str]  # status and text
REFUSED = (401, 403, 404)


@dataclass(frozen=True, slots=True)
class Request:
    """A request in which ids stand in braces, in its path, query or document."""

    method: str
    path: str
    document: Any = None
    media_type: str = "application/json"

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.document or ''}"

    def variables(self, names: Ids) -> list[str]:
        """Return those of `names` that stand in it."""
        text = self.path + json.dumps(self.document)
        return [name for name in names if f"{{{name}}}" in text]

    def of(self, ids: Ids) -> "Request":
        """Return the request with these ids."""
        path, text = self.path, json.dumps(self.document)
        for name, value in ids.items():
            path, text = path.replace(f"{{{name}}}", value), text.replace(f"{{{name}}}", value)
        return replace(self, path=path, document=json.loads(text))

    @property
    def only_asks(self) -> bool:
        """Tell whether the ids are in a query alone, by which a listing may be narrowed to nothing."""
        return self.method == "GET" and "{" not in self.path.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Sides:
    """Ids of one thing of each kind: the caller's, a stranger's, and of what is not there."""

    own: Ids
    foreign: Ids
    missing: Ids
    mark: str  # in the names of all that is the stranger's


def differences(send: Callable[[Request], Answer], request: Request, sides: Sides) -> Iterator[str]:
    """Yield how what is a stranger's is taken, shown, or answered unlike what is not there."""
    for foreign in _ways(request.variables(sides.own)):
        own = {name: value for name, value in sides.own.items() if name not in foreign}
        there = {**own, **{name: sides.foreign[name] for name in foreign}}
        missing = {**own, **{name: sides.missing[name] for name in foreign}}
        found, expected = (_named(send(request.of(ids)), ids) for ids in (there, missing))
        if foreign and found != expected:
            yield f"{request} with a stranger's {foreign}: {found}, and of what is missing: {expected}"
        if foreign and not request.only_asks and found[0] not in REFUSED:
            yield f"{request} with a stranger's {foreign} is not refused: {found}"
        if sides.mark in found[1]:
            yield f"{request} with a stranger's {foreign} shows what is a stranger's: {found}"


def _ways(variables: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield which variables are the stranger's: at least one, unless there is none."""
    if not variables:
        yield ()
    for count in range(1, len(variables) + 1):
        yield from itertools.combinations(variables, count)


def _named(answer: Answer, ids: Ids) -> Answer:
    """Return an answer in which the ids that were asked for are replaced by their names."""
    status, text = answer
    for name, value in ids.items():
        text = text.replace(value, name)
    return status, text
