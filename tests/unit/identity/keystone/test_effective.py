"""What follows from assignments, compared with the plain rules on random histories."""

import random
from itertools import product

import pytest
from sqlalchemy import Connection

from cluster.controlplane.database import retried
from identity.keystone import assignments, effective, groups, implied, memberships, projects, roles, users
from identity.keystone.assignments import Assignment, TargetKind
from identity.keystone.groups import Group
from identity.keystone.projects import Project
from identity.keystone.roles import Role
from identity.keystone.tokens.token import SYSTEM_SCOPE, Scope, ScopeKind
from identity.keystone.users import User
from tests.unit.identity.keystone.service import SETTINGS, START_US, Service


class World:
    """Some users in groups, a tree of projects, roles that imply each other, and random assignments."""

    def __init__(self, connection: Connection, seed: int) -> None:
        self.random = random.Random(seed)
        choose = self.random.choice
        self.users = [
            users.create(connection, User(name=f"u{index}", domain_id="default"), None, SETTINGS, START_US).id
            for index in range(3)
        ]
        self.groups = [groups.create(connection, Group(name=f"g{index}", domain_id="default")).id for index in range(2)]
        self.members = {
            (group, user) for group, user in product(self.groups, self.users) if self.random.random() < 0.5
        }
        for group, user in self.members:
            memberships.add(connection, group, user)
        self.parents: dict[str, str] = {}
        for index in range(5):
            parent = choose(["default", *self.parents])
            project = projects.create(connection, Project(name=f"p{index}", domain_id="default", parent_id=parent), 9)
            self.parents[project.id] = parent
        made = [
            roles.create(connection, Role(name=f"r{index}", domain_id=choose([None, None, "default"])))
            for index in range(4)
        ]
        self.roles = {role.id: role for role in made}
        self.rules = {
            (prior.id, role.id)
            for index, prior in enumerate(made)
            for role in made[index + 1 :]
            if self.random.random() < 0.4 and (role.domain_id is None or role.domain_id == prior.domain_id)
        }
        for prior_id, role_id in self.rules:
            implied.add(connection, self.roles[prior_id], self.roles[role_id])
        actors = [*map(assignments.user, self.users), *map(assignments.group, self.groups)]
        places = [*map(assignments.project, self.parents), assignments.domain("default"), assignments.SYSTEM]
        self.assigned = {
            Assignment(choose(actors), target, choose(made).id, self.inheritable(target) and choose([True, False]))
            for target in self.random.choices(places, k=8)
        }
        for each in self.assigned:
            assignments.grant(connection, each)

    def inheritable(self, target: assignments.Target) -> bool:
        return target.kind is not TargetKind.SYSTEM

    def above(self, project_id: str) -> list[str]:
        """Return the ids of the projects above one, and of the domain."""
        found = []
        while project_id in self.parents:
            project_id = self.parents[project_id]
            found.append(project_id)
        return found

    def holds(self, each: Assignment, user: str, place: assignments.Target) -> bool:
        if each.actor.id != user and (each.actor.id, user) not in self.members:
            return False
        if not each.inherited:
            return each.target == place
        return place.kind is TargetKind.PROJECT and each.target.id in self.above(place.id)

    def expected(self, user: str, place: assignments.Target) -> set[str]:
        """Return the roles of a user in a place, by the plain rules."""
        found = {each.role_id for each in self.assigned if self.holds(each, user, place)}
        for _ in self.roles:
            found |= {role_id for prior_id, role_id in self.rules if prior_id in found}
        return {role_id for role_id in found if self.roles[role_id].domain_id is None}


def scope_of(place: assignments.Target) -> Scope:
    return SYSTEM_SCOPE if place == assignments.SYSTEM else Scope(ScopeKind(place.kind.value), place.id)


@pytest.mark.parametrize("seed", range(12))
def test_conclusions_are_those_of_the_plain_rules(service: Service, seed: int) -> None:
    world = retried(service.database, lambda connection: World(connection, seed))
    places = [*map(assignments.project, world.parents), assignments.domain("default"), assignments.SYSTEM]
    with service.database.reading() as connection:
        listed = {(each.user_id, each.target, each.role_id) for each in effective.derived(connection)}
        for user, place in product(world.users, places):
            expected = world.expected(user, place)
            assert {role.id for role in effective.roles_in(connection, user, scope_of(place))} == expected
            about = effective.derived(connection, user, place)
            assert {each.role_id for each in about} == expected
            assert {role_id for who, where, role_id in listed if (who, where) == (user, place)} == expected
            assert (place.id in effective.places_of(connection, user, ScopeKind(place.kind.value))) == bool(expected)
