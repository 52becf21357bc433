"""The words that default rules are made of, in oslo.policy's language.

What is left of a colon is said of the caller: role, user_id, project_id, domain_id, system_scope. `%(…)s` is said of
what the rule is applied to; a rule that asks for what the target does not have allows nothing.
"""

from collections.abc import Mapping

Rules = Mapping[str, str]  # check, by the name of the rule

ADMIN = "rule:admin_required"
SYSTEM_READER = "(role:reader and system_scope:all)"
ADMIN_OR_SYSTEM_READER = f"{ADMIN} or {SYSTEM_READER}"
ADMIN_OR_SERVICE = f"{ADMIN} or rule:service_role"
DOMAIN_MANAGER = "(role:manager and not domain_id:None)"  # of any domain
ANYBODY = "@"  # with a token

SHARED: Rules = {
    "admin_required": "role:admin",
    "service_role": "role:service",
    "owner": "user_id:%(user_id)s or user_id:%(target.user.id)s",
    "token_subject": "user_id:%(target.token.user_id)s",
    # a domain's own role may imply anything: to others it is not what its name says
    "role_of_domain": "(True:%(target.role.is_global)s or domain_id:%(target.role.domain_id)s)",
    "domain_managed_target_role": (
        "'manager':%(target.role.name)s or 'member':%(target.role.name)s or 'reader':%(target.role.name)s"
    ),
}


def readers_of_domain(*of: str) -> str:
    """Return who sees what is in a domain: admins, readers of the system, and readers of all the domains `of`."""
    return f"{ADMIN_OR_SYSTEM_READER} or {_in_domains('reader', of)}"


def managers_of_domain(*of: str) -> str:
    """Return who changes what is in a domain: admins, and managers of all the domains `of`."""
    return f"{ADMIN} or {_in_domains('manager', of)}"


def _in_domains(role: str, of: tuple[str, ...]) -> str:
    return " and ".join([f"(role:{role}", *(f"domain_id:%({each})s" for each in of)]) + ")"
