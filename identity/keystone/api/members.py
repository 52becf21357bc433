"""The operation that lists who is in a group: users, seen from groups."""

from cluster.controlplane.answer import Answer
from identity.keystone import users
from identity.keystone.api.context import Context
from identity.keystone.api.groups import permitted
from identity.keystone.api.listing import page_of
from identity.keystone.api.users import document_of


def list_all(context: Context, group_id: str) -> Answer:
    """GET /v3/groups/{group_id}/users."""
    group = permitted(context, "identity:list_users_in_group", group_id)
    found = users.list_page(context.connection, context.query, context.page, users.is_member_of(group.id))
    return page_of(context, "users", found, document_of)
