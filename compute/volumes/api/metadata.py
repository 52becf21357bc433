"""Words that users keep with volumes and snapshots; an ETag keeps from overwriting what others wrote (from 3.15 on)."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table

from cluster.controlplane.answer import Answer
from compute.records import delete_word, set_words, words_of
from compute.volumes.api.forms import WORDS, Form, words
from compute.volumes.api.requests import Request, at_least
from compute.volumes.errors import Invalid, NotFound, Outdated

ETAGS_SINCE = 15
_WORDS = Form("metadata", {}, more=WORDS["additionalProperties"])
_WORD = Form("meta", {}, more=WORDS["additionalProperties"])


@dataclass(frozen=True, slots=True)
class Metadata:
    """Operations on the words of one sort of thing."""

    table: Table
    find: Callable[[Request, str, str], Any]  # by rule and id; raises when the caller may not
    reading: str  # rules
    writing: str
    deleting: str

    def list_all(self, context: Request, **parts: str) -> Answer:
        """GET …/metadata."""
        return self._all(context, self._id(context, self.reading, parts))

    def add(self, context: Request, **parts: str) -> Answer:
        """POST …/metadata: beside those that there are."""
        return self._set(context, parts, replace=False)

    def replace(self, context: Request, **parts: str) -> Answer:
        """PUT …/metadata: in place of those that there are."""
        return self._set(context, parts, replace=True)

    def show(self, context: Request, key: str, **parts: str) -> Answer:
        """GET …/metadata/{key}."""
        found = self._words(context, self._id(context, self.reading, parts))
        if key not in found:
            raise NotFound("Metadata item", key)
        return _answer(context, "meta", {key: found[key]})

    def change(self, context: Request, key: str, **parts: str) -> Answer:
        """PUT …/metadata/{key}."""
        owner_id = self._id(context, self.writing, parts)
        wanted = words(_WORD.read(context))
        if set(wanted) != {key}:
            raise Invalid("Request body contains too many items, or another one than the path.")
        self._check(context, owner_id)
        set_words(context.connection, self.table, owner_id, wanted)
        return _answer(context, "meta", wanted)

    def remove(self, context: Request, key: str, **parts: str) -> Answer:
        """DELETE …/metadata/{key}."""
        owner_id = self._id(context, self.deleting, parts)
        self._check(context, owner_id)
        if not delete_word(context.connection, self.table, owner_id, key):
            raise NotFound("Metadata item", key)
        return Answer(200)

    def _set(self, context: Request, parts: Mapping[str, str], replace: bool) -> Answer:
        owner_id = self._id(context, self.writing, parts)
        wanted = words(_WORDS.read(context))
        if any(not 0 < len(key) <= 255 for key in wanted):
            raise Invalid("Metadata property key is blank, or has more than 255 characters.")
        self._check(context, owner_id)
        set_words(context.connection, self.table, owner_id, wanted, replace=replace)
        return self._all(context, owner_id)

    def _id(self, context: Request, rule: str, parts: Mapping[str, str]) -> str:
        (identifier,) = parts.values()
        self.find(context, rule, identifier)
        return identifier

    def _words(self, context: Request, owner_id: str) -> dict[str, str]:
        return words_of(context.connection, self.table, [owner_id])[owner_id]

    def _all(self, context: Request, owner_id: str) -> Answer:
        return _answer(context, "metadata", self._words(context, owner_id))

    def _check(self, context: Request, owner_id: str) -> None:
        """Raise Outdated unless the words are those that the client has seen, if it says which."""
        wanted = context.request.get_header("If-Match")
        if wanted is None or not at_least(context, ETAGS_SINCE):
            return
        if _etag({"metadata": self._words(context, owner_id)}) not in wanted.replace('"', "").split(","):
            raise Outdated("The metadata have been changed by somebody else.")


def _answer(context: Request, name: str, found: Mapping[str, str]) -> Answer:
    document = {name: dict(found)}
    headers = {"ETag": f'"{_etag(document)}"'} if at_least(context, ETAGS_SINCE) else {}
    return Answer(200, document, headers)


def _etag(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]
