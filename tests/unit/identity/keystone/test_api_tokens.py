"""Tokens over HTTP. Source: Keystone's API reference, "Authentication and token management"."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from identity.keystone import passwords
from identity.keystone.tokens.rules import TokenRules
from tests.unit.identity.keystone.service import SETTINGS
from tests.unit.identity.keystone.stack import PASSWORD, Caller, Stack, password_identity, project_scope

TOKEN = {"methods": ["token"], "token": {"id": "x"}}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path)


def test_a_password_gives_a_token_for_a_project(stack: Stack) -> None:
    result = stack.by_password("ann", PASSWORD, project_scope("photos"))
    assert result.status_code == 201
    token = result.json["token"]
    assert token["methods"] == ["password"]
    assert token["user"]["name"] == "ann"
    assert token["user"]["domain"] == {"id": "default", "name": "Default"}
    assert token["project"]["id"] == stack.photos["id"]
    assert token["is_domain"] is False
    assert [role["name"] for role in token["roles"]] == ["member", "reader"]
    assert token["catalog"] == []
    assert len(token["audit_ids"]) == 1
    caller = Caller(stack, result.headers["X-Subject-Token"])
    assert caller.ask(200, "GET", "/auth/tokens", subject=caller.text)["token"] == token
    assert caller.request("HEAD", "/auth/tokens", subject=caller.text).status_code == 200


def test_nocatalog_leaves_the_catalog_out(stack: Stack) -> None:
    document = {"auth": {"identity": password_identity("ann", PASSWORD), "scope": project_scope("photos")}}
    assert "catalog" not in stack.nobody.ask(201, "POST", "/auth/tokens?nocatalog", document)["token"]


def test_without_a_scope_it_is_the_default_project_or_none(stack: Stack) -> None:
    assert "project" not in stack.by_password("ann", PASSWORD).json["token"]
    path = f"/users/{stack.ann['id']}"
    stack.admin.ask(200, "PATCH", path, {"user": {"default_project_id": stack.photos["id"]}})
    assert stack.by_password("ann", PASSWORD).json["token"]["project"]["name"] == "photos"
    wishes: tuple[Any, ...] = ("unscoped", {"unscoped": {}})
    for unscoped in wishes:
        token = stack.by_password("ann", PASSWORD, unscoped).json["token"]
        assert not {"project", "roles", "catalog", "is_domain"} & set(token)
    stack.revoke("ann", "photos", "member")
    assert "project" not in stack.by_password("ann", PASSWORD).json["token"]


def test_scopes_by_id_by_name_and_of_all_kinds(stack: Stack) -> None:
    admin = stack.by_password("admin", "secret", {"project": {"id": stack.project.id}}).json["token"]
    assert admin["project"]["name"] == "admin"
    for kind, path in (("domain", "/domains/default"), ("system", "/system")):
        stack.admin.ask(204, "PUT", f"{path}/users/{stack.ann['id']}/roles/{stack.roles['reader'].id}")
        scope = {"system": {"all": True}} if kind == "system" else {"domain": {"name": "Default"}}
        token = stack.by_password("ann", PASSWORD, scope).json["token"]
        assert [role["name"] for role in token["roles"]] == ["reader"]
        expected = {"all": True} if kind == "system" else {"id": "default", "name": "Default"}
        assert token[kind] == expected
        assert "is_domain" not in token


@pytest.mark.parametrize(
    "scope",
    [
        {"project": {"id": "nowhere"}},
        {"project": {"name": "nowhere", "domain": {"id": "default"}}},
        {"project": {"name": "photos", "domain": {"id": "nowhere"}}},
        {"project": {"name": "admin", "domain": {"id": "default"}}},  # has no role there
        {"domain": {"id": "default"}},
        {"domain": {"name": "nowhere"}},
        {"system": {"all": True}},
    ],
)
def test_a_scope_without_a_role_reads_as_one_that_is_not_there(stack: Stack, scope: object) -> None:
    result = stack.by_password("ann", PASSWORD, scope)
    assert result.status_code == 401
    assert result.json["error"]["message"] == "The request you have made requires authentication."


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"identity": {}},
        {"identity": {"methods": []}},
        {"identity": {"methods": ["password"]}},
        {"identity": {"methods": ["password"], "password": {"user": {"name": "ann", "password": "x"}}}},
        {"identity": {"methods": ["password"], "password": {"user": {"id": "x"}}}},
        {"identity": {"methods": ["password"], "password": {"user": {"id": 1, "password": "x"}}}},
        {"identity": {"methods": ["token"], "token": {}}},
        {"identity": {"methods": ["application_credential"], "application_credential": {"secret": "x", "name": "y"}}},
        {"identity": TOKEN, "scope": {}},
        {"identity": TOKEN, "scope": {"system": {}}},
        {"identity": TOKEN, "scope": {"project": {"name": "photos"}}},
        {"identity": TOKEN, "scope": {"project": {"id": "x"}, "domain": {"id": "x"}}},
    ],
)
def test_what_is_no_request_is_refused(stack: Stack, auth: object) -> None:
    stack.nobody.ask(400, "POST", "/auth/tokens", {"auth": auth})


def test_who_fails_to_authenticate_reads_the_same_whatever_is_wrong(stack: Stack) -> None:
    stack.make("user", name="disabled", password=PASSWORD, enabled=False)
    stack.make("user", name="without")
    attempts = [("ann", "wrong"), ("nobody", "wrong"), ("disabled", PASSWORD), ("without", "x"), ("ann", "x" * 5000)]
    answers = [stack.by_password(*attempt) for attempt in attempts]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].headers["WWW-Authenticate"].startswith("Keystone uri=")


def test_an_unknown_user_costs_as_much_as_a_wrong_password(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[str] = []
    real = passwords.verifies

    def counted(password: str, stored: str) -> bool:
        costs.append(stored.rsplit("$", 2)[0])
        return real(password, stored)

    monkeypatch.setattr(passwords, "verifies", counted)
    stack.by_password("ann", "wrong")
    stack.by_password("nobody", "wrong")
    assert len(costs) == 2
    assert costs[0] == costs[1]


def test_too_many_wrong_passwords_lock_a_user_out_for_a_while(stack: Stack) -> None:
    for _ in range(3):
        assert stack.by_password("ann", "wrong").status_code == 401
    assert stack.by_password("ann", PASSWORD).status_code == 401
    stack.pass_s(61)
    assert stack.by_password("ann", PASSWORD).status_code == 201
    for _ in range(2):  # counted anew
        assert stack.by_password("ann", "wrong").status_code == 401
    assert stack.by_password("ann", PASSWORD).status_code == 201


def test_a_token_is_exchanged_for_one_of_another_scope_that_lives_no_longer(stack: Stack) -> None:
    first = stack.login("ann", scope="unscoped")
    expires_at = first.ask(200, "GET", "/auth/tokens", subject=first.text)["token"]["expires_at"]
    stack.pass_s(600)
    second = stack.by_token(first.text, project_scope("photos"))
    token = second.json["token"]
    assert token["methods"] == ["password", "token"]
    assert token["expires_at"] == expires_at
    parent = first.ask(200, "GET", "/auth/tokens", subject=first.text)["token"]["audit_ids"][0]
    assert token["audit_ids"][1:] == [parent]
    third = stack.by_token(second.headers["X-Subject-Token"], project_scope("photos")).json["token"]
    assert third["audit_ids"][1:] == [parent]
    assert third["expires_at"] == expires_at
    stack.pass_s(3001)
    assert stack.by_token(first.text).status_code == 404


def test_a_token_that_was_ended_is_not_there_but_the_one_it_was_made_from_is(stack: Stack) -> None:
    first = stack.login("ann", scope="unscoped")
    second = Caller(stack, stack.by_token(first.text, project_scope("photos")).headers["X-Subject-Token"])
    second.ask(204, "DELETE", "/auth/tokens", subject=second.text)
    first.ask(404, "GET", "/auth/tokens", subject=second.text)
    second.ask(401, "GET", "/auth/projects")
    assert stack.by_token(second.text).status_code == 404
    assert stack.by_token(first.text, project_scope("photos")).status_code == 201


def test_whose_token_one_may_ask_about(stack: Stack) -> None:
    stack.make("user", name="bob", password=PASSWORD)
    ann, bob = stack.login("ann"), stack.login("bob")
    stack.admin.ask(200, "GET", "/auth/tokens", subject=ann.text)
    bob.ask(403, "GET", "/auth/tokens", subject=ann.text)
    bob.ask(403, "DELETE", "/auth/tokens", subject=ann.text)
    stack.nobody.ask(401, "GET", "/auth/tokens", subject=ann.text)
    stack.admin.ask(404, "GET", "/auth/tokens", subject="gAAAAAnonsense")
    stack.admin.ask(404, "GET", "/auth/tokens")
    assert "nonsense" not in stack.admin.request("GET", "/auth/tokens", subject="gAAAAAnonsense").text


@pytest.mark.parametrize("what", ["user", "project", "role", "password", "domain", "membership"])
def test_what_an_administrator_takes_away_is_gone_at_once(stack: Stack, what: str) -> None:
    domain = stack.make("domain", name="elsewhere")
    eve = stack.make("user", name="eve", password=PASSWORD, domain_id=domain["id"])
    project = stack.make("project", name="attic", domain_id=domain["id"])
    group = stack.make("group", name="them", domain_id=domain["id"])
    stack.admin.ask(204, "PUT", f"/groups/{group['id']}/users/{eve['id']}")
    grant = f"/projects/{project['id']}/groups/{group['id']}/roles/{stack.roles['member'].id}"
    stack.admin.ask(204, "PUT", grant)
    identity = {"methods": ["password"], "password": {"user": {"id": eve["id"], "password": PASSWORD}}}
    result = stack.authenticate(identity, {"project": {"id": project["id"]}})
    caller = Caller(stack, result.headers["X-Subject-Token"])
    caller.ask(200, "GET", "/auth/projects")
    stack.pass_s(1)
    method, path, document = {
        "user": ("PATCH", f"/users/{eve['id']}", {"user": {"enabled": False}}),
        "project": ("PATCH", f"/projects/{project['id']}", {"project": {"enabled": False}}),
        "domain": ("PATCH", f"/domains/{domain['id']}", {"domain": {"enabled": False}}),
        "password": ("PATCH", f"/users/{eve['id']}", {"user": {"password": "another one"}}),
        "role": ("DELETE", grant, None),
        "membership": ("DELETE", f"/groups/{group['id']}/users/{eve['id']}", None),
    }[what]
    assert stack.admin.request(method, path, document).status_code in (200, 204)
    caller.ask(401, "GET", "/auth/projects")
    assert stack.by_token(caller.text).status_code == 404
    assert stack.authenticate(identity, {"project": {"id": project["id"]}}).status_code == 401


def test_users_of_a_disabled_domain_are_nobody_anywhere(stack: Stack) -> None:
    domain = stack.make("domain", name="elsewhere")
    eve = stack.make("user", name="eve", password=PASSWORD, domain_id=domain["id"])
    stack.admin.ask(204, "PUT", f"/projects/{stack.photos['id']}/users/{eve['id']}/roles/{stack.roles['member'].id}")
    identity = {"methods": ["password"], "password": {"user": {"id": eve["id"], "password": PASSWORD}}}
    text = stack.authenticate(identity, project_scope("photos")).headers["X-Subject-Token"]
    stack.admin.ask(200, "PATCH", f"/domains/{domain['id']}", {"domain": {"enabled": False}})
    assert stack.authenticate(identity, project_scope("photos")).status_code == 401
    assert stack.authenticate(identity, "unscoped").status_code == 401
    Caller(stack, text).ask(401, "GET", "/auth/projects")


def test_a_lost_role_is_no_longer_in_the_token_while_others_stay(stack: Stack) -> None:
    stack.grant("ann", "photos", "admin")
    ann = stack.login("ann", scope=project_scope("photos"))
    ann.ask(200, "GET", "/users")
    stack.revoke("ann", "photos", "admin")
    ann.ask(403, "GET", "/users")
    token = ann.ask(200, "GET", "/auth/tokens", subject=ann.text)["token"]
    assert [role["name"] for role in token["roles"]] == ["member", "reader"]


def test_a_login_during_a_change_of_password_ends_with_it(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is later than the moment the change began at, and still by the old password."""
    during: list[Caller] = []
    real = passwords.set_by_administrator

    def slow(*arguments: Any, **named: Any) -> None:
        stack.pass_s(0.1)
        during.append(stack.login("ann"))
        stack.pass_s(0.1)
        real(*arguments, **named)

    monkeypatch.setattr(passwords, "set_by_administrator", slow)
    stack.admin.ask(200, "PATCH", f"/users/{stack.ann['id']}", {"user": {"password": "another"}})
    during[0].ask(401, "GET", "/auth/projects")
    stack.pass_s(0.1)
    stack.login("ann", "another").ask(200, "GET", "/auth/projects")


def test_an_operator_may_forbid_to_exchange_tokens_with_a_scope(tmp_path: Path) -> None:
    stack = Stack(tmp_path, replace(SETTINGS, tokens=TokenRules(allow_rescope=False)))
    stack.grant("ann", "admin", "member")
    unscoped, photos = stack.login("ann"), stack.login("ann", scope=project_scope("photos"))
    assert stack.by_token(unscoped.text, project_scope("photos")).status_code == 201
    assert stack.by_token(photos.text, project_scope("photos")).status_code == 201
    assert stack.by_token(photos.text, project_scope("admin")).status_code == 403


def test_what_the_caller_could_have_a_token_for(stack: Stack) -> None:
    ann = stack.login("ann")
    assert [project["name"] for project in ann.ask(200, "GET", "/auth/projects")["projects"]] == ["photos"]
    assert ann.ask(200, "GET", "/auth/domains")["domains"] == []
    assert ann.ask(200, "GET", "/auth/system")["system"] == []
    stack.admin.ask(204, "PUT", f"/domains/default/users/{stack.ann['id']}/roles/{stack.roles['reader'].id}")
    stack.admin.ask(204, "PUT", f"/system/users/{stack.ann['id']}/roles/{stack.roles['reader'].id}")
    assert [domain["id"] for domain in ann.ask(200, "GET", "/auth/domains")["domains"]] == ["default"]
    assert ann.ask(200, "GET", "/auth/system")["system"] == [{"all": True}]
    stack.admin.ask(200, "PATCH", f"/projects/{stack.photos['id']}", {"project": {"enabled": False}})
    assert ann.ask(200, "GET", "/auth/projects")["projects"] == []


def test_methods_must_be_about_one_user_and_known(stack: Stack) -> None:
    token = {"methods": ["token", "password"], "token": {"id": stack.login("ann").text}}
    assert stack.authenticate({**token, **_password_of("admin", "secret")}).status_code == 401
    assert stack.authenticate({**token, **_password_of("ann", PASSWORD)}).status_code == 201
    assert stack.authenticate({"methods": ["external"], "external": {}}).status_code == 401


def test_a_user_may_need_more_than_a_password(stack: Stack) -> None:
    options = {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["password", "totp"]]}
    stack.admin.ask(200, "PATCH", f"/users/{stack.ann['id']}", {"user": {"options": options}})
    assert stack.by_password("ann", PASSWORD).status_code == 401
    options = {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["password", "totp"], ["password"]]}
    stack.admin.ask(200, "PATCH", f"/users/{stack.ann['id']}", {"user": {"options": options}})
    assert stack.by_password("ann", PASSWORD).status_code == 201


def test_revocations_are_told_to_services(stack: Stack) -> None:
    ann = stack.login("ann")
    audit_id = ann.ask(200, "GET", "/auth/tokens", subject=ann.text)["token"]["audit_ids"][0]
    ann.ask(204, "DELETE", "/auth/tokens", subject=ann.text)
    events = stack.admin.ask(200, "GET", "/OS-REVOKE/events")["events"]
    assert [event["audit_id"] for event in events] == [audit_id]
    assert stack.admin.ask(200, "GET", "/OS-REVOKE/events?since=2100-01-01T00:00:00Z")["events"] == []
    stack.admin.ask(400, "GET", "/OS-REVOKE/events?since=yesterday")
    stack.login("ann").ask(403, "GET", "/OS-REVOKE/events")


def _password_of(name: str, password: str) -> dict[str, object]:
    return {"password": password_identity(name, password)["password"]}
