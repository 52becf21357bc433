"""Who has which role where: as it was assigned. What follows from that is `effective`.

An actor is a user or a group; a target is a project, a domain or the system. An inherited assignment does not hold on
its target, but on all projects below it.
"""

import enum
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, insert, select, tuple_

from identity.keystone import hierarchy, memberships, revocations, stale_keys
from identity.keystone.errors import NotFound
from identity.keystone.schema import assignments
from identity.keystone.tokens.revoked import Kind, Subject
from identity.keystone.tokens.revoked import grant as grant_subject

SYSTEM_ID = "all"
_PLACES_LIMIT = 50  # in as many one user's tokens are ended one by one; proxies keep every such statement in memory


class ActorKind(enum.Enum):
    """Who has a role."""

    USER = "user"
    GROUP = "group"


class TargetKind(enum.Enum):
    """Where."""

    PROJECT = "project"
    DOMAIN = "domain"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """A user or a group."""

    kind: ActorKind
    id: str


@dataclass(frozen=True, slots=True)
class Target:
    """A project, a domain, or the system."""

    kind: TargetKind
    id: str


SYSTEM = Target(TargetKind.SYSTEM, SYSTEM_ID)


def user(user_id: str) -> Actor:
    """Return a user as an actor."""
    return Actor(ActorKind.USER, user_id)


def group(group_id: str) -> Actor:
    """Return a group as an actor."""
    return Actor(ActorKind.GROUP, group_id)


def project(project_id: str) -> Target:
    """Return a project as a target."""
    return Target(TargetKind.PROJECT, project_id)


def domain(domain_id: str) -> Target:
    """Return a domain as a target."""
    return Target(TargetKind.DOMAIN, domain_id)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One role of one actor on one target."""

    actor: Actor
    target: Target
    role_id: str
    inherited: bool = False


def list_all(
    connection: Connection,
    actors: list[Actor] | None = None,
    targets: list[Target] | None = None,
    role_id: str | None = None,
    inherited: bool | None = None,
) -> list[Assignment]:
    """Return the assignments of any of `actors`, on any of `targets`; None: of all."""
    wanted: list[ColumnElement[bool]] = []
    if actors is not None:
        pairs = [(actor.kind.value, actor.id) for actor in actors]
        wanted.append(tuple_(assignments.c.actor_kind, assignments.c.actor_id).in_(pairs))
    if targets is not None:
        pairs = [(target.kind.value, target.id) for target in targets]
        wanted.append(tuple_(assignments.c.target_kind, assignments.c.target_id).in_(pairs))
    if role_id is not None:
        wanted.append(assignments.c.role_id == role_id)
    if inherited is not None:
        wanted.append(assignments.c.inherited.is_(inherited))
    query = select(assignments).where(*wanted).order_by(*assignments.primary_key.columns)
    return [
        Assignment(
            Actor(ActorKind(row.actor_kind), row.actor_id),
            Target(TargetKind(row.target_kind), row.target_id),
            row.role_id,
            row.inherited,
        )
        for row in connection.execute(query)
    ]


def exists(connection: Connection, assignment: Assignment) -> bool:
    """Tell whether it was assigned just so."""
    return bool(connection.execute(select(assignments.c.role_id).where(*_is(assignment))).first())


def check(connection: Connection, assignment: Assignment) -> None:
    """Raise NotFound unless it was assigned just so."""
    if not exists(connection, assignment):
        raise NotFound("role assignment with role", assignment.role_id)


def grant(connection: Connection, assignment: Assignment) -> None:
    """Assign a role; nothing changes when it is assigned already."""
    if not exists(connection, assignment):
        connection.execute(
            insert(assignments).values(
                actor_kind=assignment.actor.kind.value,
                actor_id=assignment.actor.id,
                target_kind=assignment.target.kind.value,
                target_id=assignment.target.id,
                role_id=assignment.role_id,
                inherited=assignment.inherited,
            )
        )
        for user_id in _users_of(connection, assignment.actor):
            stale_keys.mark_user(connection, user_id)


def withdraw(connection: Connection, assignment: Assignment, now_us: int) -> None:
    """Take an assigned role away; the tokens that may have it by that end. Raise NotFound."""
    check(connection, assignment)
    connection.execute(delete(assignments).where(*_is(assignment)))
    places = _places_of(connection, assignment)
    for user_id in _users_of(connection, assignment.actor):
        stale_keys.mark_user(connection, user_id)
        for subject in _subjects(user_id, places):
            revocations.revoke(connection, subject, now_us)


def withdraw_all_of_group(connection: Connection, group_id: str, now_us: int) -> None:
    """Take all roles of a group away. The tokens of its members end."""
    for user_id in memberships.users_of(connection, group_id):
        revocations.revoke(connection, Subject(Kind.USER, user_id), now_us)
    forget_actor(connection, group(group_id))


def forget_actor(connection: Connection, actor: Actor) -> None:
    """Remove the assignments of an actor that is removed."""
    connection.execute(
        delete(assignments).where(assignments.c.actor_kind == actor.kind.value, assignments.c.actor_id == actor.id)
    )


def forget_target(connection: Connection, target_id: str) -> None:
    """Remove the assignments on a project or domain that is removed."""
    connection.execute(
        delete(assignments).where(
            assignments.c.target_id == target_id, assignments.c.target_kind != TargetKind.SYSTEM.value
        )
    )


def _is(assignment: Assignment) -> "list[ColumnElement[bool]]":
    return [
        assignments.c.actor_kind == assignment.actor.kind.value,
        assignments.c.actor_id == assignment.actor.id,
        assignments.c.target_kind == assignment.target.kind.value,
        assignments.c.target_id == assignment.target.id,
        assignments.c.role_id == assignment.role_id,
        assignments.c.inherited.is_(assignment.inherited),
    ]


def _users_of(connection: Connection, actor: Actor) -> list[str]:
    return [actor.id] if actor.kind is ActorKind.USER else memberships.users_of(connection, actor.id)


def _subjects(user_id: str, places: list[str]) -> list[Subject]:
    """Return what to say of the tokens of a user for `places`: if these are many, that all of the user's end."""
    if len(places) > _PLACES_LIMIT:
        return [Subject(Kind.USER, user_id)]
    return [grant_subject(user_id, target_id) for target_id in places]


def _places_of(connection: Connection, assignment: Assignment) -> list[str]:
    """Return the ids of what tokens are scoped to that have roles by `assignment`."""
    if assignment.inherited:
        return hierarchy.descendant_ids(connection, assignment.target.id)
    return [assignment.target.id]
