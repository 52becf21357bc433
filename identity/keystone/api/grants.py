"""Operations on grants: a role of a user or group on a project, a domain or the system.

The paths differ only in what is assigned to whom: `Grants` has the operations for one kind of path.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.controlplane.answer import NO_CONTENT, Answer
from identity.keystone import assignments, domains, groups, projects, roles, users
from identity.keystone.api import groups as group_operations
from identity.keystone.api import users as user_operations
from identity.keystone.api.context import Context, Target
from identity.keystone.api.domains import target_of as target_of_domain
from identity.keystone.api.listing import collection
from identity.keystone.api.projects import target_of as target_of_project
from identity.keystone.api.roles import document_of
from identity.keystone.api.roles import target_of as target_of_role
from identity.keystone.assignments import SYSTEM_ID, Actor, ActorKind, Assignment, TargetKind
from identity.keystone.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Grants:
    """The operations for one kind of target, one kind of actor, inherited or not."""

    target_kind: TargetKind
    actor_kind: ActorKind
    inherited: bool = False

    def list_all(self, context: Context, **path: str) -> Answer:
        """GET …/roles."""
        self._enforce(context, "list", path)
        found = assignments.list_all(
            context.connection,
            actors=[self._actor(path)],
            targets=[self._target(path)],
            inherited=self.inherited,
        )
        known = roles.by_id(context.connection, {each.role_id for each in found})
        return collection(context, "roles", [document_of(context, role) for role in known.values()])

    def check(self, context: Context, **path: str) -> Answer:
        """GET …/roles/{role_id}."""
        self._enforce(context, "check", path)
        assignments.check(context.connection, self._assignment(path))
        return NO_CONTENT

    def create(self, context: Context, **path: str) -> Answer:
        """PUT …/roles/{role_id}."""
        self._enforce(context, "create", path)
        role = roles.get(context.connection, path["role_id"])
        if self.target_kind is TargetKind.SYSTEM and role.domain_id is not None:
            raise BadRequest(f"Role {role.id} is a domain-specific role. It cannot be used in a system assignment.")
        assignments.grant(context.connection, self._assignment(path))
        return NO_CONTENT

    def remove(self, context: Context, **path: str) -> Answer:
        """DELETE …/roles/{role_id}."""
        self._enforce(context, "revoke", path)
        assignments.withdraw(context.connection, self._assignment(path), context.now_us)
        return NO_CONTENT

    def _actor(self, path: Mapping[str, str]) -> Actor:
        return Actor(self.actor_kind, path[f"{self.actor_kind.value}_id"])

    def _target(self, path: Mapping[str, str]) -> assignments.Target:
        return assignments.Target(self.target_kind, path.get(f"{self.target_kind.value}_id", SYSTEM_ID))

    def _assignment(self, path: Mapping[str, str]) -> Assignment:
        return Assignment(self._actor(path), self._target(path), path["role_id"], self.inherited)

    def _enforce(self, context: Context, verb: str, path: Mapping[str, str]) -> None:
        """Refuse who may not; then, raise NotFound unless all that the path names is there."""

        def find() -> Target:
            known = {**self._place(context, self._target(path).id), **self._holder(context, self._actor(path).id)}
            if "role_id" in path and verb != "check":  # to look there, it does not matter what the role is
                known |= target_of_role(roles.get(context.connection, path["role_id"]))
            return known

        context.permitted(self._rule(verb), find, lambda target: target)

    def _rule(self, verb: str) -> str:
        if self.target_kind is not TargetKind.SYSTEM:
            return f"identity:{verb}_grants" if verb == "list" else f"identity:{verb}_grant"
        noun = "system_grants" if verb == "list" else "system_grant"
        return f"identity:{verb}_{noun}_for_{self.actor_kind.value}"

    def _place(self, context: Context, target_id: str) -> Target:
        if self.target_kind is TargetKind.PROJECT:
            return target_of_project(projects.get(context.connection, target_id))
        if self.target_kind is TargetKind.DOMAIN:
            return target_of_domain(domains.get(context.connection, target_id))
        return {}

    def _holder(self, context: Context, actor_id: str) -> Target:
        if self.actor_kind is ActorKind.USER:
            user = user_operations.target_of(users.get(context.connection, actor_id))
            return {name: value for name, value in user.items() if name != "user_id"}  # it is no owner of the grant
        return group_operations.target_of(groups.get(context.connection, actor_id))
