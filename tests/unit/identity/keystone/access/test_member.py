"""Who may do what in object storage: identity/keystone/access/member.py."""

from dataclasses import replace

import pytest

from identity.interfaces import Action, Signer
from identity.keystone.access.member import Member, of_token
from identity.keystone.tokens.token import SYSTEM_SCOPE, Person, Scope, ScopeKind
from tests.unit.identity.keystone.access.samples import ANN, PHOTOS, project, token

OWN, OTHER = f"AUTH_{PHOTOS}", "AUTH_" + "f" * 32


def may(member: Member, account: str = OWN) -> tuple[bool, bool]:
    """Return whether somebody may read and write in an account."""
    return member.may(account, Action.READ), member.may(account, Action.WRITE)


@pytest.mark.parametrize("role", ["admin", "manager", "member", "Member"])
def test_operators_do_everything_in_their_own_account_only(role: str) -> None:
    member = of_token(token(role))
    assert member.account == OWN
    assert may(member) == (True, True)
    assert may(member, OTHER) == (False, False)
    assert may(member, "") == (False, False)


def test_readers_read() -> None:
    assert may(of_token(token("reader"))) == (True, False)
    assert may(of_token(token("reader")), OTHER) == (False, False)


def test_other_roles_allow_nothing() -> None:
    assert may(of_token(token("service", "auditor"))) == (False, False)


def test_resellers_do_everything_everywhere() -> None:
    """As Swift's keystoneauth has it; of the default domain only: others give themselves what roles they like."""
    assert may(of_token(token("ResellerAdmin")), OTHER) == (True, True)
    assert may(of_token(token("ResellerAdmin", scope=project(domain_id="d2"))), OTHER) == (False, False)


@pytest.mark.parametrize("name", ["admin", "service"])
def test_administrators_of_the_cluster_do_everything_everywhere(name: str) -> None:
    admin = of_token(token("admin", scope=project(name)))
    assert may(admin, OTHER) == (True, True)
    assert may(admin, "elsewhere") == (False, False)
    assert may(of_token(token("manager", scope=project(name))), OTHER) == (False, False)
    assert may(of_token(token("admin", scope=project(name, domain_id="d2"))), OTHER) == (False, False)


@pytest.mark.parametrize(
    "scope",
    [
        SYSTEM_SCOPE,
        Scope(ScopeKind.DOMAIN, PHOTOS, "photos", PHOTOS, "photos"),
        replace(project(), is_domain=True),
    ],
)
def test_other_scopes_have_no_account(scope: Scope) -> None:
    nobody = of_token(token("admin", scope=scope))
    assert nobody.account == ""
    assert may(nobody) == may(nobody, "") == (False, False)
    assert not nobody.listed_as("")
    assert not nobody.listed_as(OWN)


def test_an_unscoped_token_has_no_account() -> None:
    assert of_token(replace(token(), scope=None)).account == ""


def test_lists_name_projects_and_users_by_id_and_in_the_default_domain_by_name() -> None:
    listed = of_token(token("member")).listed_as(OTHER)
    for each in (PHOTOS, "photos", "*"):
        for own in (ANN.id, "ann", "*"):
            assert f"{each}:{own}" in listed
    assert not {"photos", "ann"} & set(listed)


@pytest.mark.parametrize(
    ("scope", "user"),
    [
        (project(domain_id="d2"), ANN),
        (project(), Person(ANN.id, "ann", "d2", "D2")),
    ],
)
def test_names_of_other_domains_do_not_count(scope: Scope, user: Person) -> None:
    listed = of_token(token("member", scope=scope, user=user)).listed_as(OTHER)
    assert set(listed) == {f"{PHOTOS}:{ANN.id}", f"*:{ANN.id}", f"{PHOTOS}:*", "*:*"}


def test_a_role_in_a_list_is_that_of_the_lists_own_project() -> None:
    member = of_token(token("auditor"))
    assert "auditor" in member.listed_as(OWN)
    assert "auditor" not in member.listed_as(OTHER)


def test_owners_are_told_apart_as_s3_does() -> None:
    one: Signer = of_token(token("member"))
    assert len(one.id) == 64
    assert one.id == of_token(token("reader", user=Person("c" * 32, "bob", "default", "Default"))).id
    assert one.display_name == "photos"
    assert "secret" not in repr(replace(of_token(token("member")), secret_key="secret"))
