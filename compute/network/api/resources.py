"""How nouns are listed, shown, made, changed and deleted: all of them alike, as in Neutron.

    {"network": {…}}, or several at once, all or none: {"networks": [{…}, {…}]}

What a caller does not see is not there. What is shown of a thing, and what may be sent, rules say (`attributes`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import select

from cluster.controlplane.answer import NO_CONTENT, Answer, created, ok
from compute.network import listing, security_groups
from compute.network.api.requests import Request, project_for, require, require_owned, sees_all, work_of
from compute.network.api.served import BY_NOUN, Served
from compute.network.attributes import NETWORK, SECURITY_GROUP, Noun
from compute.network.errors import HTTPBadRequest, RevisionNumberConstraintFailed
from compute.network.networks import DHCP_OWNER
from compute.network.policy.defaults import RULES
from compute.network.work import AnyRow

_IF_MATCH = re.compile(r'"?revision_number=(\d{1,9})"?')
_TOLD = ("shared", "external")  # of a network, that rules go by


class Resource:
    """The operations on one noun."""

    def __init__(self, served: Served) -> None:
        self._served, self._noun = served, served.noun
        self._hidden = sorted(name for name in _names_in(RULES, f"get_{self._noun.name}:"))

    def __repr__(self) -> str:
        return f"Resource({self._noun.name})"

    def list_all(self, context: Request) -> Answer:
        """GET /v2.0/{nouns}."""
        if self._noun is SECURITY_GROUP and context.project_id is not None:
            security_groups.ensure_default(work_of(context), context.project_id)
        wish = listing.wish_of(self._noun, context.query_lists, self._served.filters)
        rows = listing.fetch(context.connection, self._noun, wish, _seen(context, self._served))
        found = {self._noun.plural: self._documents(context, rows)}
        if wish.limit is not None:
            found[f"{self._noun.plural}_links"] = list(_links(context, rows, wish))
        return ok(found)

    def show(self, context: Request, identifier: str) -> Answer:
        """GET /v2.0/{nouns}/{id}."""
        return ok({self._noun.name: self._document(context, seen(context, self._served, identifier))})

    def create(self, context: Request) -> Answer:
        """POST /v2.0/{nouns}: one, or several, of which all are made or none."""
        context.caller  # noqa: B018 what nobody sends is not looked at
        document = context.document
        if not document:
            raise HTTPBadRequest(why="Resource body required")
        if self._noun.plural in document:
            items = document[self._noun.plural]
            if not isinstance(items, list) or not items or not all(isinstance(each, dict) for each in items):
                raise HTTPBadRequest(why="Resource body required")
            rows = [self._create(context, each) for each in items]
            return created({self._noun.plural: self._documents(context, self._fresh(context, rows))})
        (row,) = self._fresh(context, [self._create(context, self._sent(document))])
        return created({self._noun.name: self._document(context, row)})

    def change(self, context: Request, identifier: str) -> Answer:
        """PUT /v2.0/{nouns}/{id}."""
        row = seen(context, self._served, identifier)
        sent = self._sent(context.document)
        changes = self._noun.changed({name: value for name, value in sent.items() if name != "tenant_id"})
        target = target_of(context, self._served, dict(row._mapping))
        require_owned(context, f"update_{self._noun.name}", target)
        for rule in _rules(f"update_{self._noun.name}", changes):
            require(context, rule, target)
        _require_seen(context, self._served, changes)
        _require_revision(context, row)
        assert self._served.update is not None
        self._served.update(work_of(context), row, changes)
        (row,) = self._fresh(context, [identifier])
        return ok({self._noun.name: self._document(context, row)})

    def remove(self, context: Request, identifier: str) -> Answer:
        """DELETE /v2.0/{nouns}/{id}."""
        row = seen(context, self._served, identifier)
        require_owned(context, f"delete_{self._noun.name}", target_of(context, self._served, dict(row._mapping)))
        _require_revision(context, row)
        self._served.remove(work_of(context), row, context.allows("context_is_admin"))
        return NO_CONTENT

    def _create(self, context: Request, item: Mapping[str, Any]) -> str:
        sent = {name: value for name, value in item.items() if name != "tenant_id"}
        project_id = project_for(context, item)
        attributes = self._noun.created(sent) | {"project_id": project_id}
        _require_seen(context, self._served, attributes)
        target = target_of(context, self._served, attributes)
        require(context, f"create_{self._noun.name}", target)
        for rule in _rules(f"create_{self._noun.name}", _unusual(self._noun, attributes, sent)):
            require(context, rule, target)
        return self._served.create(work_of(context), attributes)

    def _sent(self, document: Any) -> Mapping[str, Any]:
        found = document.get(self._noun.name) if isinstance(document, Mapping) else None
        if not isinstance(found, dict):
            raise HTTPBadRequest(why=f"Unable to find '{self._noun.name}' in request body")
        return found

    def _fresh(self, context: Request, ids: Sequence[str]) -> list[AnyRow]:
        rows = context.connection.execute(select(self._noun.table).where(self._noun.table.c.id.in_(ids))).all()
        return sorted(rows, key=lambda row: ids.index(row.id))

    def _document(self, context: Request, row: AnyRow) -> dict[str, Any]:
        return self._documents(context, [row])[0]

    def _documents(self, context: Request, rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
        """Return rows as the caller sees them, with the fields that it asks for."""
        fields = {each for each in context.query_lists.get("fields", ()) if each}
        allowed: dict[tuple[str, str], bool] = {}  # most rows are alike to rules
        found = []
        documents = self._served.documents(context.connection, context.parts.settings, rows)
        for row, document in zip(rows, documents, strict=True):
            target = target_of(context, self._served, dict(row._mapping)) if self._hidden else {}
            for name in self._hidden:
                key = name, repr(sorted(_short(target).items()))
                if key not in allowed:
                    allowed[key] = context.allows(f"get_{self._noun.name}:{name}", target)
                if not allowed[key]:
                    document.pop(name, None)
            found.append({name: value for name, value in document.items() if not fields or name in fields})
        return found


def seen(context: Request, served: Served, identifier: str) -> AnyRow:
    """Return a row that the caller sees. Raise the noun's NotFound."""
    table = served.noun.table
    query = select(table).where(table.c.id == identifier, *_seen(context, served))
    row = context.connection.execute(query).one_or_none()
    if row is None:
        raise served.noun.missing(id=identifier)
    return row


def _seen(context: Request, served: Served) -> list[Any]:
    if sees_all(context):
        return []
    return [served.seen_by(context.project_id)]


def _require_seen(context: Request, served: Served, attributes: Mapping[str, Any]) -> None:
    """Raise the NotFound of what attributes name and the caller does not see."""
    for name, noun in served.named.items():
        value: Any = attributes
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        for identifier in [value] if isinstance(value, str) else value or ():
            seen(context, BY_NOUN[noun.name], identifier)


def target_of(context: Request, served: Served, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what rules are told of a thing, and of what it belongs to."""
    target: dict[str, Any] = {
        "project_id": values["project_id"],
        "tenant_id": values["project_id"],
        "shared": values.get("shared"),
        "external": values.get("router:external", values.get("external")),
        "network_device": str(values.get("device_owner", "")).startswith(DHCP_OWNER.partition(":")[0] + ":"),
    }
    if served.parent is not None:
        name, noun = served.parent
        table = noun.table
        parent = context.connection.execute(select(table).where(table.c.id == values[name])).one_or_none()
        if parent is not None:
            target[f"{noun.name}:project_id"] = target[f"{noun.name}:tenant_id"] = parent.project_id
            if noun is NETWORK:
                target |= {name: getattr(parent, name) for name in _TOLD}
    return target


def _short(target: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in target.items()}


def _unusual(noun: Noun, attributes: Mapping[str, Any], sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was sent, but for what would have been so anyhow."""
    return {
        name: attributes[name]
        for name in sent
        if name != "project_id" and attributes[name] != noun.attributes[name].default
    }


def _rules(rule: str, attributes: Mapping[str, Any]) -> Iterator[str]:
    """Yield the rules that attributes may have, and those of their members."""
    for name, value in attributes.items():
        yield f"{rule}:{name}"
        members = value if isinstance(value, list) else [value]
        yield from sorted({f"{rule}:{name}:{key}" for each in members if isinstance(each, Mapping) for key in each})


def _names_in(rules: Mapping[str, str], start: str) -> Iterator[str]:
    return (rule.removeprefix(start) for rule in rules if rule.startswith(start))


def _require_revision(context: Request, row: AnyRow) -> None:
    """Raise RevisionNumberConstraintFailed where the client has seen another revision."""
    wanted = _IF_MATCH.fullmatch(context.request.get_header("If-Match") or "")
    if wanted is not None and int(wanted[1]) != row.revision_number:
        raise RevisionNumberConstraintFailed(constraint=wanted[1], current=row.revision_number)


def _links(context: Request, rows: Sequence[AnyRow], wish: listing.Wish) -> Iterator[dict[str, str]]:
    """Yield where the pages before and after this one are."""
    assert wish.limit is not None
    is_full = len(rows) >= wish.limit
    kept = [
        (name, value)
        for name, values in context.query_lists.items()
        for value in values
        if name not in ("marker", "page_reverse")
    ]
    address = f"{context.base_url}{context.request.path}"
    if is_full or wish.reverse:
        marker = [("marker", rows[-1].id)] if rows else []
        yield {"rel": "next", "href": f"{address}?{urlencode([*kept, *marker])}"}
    if is_full or not wish.reverse:
        marker = [("marker", rows[0].id)] if rows else []
        yield {"rel": "previous", "href": f"{address}?{urlencode([*kept, *marker, ('page_reverse', 'True')])}"}
