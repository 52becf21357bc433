"""Which rows of a listing a query asks for: `?name=x`, `?name__icontains=x`, `?enabled=false`.

Filters that a listing does not know are passed over, as Keystone does.
"""

from collections.abc import Callable, Iterable, Mapping

from sqlalchemy import Boolean, ColumnElement, Table

_INEXACT: Mapping[str, Callable[["ColumnElement[str]", str], "ColumnElement[bool]"]] = {
    "contains": lambda column, text: column.contains(text, autoescape=True),
    "icontains": lambda column, text: column.icontains(text, autoescape=True),
    "startswith": lambda column, text: column.startswith(text, autoescape=True),
    "istartswith": lambda column, text: column.istartswith(text, autoescape=True),
    "endswith": lambda column, text: column.endswith(text, autoescape=True),
    "iendswith": lambda column, text: column.iendswith(text, autoescape=True),
    "equals": lambda column, text: column == text,
    "iequals": lambda column, text: column.ilike(_literally(text), escape="\\"),
}
_FALSE = frozenset(("0", "f", "false", "n", "no", "off"))


def conditions(table: Table, query: Mapping[str, str], names: Iterable[str]) -> list["ColumnElement[bool]"]:
    """Return what rows of `table` must fulfil by the filters in `query` on the columns `names`."""
    known = frozenset(names)
    found: list[ColumnElement[bool]] = []
    for key, text in query.items():
        name, _, comparator = key.partition("__")
        if name not in known or (comparator and comparator not in _INEXACT):
            continue
        column = table.c[name]
        if isinstance(column.type, Boolean):
            found.append(column == is_true(text))
        elif comparator:
            found.append(_INEXACT[comparator](column, text))
        else:
            found.append(column == text)
    return found


def is_true(text: str) -> bool:
    """Tell whether the value of a filter or flag means yes: anything does that does not mean no."""
    return text.strip().lower() not in _FALSE


def _literally(text: str) -> str:
    """Return `text` as a LIKE pattern that matches nothing else."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
