"""What follows from assignments: groups, projects below, and implied roles followed to the end.

`roles_in` answers what a token needs: the roles of one user in one scope. `derived` shows each conclusion with what it
comes from, as a listing of role assignments does. A domain's own roles are in no conclusion, only what they imply.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from identity.keystone import assignments, hierarchy, implied, memberships
from identity.keystone.assignments import Actor, ActorKind, Assignment, Target, TargetKind
from identity.keystone.roles import Role, by_id
from identity.keystone.tokens.token import Scope, ScopeKind


@dataclass(frozen=True, slots=True)
class Conclusion:
    """A user has a role in a place, because it is assigned to somebody somewhere."""

    user_id: str
    target: Target
    role_id: str
    source: Assignment
    prior_role_id: str | None = None  # the assigned role, which implies this one

    @property
    def group_id(self) -> str | None:
        """Return the group by which the user has it."""
        return self.source.actor.id if self.source.actor.kind is ActorKind.GROUP else None


def roles_in(connection: Connection, user_id: str, scope: Scope) -> list[Role]:
    """Return the roles of a user in a scope, by name."""
    target = Target(TargetKind(scope.kind.value), scope.id)
    assigned = {
        each.role_id
        for each in assignments.list_all(connection, actors_of(connection, user_id), _sources(connection, target))
        if _reaches(each, target)
    }
    return _global_roles(connection, assigned)


def places_of(connection: Connection, user_id: str, kind: ScopeKind) -> list[str]:
    """Return the ids of the projects, or domains, that a user has a role in; for the system "all" or nothing."""
    target_kind = TargetKind(kind.value)
    all_roles, rules = by_id(connection), implied.rules(connection)
    found: set[str] = set()
    for each in assignments.list_all(connection, actors_of(connection, user_id)):
        if all(all_roles[role_id].domain_id for role_id in implied.expanded([each.role_id], rules)):
            continue  # a domain's own role that implies nothing gives nothing
        found.update(place.id for place in _reached(connection, each) if place.kind is target_kind)
    return sorted(found)


def actors_of(connection: Connection, user_id: str) -> list[Actor]:
    """Return a user and the groups that it is in."""
    return [assignments.user(user_id), *map(assignments.group, memberships.groups_of(connection, user_id))]


def derived(
    connection: Connection,
    user_id: str | None = None,
    target: Target | None = None,
    role_id: str | None = None,
) -> list[Conclusion]:
    """Return all conclusions about a user, a place, a role; None: about any."""
    actors = None if user_id is None else actors_of(connection, user_id)
    sources = None if target is None else _sources(connection, target)
    all_roles, rules = by_id(connection), implied.rules(connection)
    found: list[Conclusion] = []
    for source in assignments.list_all(connection, actors, sources):
        if target is not None and not _reaches(source, target):
            continue
        places = [target] if target is not None else _reached(connection, source)
        for plain in _plain(connection, source, places, user_id):
            found.extend(
                each
                for each in _with_implied(plain, rules)
                if all_roles[each.role_id].domain_id is None and role_id in (None, each.role_id)
            )
    return found


def _plain(
    connection: Connection, source: Assignment, places: Iterable[Target], user_id: str | None
) -> Iterator[Conclusion]:
    """Yield what follows from an assignment without the roles that it implies."""
    if user_id is not None:
        user_ids = [user_id]
    elif source.actor.kind is ActorKind.GROUP:
        user_ids = memberships.users_of(connection, source.actor.id)
    else:
        user_ids = [source.actor.id]
    for place in places:
        for each in user_ids:
            yield Conclusion(each, place, source.role_id, source)


def _with_implied(plain: Conclusion, rules: implied.Rules) -> Iterator[Conclusion]:
    yield plain
    for role_id in sorted(implied.expanded([plain.role_id], rules) - {plain.role_id}):
        yield replace(plain, role_id=role_id, prior_role_id=plain.role_id)


def _sources(connection: Connection, target: Target) -> list[Target]:
    """Return the targets whose assignments may reach `target`."""
    if target.kind is not TargetKind.PROJECT:
        return [target]
    above = hierarchy.ancestor_ids(connection, target.id)
    domains = [assignments.domain(above[-1])] if above else []
    return [target, *map(assignments.project, above), *domains]


def _reaches(source: Assignment, target: Target) -> bool:
    """Tell whether an assignment on one of the `_sources` of `target` holds on `target`."""
    return source.inherited != (source.target == target)


def _reached(connection: Connection, source: Assignment) -> list[Target]:
    """Return where an assignment holds."""
    if not source.inherited:
        return [source.target]
    return [assignments.project(each) for each in hierarchy.descendant_ids(connection, source.target.id)]


def _global_roles(connection: Connection, assigned: set[str]) -> list[Role]:
    found = by_id(connection, implied.expanded(assigned, implied.rules(connection)))
    return sorted((role for role in found.values() if role.domain_id is None), key=lambda role: role.name)
