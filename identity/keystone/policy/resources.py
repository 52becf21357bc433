"""Default rules: domains, projects and their tags."""

from identity.keystone.policy.checks import (
    ADMIN,
    ADMIN_OR_SYSTEM_READER,
    ANYBODY,
    Rules,
    managers_of_domain,
    readers_of_domain,
)

_OWN_PROJECT = "project_id:%(target.project.id)s"
_DOMAIN = "target.project.domain_id"

DOMAINS: Rules = {
    "identity:get_domain": (
        f"{ADMIN_OR_SYSTEM_READER} or domain_id:%(target.domain.id)s or token.project.domain.id:%(target.domain.id)s"
    ),
    "identity:list_domains": f"{readers_of_domain('target.domain.id')} or (role:manager and not domain_id:None)",
    "identity:create_domain": ADMIN,
    "identity:update_domain": ADMIN,
    "identity:delete_domain": ADMIN,
    "identity:get_domain_config": ADMIN_OR_SYSTEM_READER,
    "identity:get_domain_config_default": ADMIN_OR_SYSTEM_READER,
    "identity:get_security_compliance_domain_config": ANYBODY,
    "identity:create_domain_config": ADMIN,
    "identity:update_domain_config": ADMIN,
    "identity:delete_domain_config": ADMIN,
}

PROJECTS: Rules = {
    "identity:get_project": f"{readers_of_domain(_DOMAIN)} or {_OWN_PROJECT}",
    "identity:list_projects": readers_of_domain("target.domain_id"),
    "identity:list_user_projects": f"{readers_of_domain('target.user.domain_id')} or rule:owner",
    "identity:create_project": managers_of_domain(_DOMAIN),
    "identity:update_project": managers_of_domain(_DOMAIN),
    "identity:delete_project": managers_of_domain(_DOMAIN),
    "identity:list_project_tags": f"{readers_of_domain(_DOMAIN)} or {_OWN_PROJECT}",
    "identity:get_project_tag": f"{readers_of_domain(_DOMAIN)} or {_OWN_PROJECT}",
    "identity:update_project_tags": managers_of_domain(_DOMAIN),
    "identity:create_project_tag": managers_of_domain(_DOMAIN),
    "identity:delete_project_tags": managers_of_domain(_DOMAIN),
    "identity:delete_project_tag": managers_of_domain(_DOMAIN),
}
