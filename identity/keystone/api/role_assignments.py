"""GET /v3/role_assignments: who has which role where, as assigned, or (`effective`) as it follows for users."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cluster.controlplane.answer import Answer
from identity.keystone import assignments, effective, hierarchy, projects
from identity.keystone.api.assignment_views import Entry, Names, document_of
from identity.keystone.api.context import Context
from identity.keystone.api.listing import collection
from identity.keystone.api.projects import target_of as target_of_project
from identity.keystone.assignments import SYSTEM, Actor, Target, TargetKind
from identity.keystone.errors import BadRequest
from identity.keystone.filters import is_true


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a query asks for."""

    user_id: str | None
    group_id: str | None
    role_id: str | None
    target: Target | None
    inherited: bool  # only inherited assignments
    effective: bool
    with_names: bool
    with_subtree: bool

    @classmethod
    def of_query(cls, query: Mapping[str, str]) -> "Wanted":
        """Return what `query` asks for. Raise BadRequest when it contradicts itself."""
        wanted = cls(
            user_id=query.get("user.id"),
            group_id=query.get("group.id"),
            role_id=query.get("role.id"),
            target=_target_of(query),
            inherited="scope.OS-INHERIT:inherited_to" in query,
            effective=_flag(query, "effective"),
            with_names=_flag(query, "include_names"),
            with_subtree=_flag(query, "include_subtree"),
        )
        if wanted.user_id and wanted.group_id:
            raise BadRequest("Specify a user or group, not both")
        if wanted.effective and wanted.group_id:
            raise BadRequest("Combining effective and group filter will always result in an empty list.")
        if wanted.effective and wanted.inherited and not wanted.target:
            raise BadRequest("Combining effective and inherited_to is meaningless: what is inherited is resolved.")
        if wanted.with_subtree and (wanted.target is None or wanted.target.kind is not TargetKind.PROJECT):
            raise BadRequest("scope.project.id must be specified if include_subtree is also specified")
        return wanted

    @property
    def actors(self) -> list[Actor] | None:
        """Return whose assignments are asked for; None: anybody's."""
        if self.user_id:
            return [assignments.user(self.user_id)]
        return [assignments.group(self.group_id)] if self.group_id else None


def list_all(context: Context) -> Answer:
    """GET /v3/role_assignments."""
    assert context.caller
    wanted = Wanted.of_query(context.query)
    if wanted.with_subtree:
        _enforce_tree(context, wanted)
    else:
        context.enforce("identity:list_role_assignments", {"target.domain_id": context.domain_id})
    entries = _found(context, wanted)
    if context.domain_id is not None:
        entries = _in_domain(context, entries, context.domain_id)
    names = Names(context.connection) if wanted.with_names else None
    return collection(context, "role_assignments", [document_of(context, each, names) for each in entries])


def _enforce_tree(context: Context, wanted: Wanted) -> None:
    assert wanted.target is not None
    project_id = wanted.target.id
    context.permitted(
        "identity:list_role_assignments_for_tree",
        lambda: projects.get(context.connection, project_id),
        target_of_project,
    )


def _found(context: Context, wanted: Wanted) -> list[Entry]:
    targets = _targets(context, wanted)
    if not wanted.effective:
        found = assignments.list_all(
            context.connection, wanted.actors, targets, wanted.role_id, True if wanted.inherited else None
        )
        return [Entry.of_assignment(each) for each in found]
    conclusions = [
        each
        for target in (targets if targets is not None else [None])
        for each in effective.derived(context.connection, wanted.user_id, target, wanted.role_id)
        if each.source.inherited or not wanted.inherited
    ]
    return [Entry.of_conclusion(each) for each in conclusions]


def _targets(context: Context, wanted: Wanted) -> list[Target] | None:
    if wanted.target is None:
        return None
    if not wanted.with_subtree:
        return [wanted.target]
    below = hierarchy.descendant_ids(context.connection, wanted.target.id)
    return [wanted.target, *map(assignments.project, below)]


def _in_domain(context: Context, entries: Iterable[Entry], domain_id: str) -> list[Entry]:
    """Return the entries about a domain and the projects in it: nothing else is shown to who has a token for it."""
    entries = list(entries)
    project_ids = {each.target.id for each in entries if each.target.kind is TargetKind.PROJECT}
    inside = {
        each.id
        for each in projects.with_ids(context.connection, sorted(project_ids))
        if domain_id in (each.domain_id, each.id)
    }
    return [
        each
        for each in entries
        if (each.target.kind is TargetKind.PROJECT and each.target.id in inside)
        or (each.target.kind is TargetKind.DOMAIN and each.target.id == domain_id)
    ]


def _target_of(query: Mapping[str, str]) -> Target | None:
    found: list[Target] = []
    if query.get("scope.project.id"):
        found.append(assignments.project(query["scope.project.id"]))
    if query.get("scope.domain.id"):
        found.append(assignments.domain(query["scope.domain.id"]))
    if query.get("scope.system"):
        found.append(SYSTEM)
    if len(found) > 1:
        raise BadRequest("Specify a domain, a project or the system, not several of them")
    return found[0] if found else None


def _flag(query: Mapping[str, str], name: str) -> bool:
    """Tell whether a flag is set: `?effective` is, `?effective=0` is not."""
    return name in query and is_true(query[name])
