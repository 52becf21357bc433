"""Credentials, S3 keys, application credentials and access rules over HTTP. Source: Keystone's API reference."""

import base64
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from keystoneclient.contrib.ec2.utils import Ec2Signer
from sqlalchemy import select

from identity.keystone.schema import application_credentials, credentials
from tests.unit.identity.keystone.stack import PASSWORD, Caller, Stack, project_scope


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path)


@pytest.fixture
def ann(stack: Stack) -> Caller:
    return stack.login("ann", scope=project_scope("photos"))


def made_key(stack: Stack, caller: Caller) -> Any:
    path = f"/users/{stack.ann['id']}/credentials/OS-EC2"
    return caller.ask(201, "POST", path, {"tenant_id": stack.photos["id"]})["credential"]


def made_program(stack: Stack, caller: Caller, status: int = 201, **attributes: Any) -> Any:
    path = f"/users/{stack.ann['id']}/application_credentials"
    document = {"application_credential": {"name": "backup", **attributes}}
    return caller.ask(status, "POST", path, document).get("application_credential")


def by_program(stack: Stack, program: Any, scope: Any = None) -> Any:
    part = {"id": program["id"], "secret": program["secret"]}
    return stack.authenticate({"methods": ["application_credential"], "application_credential": part}, scope)


def test_credentials_are_made_changed_and_removed_by_their_owner(stack: Stack, ann: Caller) -> None:
    made = ann.ask(201, "POST", "/credentials", {"credential": {"type": "cert", "blob": "pem", "note": "mine"}})
    made = made["credential"]
    assert (made["user_id"], made["project_id"], made["blob"], made["note"]) == (stack.ann["id"], None, "pem", "mine")
    path = f"/credentials/{made['id']}"
    assert ann.ask(200, "PATCH", path, {"credential": {"blob": "pem 2"}})["credential"] == {**made, "blob": "pem 2"}
    for fixed in ({"type": "ec2"}, {"user_id": stack.photos["id"]}, {"project_id": stack.photos["id"]}):
        ann.ask(400, "PATCH", path, {"credential": fixed})
    assert ann.ask(200, "GET", "/credentials?type=cert")["credentials"][0]["blob"] == "pem 2"
    assert ann.ask(200, "GET", "/credentials?type=ec2")["credentials"] == []
    with stack.database.reading() as connection:
        assert b"pem" not in connection.execute(select(credentials.c.encrypted_blob)).scalar_one()
    ann.ask(204, "DELETE", path)
    ann.ask(403, "GET", path)  # whether it is there is not for everybody
    stack.admin.ask(404, "GET", path)


def test_credentials_of_others_are_for_admins(stack: Stack, ann: Caller) -> None:
    stack.make("user", name="bob", password=PASSWORD)
    bob = stack.login("bob")
    made = ann.ask(201, "POST", "/credentials", {"credential": {"type": "cert", "blob": "pem"}})["credential"]
    path = f"/credentials/{made['id']}"
    for method in ("GET", "PATCH", "DELETE"):
        bob.ask(403, method, path, {"credential": {"blob": "x"}} if method == "PATCH" else None)
    assert bob.ask(200, "GET", "/credentials")["credentials"] == []
    assert bob.ask(200, "GET", f"/credentials?user_id={stack.ann['id']}")["credentials"] == []
    document = {"credential": {"type": "cert", "blob": "x", "user_id": stack.ann["id"]}}
    bob.ask(403, "POST", "/credentials", document)
    assert len(stack.admin.ask(200, "GET", "/credentials")["credentials"]) == 1


def test_an_ec2_credential_has_an_access_key_of_its_own(stack: Stack, ann: Caller) -> None:
    def document(blob: str, **more: Any) -> Any:
        return {"credential": {"type": "ec2", "blob": blob, "project_id": stack.photos["id"], **more}}

    blob = json.dumps({"access": "A", "secret": "S"})
    made = ann.ask(201, "POST", "/credentials", document(blob))["credential"]
    ann.ask(409, "POST", "/credentials", document(blob))
    ann.ask(400, "POST", "/credentials", document(blob.replace("A", "B"), project_id=None))
    for wrong in ("", "[]", "{}", '{"access": "", "secret": "S"}', '{"access": 1, "secret": "S"}'):
        ann.ask(400, "POST", "/credentials", document(wrong))
    path = f"/users/{stack.ann['id']}/credentials/OS-EC2"
    assert ann.ask(200, "GET", f"{path}/A")["credential"]["secret"] == "S"
    changed = json.dumps({"access": "C", "secret": "T"})
    ann.ask(200, "PATCH", f"/credentials/{made['id']}", {"credential": {"blob": changed}})
    assert ann.ask(200, "GET", f"{path}/C")["credential"]["secret"] == "T"
    ann.ask(404, "GET", f"{path}/A")


def test_s3_keys_are_made_listed_and_removed(stack: Stack, ann: Caller) -> None:
    made = made_key(stack, ann)
    assert (len(made["access"]), len(made["secret"])) == (20, 40)
    assert (made["user_id"], made["tenant_id"], made["trust_id"]) == (stack.ann["id"], stack.photos["id"], None)
    path = f"/users/{stack.ann['id']}/credentials/OS-EC2"
    assert ann.ask(200, "GET", path)["credentials"] == [made]
    assert ann.ask(200, "GET", f"{path}/{made['access']}")["credential"] == made
    ann.ask(400, "POST", path, {})
    ann.ask(404, "POST", path, {"tenant_id": "nowhere"})
    stack.make("user", name="bob", password=PASSWORD)
    bob = stack.login("bob")
    bob.ask(403, "GET", path)
    bob.ask(403, "GET", f"{path}/{made['access']}")
    bob.ask(403, "POST", path, {"tenant_id": stack.photos["id"]})
    own = f"/users/{bob.ask(200, 'GET', '/auth/tokens', subject=bob.text)['token']['user']['id']}/credentials/OS-EC2"
    bob.ask(404, "GET", f"{own}/{made['access']}")
    bob.ask(404, "DELETE", f"{own}/{made['access']}")
    ann.ask(204, "DELETE", f"{path}/{made['access']}")
    ann.ask(404, "GET", f"{path}/{made['access']}")
    assert ann.ask(200, "GET", path)["credentials"] == []


def signed(stack: Stack, key: Any, secret: str | None = None) -> Any:
    stamp = f"{datetime.fromtimestamp(stack.clock.now_us // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    params = {"SignatureVersion": "2", "Timestamp": stamp, "AWSAccessKeyId": key["access"]}
    said = {"host": "example.org", "verb": "GET", "path": "/", "params": params}
    signature = Ec2Signer(secret or key["secret"]).generate({**said, "params": dict(params)})
    return {"ec2Credentials": {**said, "access": key["access"], "signature": signature}}


def test_services_ask_whose_a_signature_is(stack: Stack, ann: Caller) -> None:
    key = made_key(stack, ann)
    result = stack.admin.request("POST", "/ec2tokens", signed(stack, key))
    assert result.status_code == 200
    token = result.json["token"]
    assert (token["user"]["name"], token["project"]["name"]) == ("ann", "photos")
    assert token["methods"] == ["ec2credential"]
    ann.ask(403, "POST", "/ec2tokens", signed(stack, key))
    stack.nobody.ask(401, "POST", "/ec2tokens", signed(stack, key))
    wrong = stack.admin.request("POST", "/ec2tokens", signed(stack, key, "x"))
    unknown = stack.admin.request("POST", "/ec2tokens", signed(stack, {"access": "x", "secret": "y"}))
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert wrong.text == unknown.text
    document = signed(stack, key)
    stack.pass_s(901)
    stack.admin.ask(401, "POST", "/ec2tokens", document)
    stack.admin.ask(400, "POST", "/ec2tokens", {})


def test_a_token_of_a_key_is_for_its_project_and_makes_no_secrets(stack: Stack, ann: Caller) -> None:
    stack.grant("ann", "admin", "member")
    key = made_key(stack, ann)
    result = stack.admin.request("POST", "/ec2tokens", signed(stack, key))
    thief = Caller(stack, result.headers["X-Subject-Token"])
    assert stack.by_token(thief.text).json["token"]["project"]["name"] == "photos"
    assert stack.by_token(thief.text, project_scope("admin")).status_code == 401
    assert stack.by_token(thief.text, "unscoped").status_code == 401
    user = f"/users/{stack.ann['id']}"
    thief.ask(403, "POST", f"{user}/credentials/OS-EC2", {"tenant_id": stack.photos["id"]})
    thief.ask(403, "POST", f"{user}/application_credentials", {"application_credential": {"name": "x"}})
    thief.ask(403, "POST", "/credentials", {"credential": {"type": "cert", "blob": "x"}})
    stack.revoke("ann", "photos", "member")
    stack.admin.ask(401, "POST", "/ec2tokens", signed(stack, key))


def test_strings_to_sign_of_s3(stack: Stack, ann: Caller) -> None:
    key = made_key(stack, ann)
    date = f"{datetime.fromtimestamp(stack.clock.now_us // 1_000_000, UTC):%a, %d %b %Y %H:%M:%S GMT}"
    text = f"GET\n\n\n{date}\n/bucket".encode()
    signature = base64.b64encode(hmac.digest(key["secret"].encode(), text, "sha1")).decode()
    said = {"access": key["access"], "token": base64.b64encode(text).decode(), "signature": signature}
    assert stack.admin.ask(200, "POST", "/s3tokens", {"credentials": said})["token"]["user"]["name"] == "ann"
    stack.admin.ask(401, "POST", "/s3tokens", {"credentials": {**said, "signature": "x"}})
    stack.admin.ask(401, "POST", "/s3tokens", {"credentials": {**said, "token": ""}})
    ann.ask(403, "POST", "/s3tokens", {"credentials": said})


def test_a_program_authenticates_with_a_secret_that_is_shown_once(stack: Stack, ann: Caller) -> None:
    made = made_program(stack, ann)
    assert (made["project_id"], made["unrestricted"], made["expires_at"]) == (stack.photos["id"], False, None)
    assert [role["name"] for role in made["roles"]] == ["member", "reader"]
    path = f"/users/{stack.ann['id']}/application_credentials"
    shown = ann.ask(200, "GET", f"{path}/{made['id']}")["application_credential"]
    assert "secret" not in shown
    assert ann.ask(200, "GET", f"{path}?name=backup")["application_credentials"] == [shown]
    assert ann.ask(200, "GET", f"{path}?name=other")["application_credentials"] == []
    with stack.database.reading() as connection:
        stored = connection.execute(select(application_credentials.c.secret_hash)).scalar_one()
        assert made["secret"] not in stored
    made_program(stack, ann, 409)
    token = by_program(stack, made).json["token"]
    assert token["project"]["name"] == "photos"
    assert token["methods"] == ["application_credential"]
    assert token["application_credential"] == {"id": made["id"], "name": "backup", "restricted": True}
    named = {"name": "backup", "user": {"name": "ann", "domain": {"id": "default"}}, "secret": made["secret"]}
    identity = {"methods": ["application_credential"], "application_credential": named}
    assert stack.authenticate(identity).status_code == 201
    assert by_program(stack, {**made, "secret": "x"}).status_code == 401
    assert by_program(stack, {**made, "id": "x"}).text == by_program(stack, {**made, "secret": "x"}).text
    assert by_program(stack, made, project_scope("photos")).status_code == 201
    stack.grant("ann", "admin", "member")
    assert by_program(stack, made, project_scope("admin")).status_code == 401


def test_a_program_ends_with_its_credential_its_expiry_and_its_user(stack: Stack, ann: Caller) -> None:
    expires_at = f"{datetime.fromtimestamp(stack.clock.now_us // 1_000_000 + 600, UTC):%Y-%m-%dT%H:%M:%S}.250000"
    made = made_program(stack, ann, expires_at=expires_at)
    assert made["expires_at"] == expires_at
    token = by_program(stack, made).json["token"]
    assert token["expires_at"] == expires_at + "Z"  # the token lives no longer
    stack.pass_s(601)
    assert by_program(stack, made).status_code == 401
    for wrong in ("yesterday", "2001-01-01T00:00:00Z"):
        made_program(stack, ann, 400, name="late", expires_at=wrong)
    other = made_program(stack, ann, name="other")
    program = Caller(stack, by_program(stack, other).headers["X-Subject-Token"])
    program.ask(200, "GET", "/auth/projects")
    ann.ask(204, "DELETE", f"/users/{stack.ann['id']}/application_credentials/{other['id']}")
    program.ask(401, "GET", "/auth/projects")
    assert by_program(stack, other).status_code == 401
    third = made_program(stack, ann, name="third")
    stack.admin.ask(200, "PATCH", f"/users/{stack.ann['id']}", {"user": {"enabled": False}})
    assert by_program(stack, third).status_code == 401


def test_a_program_has_no_role_that_its_credential_or_its_user_does_not_have(stack: Stack, ann: Caller) -> None:
    stack.grant("ann", "photos", "admin")
    ann = stack.login("ann", scope=project_scope("photos"))
    reader = made_program(stack, ann, name="reader", roles=[{"name": "reader"}])
    ladder = made_program(stack, ann, name="admin", roles=[{"id": stack.roles["admin"].id}])
    assert [role["name"] for role in by_program(stack, reader).json["token"]["roles"]] == ["reader"]
    names = [role["name"] for role in by_program(stack, ladder).json["token"]["roles"]]
    assert names == ["admin", "manager", "member", "reader"]
    stack.revoke("ann", "photos", "admin")
    assert by_program(stack, reader).status_code == 201
    ladder_names = [role["name"] for role in by_program(stack, ladder).json["token"]["roles"]]
    assert ladder_names == ["member", "reader"]
    ann = stack.login("ann", scope=project_scope("photos"))
    made_program(stack, ann, 400, name="more", roles=[{"name": "admin"}])
    made_program(stack, ann, 400, name="more", roles=[{"name": "reader", "id": stack.roles["member"].id}])
    stack.revoke("ann", "photos", "member")
    assert by_program(stack, reader).status_code == 401


def test_programs_make_no_programs_unless_unrestricted(stack: Stack, ann: Caller) -> None:
    path = f"/users/{stack.ann['id']}/application_credentials"
    restricted = made_program(stack, ann, name="restricted", roles=[{"name": "reader"}])
    free = made_program(stack, ann, name="free", unrestricted=True, roles=[{"name": "reader"}])
    program = Caller(stack, by_program(stack, restricted).headers["X-Subject-Token"])
    rescoped = Caller(stack, stack.by_token(program.text).headers["X-Subject-Token"])
    for caller in (program, rescoped):
        made_program(stack, caller, 403, name="more")
        caller.ask(403, "DELETE", f"{path}/{free['id']}")
        caller.ask(403, "POST", f"/users/{stack.ann['id']}/credentials/OS-EC2", {"tenant_id": stack.photos["id"]})
        token = caller.ask(200, "GET", "/auth/tokens", subject=caller.text)["token"]
        assert [role["name"] for role in token["roles"]] == ["reader"]
    program = Caller(stack, by_program(stack, free).headers["X-Subject-Token"])
    made_program(stack, program, 400, name="higher", roles=[{"name": "member"}])
    more = made_program(stack, program, name="more")
    assert [role["name"] for role in more["roles"]] == ["reader"]
    program.ask(403, "POST", f"/users/{stack.ann['id']}/credentials/OS-EC2", {"tenant_id": stack.photos["id"]})


def test_only_the_user_makes_programs_with_a_token_for_a_project(stack: Stack, ann: Caller) -> None:
    made_program(stack, stack.admin, 403)
    made_program(stack, stack.login("ann", scope="unscoped"), 403)
    made = made_program(stack, ann)
    stack.make("user", name="bob", password=PASSWORD)
    bob = stack.login("bob")
    path = f"/users/{stack.ann['id']}/application_credentials/{made['id']}"
    bob.ask(403, "GET", path)
    bob.ask(403, "DELETE", path)
    stack.admin.ask(404, "GET", f"/users/{stack.project.id}/application_credentials/{made['id']}")


def test_access_rules_bound_what_a_program_asks(stack: Stack, ann: Caller) -> None:
    rule = {"service": "identity", "method": "GET", "path": "/v3/auth/projects"}
    made = made_program(stack, ann, access_rules=[rule], unrestricted=True)
    (kept,) = made["access_rules"]
    assert rule.items() <= kept.items()
    program = Caller(stack, by_program(stack, made).headers["X-Subject-Token"])
    program.ask(200, "GET", "/auth/projects")
    program.ask(401, "GET", "/auth/domains")
    made_program(stack, program, 401, name="more")
    stack.admin.ask(404, "GET", "/auth/tokens", subject=program.text)  # a service that would not heed them
    headers = {"OpenStack-Identity-Access-Rules": "1.0"}
    token = stack.admin.ask(200, "GET", "/auth/tokens", None, program.text, **headers)["token"]
    assert token["application_credential"]["access_rules"] == [kept]
    path = f"/users/{stack.ann['id']}/access_rules"
    assert [each["id"] for each in ann.ask(200, "GET", path)["access_rules"]] == [kept["id"]]
    assert ann.ask(200, "GET", f"{path}/{kept['id']}")["access_rule"]["path"] == rule["path"]
    ann.ask(403, "DELETE", f"{path}/{kept['id']}")
    again = made_program(stack, ann, name="again", access_rules=[rule])
    third = made_program(stack, ann, name="third", access_rules=[{"id": kept["id"]}])
    assert again["access_rules"] == third["access_rules"] == [kept]
    made_program(stack, ann, 404, name="fourth", access_rules=[{"id": "nowhere"}])
    made_program(stack, ann, 400, name="fourth", access_rules=[{**rule, "path": "no slash"}])
    for each in (made, again, third):
        ann.ask(204, "DELETE", f"/users/{stack.ann['id']}/application_credentials/{each['id']}")
    ann.ask(204, "DELETE", f"{path}/{kept['id']}")
    ann.ask(404, "GET", f"{path}/{kept['id']}")


def test_what_belongs_to_a_user_or_project_goes_with_it(stack: Stack, ann: Caller) -> None:
    made_key(stack, ann)
    made_program(stack, ann, access_rules=[{"service": "a", "method": "GET", "path": "/"}])
    stack.admin.ask(204, "DELETE", f"/users/{stack.ann['id']}")
    with stack.database.reading() as connection:
        assert connection.execute(select(credentials)).all() == []
        assert connection.execute(select(application_credentials)).all() == []
