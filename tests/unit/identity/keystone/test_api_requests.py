"""What holds for all requests: discovery, ids, limits, errors, transactions."""

import io
import sqlite3
from collections.abc import Callable
from typing import Any

import falcon.testing
import pytest
from sqlalchemy.exc import OperationalError

from identity.keystone import users
from tests.unit.identity.keystone.service import Service


def test_versions_are_told_to_anybody(service: Service) -> None:
    choices = service.nobody.get("/", 300)["versions"]["values"]
    version = service.nobody.get("/v3")["version"]
    assert choices == [version]
    assert version["id"].startswith("v3.")
    assert version["links"] == [{"rel": "self", "href": "http://falconframework.org/v3/"}]
    assert service.nobody.get("/v3/")["version"] == version


def test_every_answer_has_a_request_id(service: Service) -> None:
    client = falcon.testing.TestClient(service.application)
    made = client.simulate_get("/v3").headers["x-openstack-request-id"]
    assert made.startswith("req-")
    given = "req-01234567-89ab-cdef-0123-456789abcdef"
    headers = {"X-Openstack-Request-Id": given}
    assert client.simulate_get("/v3/users", headers=headers).headers["x-openstack-request-id"] == given
    bad = client.simulate_get("/v3", headers={"X-Openstack-Request-Id": "req-forged\tline"})
    assert bad.headers["x-openstack-request-id"] != "req-forged\tline"


def test_what_is_not_there_is_told_in_keystones_form(service: Service) -> None:
    assert service.admin.get("/v3/nothing", 404)["error"]["title"] == "Not Found"
    result = service.admin.request("PUT", "/v3/users", status=405)
    assert result.json["error"]["code"] == 405
    assert set(result.headers["allow"].replace(" ", "").split(",")) >= {"GET", "POST", "HEAD"}


def test_bodies_are_json_objects_of_bounded_size(service: Service) -> None:
    client = falcon.testing.TestClient(service.application)

    def status(body: bytes, content_type: str = "application/json") -> int:
        headers = {"X-Auth-Token": "admin", "Content-Type": content_type}
        return client.simulate_post("/v3/users", body=body, headers=headers).status_code

    assert status(b'{"user": {"name": "ann"}}') == 201
    assert status(b'{"user": {"name": "bob"}}', "application/json; charset=utf-8") == 201
    assert status(b"{") == 400
    assert status(b"[]") == 400
    assert status(b"\xff") == 400
    assert status(b"[" * 50_000) == 400
    assert status(b'{"user": {"name": "x"}}', "text/xml") == 400
    assert status(b"") == 400
    assert status(b'{"user": {"name": "x\\ud800"}}') == 400
    assert status(b'{"user": {"name": "x\\u0000"}}') == 400
    assert status(b'{"user": {"name": "x", "note": [NaN]}}') == 400
    assert status(b'{"user": {"name": "x", "note": 1e999}}') == 400
    assert status('{"user": {"name": "\N{SNOWMAN}"}}'.encode()) == 201
    assert status(b'{"user": {"name": "x", "note": "' + b"x" * 114_688 + b'"}}') == 413


def test_a_token_that_does_not_hold_is_none(service: Service) -> None:
    assert service.client("x").request("GET", "/v3/users").status_code == 403
    del service.tokens.by_text["x"]
    client = falcon.testing.TestClient(service.application)
    assert client.simulate_get("/v3/users", headers={"X-Auth-Token": "x"}).status_code == 401
    assert client.simulate_get("/v3", headers={"X-Auth-Token": "x"}).status_code == 200


def test_a_request_that_fails_changes_nothing(service: Service) -> None:
    tags = ["a" * 10] * 2
    service.admin.post("/v3/projects", {"project": {"name": "web", "tags": tags}}, 400)
    service.admin.post("/v3/projects", {"project": {"name": "web", "parent_id": "0" * 32}}, 404)
    assert service.admin.get("/v3/projects?name=web")["projects"] == []


def test_a_request_that_was_overtaken_is_done_anew_as_a_whole(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    create: Callable[..., Any] = users.create
    attempts: list[int] = []

    def overtaken_once(*arguments: Any) -> Any:
        made = create(*arguments)
        attempts.append(1)
        if len(attempts) == 1:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorname = "SQLITE_BUSY"
            raise OperationalError("INSERT", {}, error)
        return made

    monkeypatch.setattr(users, "create", overtaken_once)
    assert service.admin.make("user", name="ann", email="a@example.org")["email"] == "a@example.org"
    assert len(attempts) == 2
    assert len(service.admin.get("/v3/users?name=ann")["users"]) == 1


def test_a_slow_body_keeps_no_transaction_waiting(service: Service) -> None:
    """Who sends a byte a second would otherwise be the only writer for as long as it likes."""
    asked: list[bool] = []

    class Body(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            with service.database.writing():  # raises Unavailable if the request is a writer already
                asked.append(True)
            return super().read(size)

    text = b'{"user": {"name": "ann"}}'
    environ = falcon.testing.create_environ(
        "/v3/users",
        method="POST",
        headers={"X-Auth-Token": "admin", "Content-Type": "application/json", "Content-Length": str(len(text))},
    )
    environ["wsgi.input"] = Body(text)
    answer = falcon.testing.StartResponseMock()
    b"".join(service.application(environ, answer))
    assert answer.status == "201 Created"
    assert asked


@pytest.mark.parametrize("kind", ["domain", "project", "user", "group", "role"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_who_may_not_does_not_learn_what_exists(service: Service, kind: str, method: str) -> None:
    there = service.admin.make(kind)["id"]
    stranger = service.client("stranger", ("member", "reader"), project_id=service.project.id)
    document = {kind: {"name": "x"}} if method == "PATCH" else None
    answers = [
        stranger.request(method, f"/v3/{kind}s/{identifier}", document, 403).json for identifier in (there, "0" * 32)
    ]
    assert answers[0] == answers[1]
