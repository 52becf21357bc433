"""Operations on groups, and on who is in them."""

from cluster.controlplane.answer import NO_CONTENT, Answer, created, ok
from identity.keystone import domains, groups, memberships, users
from identity.keystone.api.context import Context, Target
from identity.keystone.api.forms import ID_OR_NULL, NAME, TEXT_OR_NULL, Form, with_domain, without_nulls
from identity.keystone.api.listing import Document, page_within_domain, shown
from identity.keystone.groups import Group
from identity.keystone.records import made

_FORM = Form("group", {"name": {**NAME, "maxLength": 64}, "description": TEXT_OR_NULL, "domain_id": ID_OR_NULL})


def document_of(context: Context, group: Group) -> Document:
    """Return what clients see of a group."""
    return shown(context, "groups", group)


def document_of_membership(context: Context, group: Group) -> Document:
    """Return what clients see of a group that a user is in. Memberships do not expire."""
    return {**document_of(context, group), "membership_expires_at": None}


def list_all(context: Context) -> Answer:
    """GET /v3/groups."""
    return page_within_domain(context, "groups", groups.list_page, document_of)


def create(context: Context) -> Answer:
    """POST /v3/groups."""
    group = made(Group, with_domain(context, without_nulls(_FORM.for_creation(context), "description")))
    context.enforce("identity:create_group", target_of(group))
    domains.get(context.connection, group.domain_id)
    return created({"group": document_of(context, groups.create(context.connection, group))})


def show(context: Context, group_id: str) -> Answer:
    """GET /v3/groups/{group_id}."""
    return ok({"group": document_of(context, permitted(context, "identity:get_group", group_id))})


def change(context: Context, group_id: str) -> Answer:
    """PATCH /v3/groups/{group_id}."""
    group = permitted(context, "identity:update_group", group_id)
    attributes = without_nulls(_FORM.for_change(context), "description", "domain_id")
    return ok({"group": document_of(context, groups.change(context.connection, group, attributes))})


def remove(context: Context, group_id: str) -> Answer:
    """DELETE /v3/groups/{group_id}."""
    group = permitted(context, "identity:delete_group", group_id)
    groups.remove(context.connection, group.id, context.now_us)
    return NO_CONTENT


def check_member(context: Context, group_id: str, user_id: str) -> Answer:
    """GET /v3/groups/{group_id}/users/{user_id}."""
    _permitted_member(context, "identity:check_user_in_group", group_id, user_id)
    memberships.check(context.connection, group_id, user_id)
    return NO_CONTENT


def add_member(context: Context, group_id: str, user_id: str) -> Answer:
    """PUT /v3/groups/{group_id}/users/{user_id}."""
    _permitted_member(context, "identity:add_user_to_group", group_id, user_id)
    memberships.add(context.connection, group_id, user_id)
    return NO_CONTENT


def remove_member(context: Context, group_id: str, user_id: str) -> Answer:
    """DELETE /v3/groups/{group_id}/users/{user_id}."""
    _permitted_member(context, "identity:remove_user_from_group", group_id, user_id)
    memberships.remove(context.connection, group_id, user_id, context.now_us)
    return NO_CONTENT


def permitted(context: Context, rule: str, group_id: str) -> Group:
    """Return a group that the caller may act on."""
    return context.permitted(rule, lambda: groups.get(context.connection, group_id), target_of)


def target_of(group: Group) -> Target:
    """Return what rules can say of a group."""
    return {"target.group.id": group.id, "target.group.domain_id": group.domain_id}


def _permitted_member(context: Context, rule: str, group_id: str, user_id: str) -> None:
    def find() -> Target:
        group = groups.get(context.connection, group_id)
        user = users.get(context.connection, user_id)
        return {**target_of(group), "target.user.id": user.id, "target.user.domain_id": user.domain_id}

    context.permitted(rule, find, lambda target: target)
