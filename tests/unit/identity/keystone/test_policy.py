"""Who may do what: identity/keystone/policy. Source: Keystone's default policies."""

from pathlib import Path

import pytest
from oslo_policy.policy import PolicyNotRegistered

from identity.keystone.errors import Forbidden
from identity.keystone.policy.defaults import RULES
from identity.keystone.policy.enforcer import PolicyEnforcer
from identity.keystone.tokens.token import SYSTEM_SCOPE, Method, Person, Role, Scope, ScopeKind, Token
from tests.unit.identity.keystone.service import ENFORCER

HERE = Scope(ScopeKind.DOMAIN, "here", "Here", "here", "Here")
PHOTOS = Scope(ScopeKind.PROJECT, "photos", "photos", "here", "Here")


def holder(scope: Scope | None, *roles: str) -> Token:
    held = tuple(Role(role, role) for role in roles)
    return Token(Person("ann", "ann", "here", "Here"), (Method.PASSWORD,), scope, held, 1, 2, ("audit",))


MANAGER, READER = holder(HERE, "manager", "member", "reader"), holder(HERE, "reader")


def test_admins_may_do_everything_but_act_for_others() -> None:
    personal = {"identity:create_application_credential", "identity:change_password"}
    for rule in RULES:
        assert ENFORCER.allows(rule, holder(PHOTOS, "admin"), {}) is (rule not in personal), rule


def test_without_a_role_only_what_is_for_everybody_or_ones_own() -> None:
    open_to_all = {rule for rule in RULES if ENFORCER.allows(rule, holder(None), {})}
    assert open_to_all == {
        "identity:get_region",
        "identity:list_regions",
        "identity:list_credentials",
        "identity:get_auth_catalog",
        "identity:get_auth_projects",
        "identity:get_auth_domains",
        "identity:get_auth_system",
        "identity:get_security_compliance_domain_config",
    }


def test_readers_of_the_system_see_everything_and_change_nothing() -> None:
    reader = holder(SYSTEM_SCOPE, "reader")
    for rule in RULES:
        verb = rule.removeprefix("identity:").removeprefix("ec2_").partition("_")[0]
        if verb in ("create", "update", "delete", "add", "remove", "revoke"):
            assert not ENFORCER.allows(rule, reader, {}), rule
    for rule in ("get_user", "list_users", "list_projects", "list_role_assignments", "get_credential"):
        assert ENFORCER.allows(f"identity:{rule}", reader, {})


@pytest.mark.parametrize("kind", ["user", "group", "project"])
@pytest.mark.parametrize("verb", ["create", "update", "delete", "get"])
def test_a_domain_is_managed_from_within(kind: str, verb: str) -> None:
    rule = f"identity:{verb}_{kind}"
    assert ENFORCER.allows(rule, MANAGER, {f"target.{kind}.domain_id": "here"})
    assert ENFORCER.allows(rule, READER, {f"target.{kind}.domain_id": "here"}) is (verb == "get")
    for token in (MANAGER, READER):
        assert not ENFORCER.allows(rule, token, {f"target.{kind}.domain_id": "elsewhere"})
        assert not ENFORCER.allows(rule, token, {f"target.{kind}.domain_id": None})
        assert not ENFORCER.allows(rule, token, {})


def test_a_role_for_a_project_says_nothing_about_its_domain() -> None:
    for scope in (PHOTOS, None):
        token = holder(scope, "manager", "member", "reader")
        assert not ENFORCER.allows("identity:create_user", token, {"target.user.domain_id": "here"})
        assert not ENFORCER.allows("identity:list_users", token, {"target.domain_id": None})
        assert not ENFORCER.allows("identity:list_users", token, {})


@pytest.mark.parametrize("role", ["admin", "service", "made up"])
def test_managers_grant_ordinary_roles_only(role: str) -> None:
    inside = {"target.user.domain_id": "here", "target.project.domain_id": "here", "target.role.is_global": True}
    for ordinary in ("manager", "member", "reader"):
        assert ENFORCER.allows("identity:create_grant", MANAGER, {**inside, "target.role.name": ordinary})
    assert not ENFORCER.allows("identity:create_grant", MANAGER, {**inside, "target.role.name": role})
    for outside in ("target.user.domain_id", "target.project.domain_id"):
        target = {**inside, outside: "elsewhere", "target.role.name": "member"}
        assert not ENFORCER.allows("identity:create_grant", MANAGER, target)


def test_managers_grant_no_roles_that_are_another_domains_own() -> None:
    """Such a role may be named like an ordinary one, and imply another."""
    target = {"target.user.domain_id": "here", "target.project.domain_id": "here", "target.role.name": "member"}
    own = {**target, "target.role.is_global": False, "target.role.domain_id": "here"}
    for rule in ("identity:create_grant", "identity:revoke_grant"):
        assert ENFORCER.allows(rule, MANAGER, own)
        assert not ENFORCER.allows(rule, MANAGER, {**own, "target.role.domain_id": "elsewhere"})
        assert not ENFORCER.allows(rule, MANAGER, target)


def test_both_ends_of_a_membership_must_be_in_the_domain() -> None:
    rule = "identity:add_user_to_group"
    assert ENFORCER.allows(rule, MANAGER, {"target.user.domain_id": "here", "target.group.domain_id": "here"})
    assert not ENFORCER.allows(rule, MANAGER, {"target.user.domain_id": "here", "target.group.domain_id": "elsewhere"})
    assert not ENFORCER.allows(rule, MANAGER, {"target.user.domain_id": "elsewhere", "target.group.domain_id": "here"})


def test_services_ask_about_tokens_and_signatures() -> None:
    service = holder(PHOTOS, "service")
    for rule in ("validate_token", "check_token", "ec2tokens_validate", "s3tokens_validate", "list_revoke_events"):
        assert ENFORCER.allows(f"identity:{rule}", service, {})
    assert not ENFORCER.allows("identity:list_users", service, {})
    assert not ENFORCER.allows("identity:revoke_token", service, {"target.token.user_id": "bob"})


def test_a_refusal_names_the_rule() -> None:
    with pytest.raises(Forbidden, match="identity:create_user"):
        ENFORCER.enforce("identity:create_user", holder(None), {})


def test_a_rule_that_is_not_there_is_a_defect() -> None:
    with pytest.raises(PolicyNotRegistered):
        ENFORCER.allows("identity:make_coffee", holder(PHOTOS, "admin"), {})


def test_an_operator_overrides_single_rules(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('"identity:list_regions": "role:admin"\n"identity:get_domain": "token.project.domain.id:here"\n')
    enforcer = PolicyEnforcer(str(file))
    assert not enforcer.allows("identity:list_regions", holder(PHOTOS, "member"), {})
    assert enforcer.allows("identity:list_regions", holder(PHOTOS, "admin"), {})
    assert enforcer.allows("identity:get_domain", holder(PHOTOS), {})
    assert enforcer.allows("identity:get_region", holder(PHOTOS), {})
