"""Default rules: tokens of others, what one's own is good for, and signatures that services ask about."""

from identity.keystone.policy.checks import ADMIN, ADMIN_OR_SERVICE, ADMIN_OR_SYSTEM_READER, ANYBODY, Rules

TOKENS: Rules = {
    "identity:check_token": f"{ADMIN_OR_SYSTEM_READER} or rule:service_role or rule:token_subject",
    "identity:validate_token": f"{ADMIN_OR_SYSTEM_READER} or rule:service_role or rule:token_subject",
    "identity:revoke_token": f"{ADMIN} or rule:token_subject",
    "identity:get_auth_catalog": ANYBODY,
    "identity:get_auth_projects": ANYBODY,
    "identity:get_auth_domains": ANYBODY,
    "identity:get_auth_system": ANYBODY,
    "identity:list_revoke_events": ADMIN_OR_SERVICE,
    "identity:ec2tokens_validate": ADMIN_OR_SERVICE,
    "identity:s3tokens_validate": ADMIN_OR_SERVICE,
}
