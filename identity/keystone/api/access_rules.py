"""Operations on a user's access rules. They are made together with application credentials."""

from cluster.controlplane.answer import NO_CONTENT, Answer, ok
from identity.keystone import access_rules
from identity.keystone.access_rules import AccessRule
from identity.keystone.api.application_credentials import refuse_restricted
from identity.keystone.api.context import Context
from identity.keystone.api.listing import Document, collection
from identity.keystone.api.token_documents import rule_document


def document_of(context: Context, user_id: str, rule: AccessRule) -> Document:
    """Return what clients see of a rule."""
    return {**rule_document(rule), "links": {"self": context.url(f"users/{user_id}/access_rules/{rule.id}")}}


def list_all(context: Context, user_id: str) -> Answer:
    """GET /v3/users/{user_id}/access_rules."""
    _enforce(context, "identity:list_access_rules", user_id)
    found = access_rules.list_all(context.connection, user_id)
    return collection(context, "access_rules", [document_of(context, user_id, rule) for rule in found])


def show(context: Context, user_id: str, access_rule_id: str) -> Answer:
    """GET /v3/users/{user_id}/access_rules/{access_rule_id}."""
    _enforce(context, "identity:get_access_rule", user_id)
    rule = access_rules.get(context.connection, user_id, access_rule_id)
    return ok({"access_rule": document_of(context, user_id, rule)})


def remove(context: Context, user_id: str, access_rule_id: str) -> Answer:
    """DELETE /v3/users/{user_id}/access_rules/{access_rule_id}, unless it is in use."""
    _enforce(context, "identity:delete_access_rule", user_id)
    refuse_restricted(context.caller)
    access_rules.remove(context.connection, user_id, access_rule_id)
    return NO_CONTENT


def _enforce(context: Context, rule: str, user_id: str) -> None:
    context.enforce(rule, {"user_id": user_id, "target.user.id": user_id})
