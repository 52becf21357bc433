"""Default rules: users and groups, and the secrets of users."""

from identity.keystone.policy.checks import (
    ADMIN,
    ADMIN_OR_SYSTEM_READER,
    ANYBODY,
    Rules,
    managers_of_domain,
    readers_of_domain,
)

_OWN_CREDENTIAL = "user_id:%(target.credential.user_id)s"

USERS: Rules = {
    "identity:get_user": f"{readers_of_domain('target.user.domain_id')} or rule:owner",
    "identity:list_users": readers_of_domain("target.domain_id"),
    "identity:create_user": managers_of_domain("target.user.domain_id"),
    "identity:update_user": managers_of_domain("target.user.domain_id"),
    "identity:delete_user": managers_of_domain("target.user.domain_id"),
    "identity:change_password": "rule:owner",
}

_GROUP, _MEMBER = "target.group.domain_id", "target.user.domain_id"

GROUPS: Rules = {
    "identity:get_group": readers_of_domain(_GROUP),
    "identity:list_groups": readers_of_domain("target.domain_id"),
    "identity:list_groups_for_user": f"{readers_of_domain(_MEMBER)} or rule:owner",
    "identity:create_group": managers_of_domain(_GROUP),
    "identity:update_group": managers_of_domain(_GROUP),
    "identity:delete_group": managers_of_domain(_GROUP),
    "identity:list_users_in_group": readers_of_domain(_GROUP),
    "identity:check_user_in_group": readers_of_domain(_GROUP, _MEMBER),
    "identity:add_user_to_group": managers_of_domain(_GROUP, _MEMBER),
    "identity:remove_user_from_group": managers_of_domain(_GROUP, _MEMBER),
}

SECRETS: Rules = {
    "identity:get_credential": f"{ADMIN_OR_SYSTEM_READER} or {_OWN_CREDENTIAL}",
    "identity:list_credentials": ANYBODY,  # each sees those that it may get
    "identity:create_credential": f"{ADMIN} or {_OWN_CREDENTIAL}",
    "identity:update_credential": f"{ADMIN} or {_OWN_CREDENTIAL}",
    "identity:delete_credential": f"{ADMIN} or {_OWN_CREDENTIAL}",
    "identity:ec2_get_credential": f"{ADMIN_OR_SYSTEM_READER} or {_OWN_CREDENTIAL}",
    "identity:ec2_list_credentials": f"{ADMIN_OR_SYSTEM_READER} or rule:owner",
    "identity:ec2_create_credential": f"{ADMIN} or rule:owner",
    "identity:ec2_delete_credential": f"{ADMIN} or {_OWN_CREDENTIAL}",
    "identity:get_application_credential": f"{ADMIN_OR_SYSTEM_READER} or rule:owner",
    "identity:list_application_credentials": f"{ADMIN_OR_SYSTEM_READER} or rule:owner",
    "identity:create_application_credential": "rule:owner",
    "identity:delete_application_credential": f"{ADMIN} or rule:owner",
    "identity:get_access_rule": f"{ADMIN_OR_SYSTEM_READER} or rule:owner",
    "identity:list_access_rules": f"{ADMIN_OR_SYSTEM_READER} or rule:owner",
    "identity:delete_access_rule": f"{ADMIN} or rule:owner",
}
