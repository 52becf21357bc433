"""Rows as frozen dataclasses: from a client's document, to the columns of a table, and to a document again.

Each class has the fields `id` and `extra`. A field is a column of the same name unless it is `DERIVED`, and clients may
set it unless it is `DERIVED` or `OURS`; what clients send beside the fields goes to `extra`.
"""

import dataclasses
import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Protocol, TypeVar, cast

from identity.keystone.errors import BadRequest

DERIVED = {"column": False, "ours": True}  # metadata of fields that are found in other tables
OURS = {"column": True, "ours": True}  # metadata of columns that clients neither set nor see

_NEVER_KEPT = frozenset(("id", "links"))  # in documents that clients send back to us


class Record(Protocol):
    """What all resources are."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def id(self) -> str: ...

    @property
    def extra(self) -> Mapping[str, Any]: ...


RecordT = TypeVar("RecordT", bound=Record)


def new_id() -> str:
    """Return an id that nothing has yet."""
    return uuid.uuid4().hex


def made(kind: type[RecordT], document: Mapping[str, Any]) -> RecordT:
    """Return a new resource with the attributes in `document`. The options given as null are left out."""
    known, extra = _split(kind, document)
    if "options" in known:
        known["options"] = _merged_options({}, known["options"])
    return cast(Any, kind)(**known, extra=extra)  # type: ignore[no-any-return]


def changed(record: RecordT, document: Mapping[str, Any]) -> RecordT:
    """Return `record` with the attributes in `document` in place of its own. Raise BadRequest for another id."""
    if document.get("id", record.id) != record.id:
        raise BadRequest("Cannot change ID.")
    known, extra = _split(type(record), document)
    if "options" in known:
        known["options"] = _merged_options(getattr(record, "options", {}), known["options"])
    return dataclasses.replace(record, **known, extra={**record.extra, **extra})


def columns_of(record: Record) -> dict[str, Any]:
    """Return what the row of `record` consists of."""
    return {field.name: getattr(record, field.name) for field in _fields(type(record)) if _is(field, "column", True)}


def document_of(record: Record) -> dict[str, Any]:
    """Return what clients see of `record`, without links."""
    shown = {field.name: getattr(record, field.name) for field in _fields(type(record)) if not _is(field, "ours")}
    del shown["extra"]
    return {**record.extra, **shown}


def refuse_change(old: object, new: object, attribute: str) -> None:
    """Raise BadRequest when `attribute`, which stays as it was made, differs."""
    if getattr(old, attribute) != getattr(new, attribute):
        raise BadRequest(f"Update of `{attribute}` is not allowed.")


def _split(kind: type[Record], document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    settable = {field.name for field in _fields(kind) if not _is(field, "ours")} - {"id", "extra"}
    all_names = {field.name for field in _fields(kind)}
    known = {name: value for name, value in document.items() if name in settable}
    extra = {name: value for name, value in document.items() if name not in all_names | _NEVER_KEPT}
    return known, extra


def _merged_options(old: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**old, **changes}.items() if value is not None}


@cache
def _fields(kind: type[Record]) -> tuple["dataclasses.Field[Any]", ...]:
    return dataclasses.fields(cast(Any, kind))


def _is(field: "dataclasses.Field[Any]", mark: str, default: bool = False) -> bool:
    return bool(field.metadata.get(mark, default))
