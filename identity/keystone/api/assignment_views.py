"""How role assignments are shown: ids, links to what they come from, and names if asked for."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from identity.keystone import groups, projects, roles, users
from identity.keystone.api.context import Context
from identity.keystone.api.listing import Document
from identity.keystone.assignments import Actor, ActorKind, Assignment, Target, TargetKind, user
from identity.keystone.effective import Conclusion
from identity.keystone.errors import NotFound


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the listing: an assignment, or what follows from it."""

    actor: Actor
    target: Target
    role_id: str
    source: Assignment
    group_id: str | None = None  # by which the user has it
    prior_role_id: str | None = None  # which implies it
    inherited: bool = False  # shown as inherited: it is not resolved

    @classmethod
    def of_assignment(cls, assignment: Assignment) -> "Entry":
        """Return the entry that shows an assignment as it is."""
        return cls(
            assignment.actor, assignment.target, assignment.role_id, assignment, inherited=assignment.inherited
        )

    @classmethod
    def of_conclusion(cls, conclusion: Conclusion) -> "Entry":
        """Return the entry that shows a conclusion."""
        return cls(
            user(conclusion.user_id),
            conclusion.target,
            conclusion.role_id,
            conclusion.source,
            conclusion.group_id,
            conclusion.prior_role_id,
        )


class Names:
    """What users, groups, projects, domains and roles are called: each is looked up once. What is gone has no name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[tuple[str, str], Document] = {}

    def of(self, kind: str, identifier: str) -> Document:
        """Return id and name, and the domain if it is in one."""
        key = (kind, identifier)
        if key not in self._known:
            self._known[key] = self._found(kind, identifier)
        return self._known[key]

    def _found(self, kind: str, identifier: str) -> Document:
        try:
            record: Any = _FINDERS[kind](self._connection, identifier)
        except NotFound:
            return {"id": identifier}
        document: Document = {"id": identifier, "name": record.name}
        if kind != "domain" and record.domain_id is not None:
            document["domain"] = self.of("domain", record.domain_id)
        return document


_FINDERS: dict[str, Any] = {
    "user": users.get,
    "group": groups.get,
    "project": projects.get,
    "domain": projects.get,
    "role": roles.get,
}


def document_of(context: Context, entry: Entry, names: Names | None) -> Document:
    """Return what clients see of an entry."""

    def named(kind: str, identifier: str) -> Document:
        return {"id": identifier} if names is None else names.of(kind, identifier)

    scope: Document = (
        {"system": {"all": True}}
        if entry.target.kind is TargetKind.SYSTEM
        else {entry.target.kind.value: named(entry.target.kind.value, entry.target.id)}
    )
    if entry.inherited:
        scope["OS-INHERIT:inherited_to"] = "projects"
    return {
        "role": named("role", entry.role_id),
        entry.actor.kind.value: named(entry.actor.kind.value, entry.actor.id),
        "scope": scope,
        "links": _links(context, entry),
    }


def _links(context: Context, entry: Entry) -> Document:
    links: Document = {"assignment": context.url(path_of(entry.source))}
    if entry.group_id is not None:
        links["membership"] = context.url(f"groups/{entry.group_id}/users/{entry.actor.id}")
    if entry.prior_role_id is not None:
        links["prior_role"] = context.url(f"prior_role/{entry.prior_role_id}/implies/{entry.role_id}")
    return links


def path_of(assignment: Assignment) -> str:
    """Return the path of a grant below /v3."""
    actors = {ActorKind.USER: "users", ActorKind.GROUP: "groups"}[assignment.actor.kind]
    grant = f"{actors}/{assignment.actor.id}/roles/{assignment.role_id}"
    if assignment.target.kind is TargetKind.SYSTEM:
        return f"system/{grant}"
    path = f"{assignment.target.kind.value}s/{assignment.target.id}/{grant}"
    return f"OS-INHERIT/{path}/inherited_to_projects" if assignment.inherited else path
