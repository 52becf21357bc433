"""Operations on users."""

from cluster.controlplane.answer import NO_CONTENT, Answer, created, ok
from cluster.controlplane.schema import Schema
from identity.keystone import domains, effective, groups, lockout, projects, removal, users
from identity.keystone.api import groups as group_operations
from identity.keystone.api import projects as project_operations
from identity.keystone.api.context import Context, Target
from identity.keystone.api.forms import (
    BOOLEAN,
    ID_OR_NULL,
    NAME,
    TEXT,
    TEXT_OR_NULL,
    Form,
    with_domain,
    without_nulls,
)
from identity.keystone.api.listing import Document, page_of, page_within_domain, shown
from identity.keystone.api.moments import iso
from identity.keystone.authentication import password as password_method
from identity.keystone.authentication.proof import WrongPassword
from identity.keystone.authentication.request import Named, PasswordClaim
from identity.keystone.errors import BadRequest, NotFound, PasswordExpired
from identity.keystone.records import made
from identity.keystone.schema import projects as project_rows
from identity.keystone.tokens.token import ScopeKind
from identity.keystone.users import User

_BOOLEAN_OR_NULL = {"type": ["boolean", "null"]}
_OPTIONS = {
    "type": "object",
    "properties": {
        "ignore_change_password_upon_first_use": _BOOLEAN_OR_NULL,
        "ignore_password_expiry": _BOOLEAN_OR_NULL,
        "ignore_lockout_failure_attempts": _BOOLEAN_OR_NULL,
        "ignore_user_inactivity": _BOOLEAN_OR_NULL,
        "lock_password": _BOOLEAN_OR_NULL,
        "multi_factor_auth_enabled": _BOOLEAN_OR_NULL,
        "multi_factor_auth_rules": {"type": ["array", "null"], "items": {"type": "array", "items": TEXT}},
    },
    "additionalProperties": False,
}
_FORM = Form(
    "user",
    {
        "name": NAME,
        "password": TEXT_OR_NULL,
        "domain_id": ID_OR_NULL,
        "default_project_id": ID_OR_NULL,
        "enabled": BOOLEAN,
        "description": TEXT_OR_NULL,
        "options": _OPTIONS,
    },
)
_PASSWORD_SCHEMA = Schema(
    {
        "type": "object",
        "properties": {
            "user": {
                "type": "object",
                "properties": {"original_password": TEXT, "password": TEXT},
                "required": ["original_password", "password"],
                "additionalProperties": False,
            }
        },
        "required": ["user"],
    }
)


def document_of(context: Context, user: User) -> Document:
    """Return what clients see of a user."""
    document = shown(context, "users", user)
    document["password_expires_at"] = iso(user.password_expires_at_us)
    if user.default_project_id is None:
        del document["default_project_id"]
    return document


def list_all(context: Context) -> Answer:
    """GET /v3/users."""
    return page_within_domain(context, "users", users.list_page, document_of)


def create(context: Context) -> Answer:
    """POST /v3/users."""
    attributes = with_domain(context, _FORM.for_creation(context))
    password = attributes.pop("password", None)
    user = made(User, attributes)
    context.enforce("identity:create_user", target_of(user))
    domains.get(context.connection, user.domain_id)
    _check_default_project(context, user.default_project_id)
    user = users.create(context.connection, user, password, context.settings, context.now_us)
    return created({"user": document_of(context, user)})


def show(context: Context, user_id: str) -> Answer:
    """GET /v3/users/{user_id}."""
    return ok({"user": document_of(context, permitted(context, "identity:get_user", user_id))})


def change(context: Context, user_id: str) -> Answer:
    """PATCH /v3/users/{user_id}."""
    user = permitted(context, "identity:update_user", user_id)
    attributes = without_nulls(_FORM.for_change(context), "domain_id")
    if attributes.get("default_project_id") != user.default_project_id:
        _check_default_project(context, attributes.get("default_project_id"))
    user = users.change(context.connection, user, attributes, context.settings, context.now_us)
    return ok({"user": document_of(context, user)})


def remove(context: Context, user_id: str) -> Answer:
    """DELETE /v3/users/{user_id}."""
    user = permitted(context, "identity:delete_user", user_id)
    removal.remove_user(context.connection, user.id, context.now_us)
    return NO_CONTENT


def change_password(context: Context, user_id: str) -> Answer:
    """POST /v3/users/{user_id}/password: by the user, who proves to be it with the password alone."""
    _PASSWORD_SCHEMA.check(context.document)
    wish: dict[str, str] = context.document["user"]
    claim = PasswordClaim(Named(id=user_id), wish["original_password"])
    rules, now_us = context.settings.lockout, context.now_us
    try:
        password_method.prove(context.connection, claim, context.settings, now_us)
    except PasswordExpired:
        pass  # which is why it is changed
    except WrongPassword:
        context.afterwards(lambda connection: lockout.record_failure(connection, user_id, rules, now_us))
        raise
    user = users.get(context.connection, user_id)
    users.change_password(context.connection, user, wish["password"], context.settings, now_us)
    return NO_CONTENT


def list_groups(context: Context, user_id: str) -> Answer:
    """GET /v3/users/{user_id}/groups."""
    user = permitted(context, "identity:list_groups_for_user", user_id)
    found = groups.list_page(context.connection, context.query, context.page, groups.has_member(user.id))
    return page_of(context, "groups", found, group_operations.document_of_membership)


def list_projects(context: Context, user_id: str) -> Answer:
    """GET /v3/users/{user_id}/projects: those that the user has a role in."""
    user = permitted(context, "identity:list_user_projects", user_id)
    project_ids = effective.places_of(context.connection, user.id, ScopeKind.PROJECT)
    found = projects.list_page(context.connection, context.query, context.page, project_rows.c.id.in_(project_ids))
    return page_of(context, "projects", found, project_operations.document_of)


def permitted(context: Context, rule: str, user_id: str) -> User:
    """Return a user that the caller may act on."""
    try:
        user = users.get(context.connection, user_id)
    except NotFound:
        context.enforce(rule, {"user_id": user_id, "target.user.id": user_id})
        raise
    context.enforce(rule, target_of(user))
    return user


def target_of(user: User) -> Target:
    """Return what rules can say of a user."""
    return {"user_id": user.id, "target.user.id": user.id, "target.user.domain_id": user.domain_id}


def _check_default_project(context: Context, project_id: str | None) -> None:
    """Refuse a domain as default project. One that is not there is passed over when somebody authenticates."""
    if project_id and any(each.is_domain for each in projects.with_ids(context.connection, [project_id])):
        raise BadRequest(f"User's default project ID cannot be a domain ID: {project_id}")
