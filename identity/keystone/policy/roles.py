"""Default rules: roles, what they imply, and who has them where."""

from identity.keystone.policy.checks import (
    ADMIN,
    ADMIN_OR_SYSTEM_READER,
    DOMAIN_MANAGER,
    Rules,
    readers_of_domain,
)

ROLES: Rules = {
    "identity:get_role": f"{ADMIN_OR_SYSTEM_READER} or {DOMAIN_MANAGER}",
    "identity:list_roles": f"{ADMIN_OR_SYSTEM_READER} or {DOMAIN_MANAGER}",
    "identity:create_role": ADMIN,
    "identity:update_role": ADMIN,
    "identity:delete_role": ADMIN,
    "identity:get_domain_role": ADMIN_OR_SYSTEM_READER,
    "identity:list_domain_roles": ADMIN_OR_SYSTEM_READER,
    "identity:create_domain_role": ADMIN,
    "identity:update_domain_role": ADMIN,
    "identity:delete_domain_role": ADMIN,
    "identity:get_implied_role": ADMIN_OR_SYSTEM_READER,
    "identity:list_implied_roles": ADMIN_OR_SYSTEM_READER,
    "identity:check_implied_role": ADMIN_OR_SYSTEM_READER,
    "identity:list_role_inference_rules": ADMIN_OR_SYSTEM_READER,
    "identity:create_implied_role": ADMIN,
    "identity:delete_implied_role": ADMIN,
}

# Of a grant a caller from a domain must own both ends: who gets the role, and where.
_ACTORS = ("target.user.domain_id", "target.group.domain_id")
_PLACES = ("target.project.domain_id", "target.domain.id")


def _within_domain(role: str, more: str = "") -> str:
    return " or ".join(
        f"(role:{role} and domain_id:%({actor})s and domain_id:%({place})s{more})"
        for actor in _ACTORS
        for place in _PLACES
    )


_READ = f"{ADMIN_OR_SYSTEM_READER} or {_within_domain('reader')}"
_WRITE = f"{ADMIN} or {_within_domain('manager', ' and rule:domain_managed_target_role and rule:role_of_domain')}"

GRANTS: Rules = {
    "identity:check_grant": _READ,
    "identity:list_grants": _READ,
    "identity:create_grant": _WRITE,
    "identity:revoke_grant": _WRITE,
    "identity:list_system_grants_for_user": ADMIN_OR_SYSTEM_READER,
    "identity:check_system_grant_for_user": ADMIN_OR_SYSTEM_READER,
    "identity:create_system_grant_for_user": ADMIN,
    "identity:revoke_system_grant_for_user": ADMIN,
    "identity:list_system_grants_for_group": ADMIN_OR_SYSTEM_READER,
    "identity:check_system_grant_for_group": ADMIN_OR_SYSTEM_READER,
    "identity:create_system_grant_for_group": ADMIN,
    "identity:revoke_system_grant_for_group": ADMIN,
    "identity:list_role_assignments": readers_of_domain("target.domain_id"),
    "identity:list_role_assignments_for_tree": (
        f"{readers_of_domain('target.project.domain_id')} or (role:admin and project_id:%(target.project.id)s)"
    ),
}
