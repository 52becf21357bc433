"""Swift: logging in by all ways, and requests that are asked again. The server says what a test tells it to."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

from blockgw.backup import target_swift
from blockgw.backup.errors import BackupError, NoSuchObject, TargetFailed
from blockgw.backup.swift_login import request_of, storage_url
from blockgw.backup.target import Address, Entry
from blockgw.backup.target_swift import SwiftTarget

ADDRESS = Address.parse("swift://box/deep/er")


class Asked(NamedTuple):
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Server:
    """Answers by `answer`; notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Answer] = lambda _asked: Answer(200)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked = Asked(self.command, self.path, dict(self.headers.items()), body)
                outer.asked.append(asked)
                answer = outer.answer(asked)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in answer.headers:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815

            def log_message(self, *_words: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def logged_in(self, asked: Asked) -> Answer | None:
        """Answer a request for a token, of either version."""
        if asked.path == "/auth/v1.0":
            token = f"token-{len(self.asked)}"
            return Answer(200, b"", {"X-Storage-Url": f"{self.url}/v1/acc", "X-Auth-Token": token})
        if asked.path == "/identity/v3/auth/tokens":
            catalog = [
                {"type": "image", "endpoints": [{"interface": "public", "url": "http://nowhere"}]},
                {
                    "type": "object-store",
                    "endpoints": [
                        {"interface": "internal", "region": "one", "url": "http://nowhere"},
                        {"interface": "public", "region": "two", "url": f"{self.url}/v1/acc"},
                    ],
                },
            ]
            body = json.dumps({"token": {"catalog": catalog}}).encode()
            return Answer(201, body, {"X-Subject-Token": "keystone"})
        return None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(target_swift, "_PAUSE_S", 0.001)
    made = Server()
    yield made
    made.close()


def version_1(server: Server) -> dict[str, str]:
    return {"ST_AUTH": f"{server.url}/auth/v1.0", "ST_USER": "acc:me", "ST_KEY": "secret"}


PASSWORD = {
    "OS_USERNAME": "me",
    "OS_PASSWORD": "secret",
    "OS_PROJECT_NAME": "project",
    "OS_USER_DOMAIN_NAME": "Default",
}


@pytest.mark.parametrize("way", ["version 1", "password", "endpoint", "token"])
def test_who_logs_in_is_let_in(server: Server, way: str) -> None:
    server.answer = lambda asked: server.logged_in(asked) or Answer(200, b"data")
    env, endpoint, token = {
        "version 1": (version_1(server), None, "token-1"),
        "password": ({**PASSWORD, "OS_AUTH_URL": f"{server.url}/identity"}, None, "keystone"),
        "endpoint": ({**PASSWORD, "OS_AUTH_URL": "http://wrong"}, f"{server.url}/identity/v3", "keystone"),
        "token": ({"OS_STORAGE_URL": f"{server.url}/v1/acc", "OS_AUTH_TOKEN": "mine"}, None, "mine"),
    }[way]
    target = SwiftTarget(ADDRESS, endpoint, 2, env)
    assert target.get("a/name") == b"data"
    asked = server.asked[-1]
    assert (asked.path, asked.headers["X-Auth-Token"]) == ("/v1/acc/box/deep/er/a/name", token)
    assert asked.headers["X-Newest"] == "true"


def test_what_keystone_is_asked(server: Server) -> None:
    """Identity API v3, "Password authentication with scoped authorization" and "… an application credential"."""
    assert request_of(PASSWORD) == {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": "me", "password": "secret", "domain": {"name": "Default"}}},
            },
            "scope": {"project": {"name": "project", "domain": {"id": "default"}}},
        }
    }
    credential = {"OS_APPLICATION_CREDENTIAL_ID": "one", "OS_APPLICATION_CREDENTIAL_SECRET": "two"}
    assert request_of(credential) == {
        "auth": {
            "identity": {
                "methods": ["application_credential"],
                "application_credential": {"id": "one", "secret": "two"},
            }
        }
    }
    with pytest.raises(BackupError, match="OS_PASSWORD is not set"):
        request_of({"OS_USERNAME": "me"})


def test_the_endpoint_is_that_of_the_region() -> None:
    endpoints = [{"interface": "public", "region": name, "url": f"http://{name}"} for name in ("one", "two")]
    catalog = [{"type": "object-store", "endpoints": endpoints}]
    assert storage_url(catalog, "two", "public") == "http://two"
    assert storage_url(catalog, None, "public") == "http://one"
    with pytest.raises(BackupError, match="region three"):
        storage_url(catalog, "three", "public")


@pytest.mark.parametrize("env", [{}, {"ST_USER": "x", "ST_KEY": "y"}, {"OS_AUTH_URL": "http://127.0.0.1:1"}])
def test_who_has_nothing_to_log_in_with_is_told_what_to_set(env: dict[str, str]) -> None:
    with pytest.raises(BackupError, match=r"ST_AUTH|OS_USERNAME"):
        SwiftTarget(ADDRESS, None, 2, env)


def test_who_is_refused_is_told_so(server: Server) -> None:
    server.answer = lambda _asked: Answer(401)
    with pytest.raises(BackupError, match="does not let acc:me in: HTTP 401"):
        SwiftTarget(ADDRESS, None, 2, version_1(server))


def test_a_token_that_ended_is_replaced_and_what_fails_for_a_moment_is_asked_again(server: Server) -> None:
    troubles = [503, 401, 422, 429, 500]

    def answer(asked: Asked) -> Answer:
        found = server.logged_in(asked)
        if found is not None:
            return found
        return Answer(troubles.pop(0)) if troubles else Answer(201)

    server.answer = answer
    SwiftTarget(ADDRESS, None, 2, version_1(server)).put("name", b"data")
    tokens = [asked.headers["X-Auth-Token"] for asked in server.asked if asked.method == "PUT"]
    assert tokens == ["token-1"] * 2 + ["token-4"] * 4
    assert server.asked[-1].body == b"data"
    assert server.asked[-1].headers["ETag"] == "8d777f385d3dfec8815d20f7496026dc", "so that the cluster checks it"


def test_what_does_not_get_better_is_said(server: Server) -> None:
    server.answer = lambda asked: server.logged_in(asked) or Answer(503)
    target = SwiftTarget(ADDRESS, None, 2, version_1(server))
    with pytest.raises(TargetFailed, match="HTTP 503 to PUT"):
        target.put("name", b"data")
    server.answer = lambda asked: server.logged_in(asked) or Answer(403)
    count = len(server.asked)
    with pytest.raises(TargetFailed, match="HTTP 403"):
        target.get("name")
    assert len(server.asked) == count + 1


def test_what_is_not_there_is_told_from_a_container_that_is_not(server: Server) -> None:
    there = [True]

    def answer(asked: Asked) -> Answer:
        found = server.logged_in(asked)
        if found is not None:
            return found
        return Answer(204 if there[0] and asked.path == "/v1/acc/box" else 404)

    server.answer = answer
    target = SwiftTarget(ADDRESS, None, 2, version_1(server))
    with pytest.raises(NoSuchObject):
        target.get("name")
    assert target.size("name") is None
    target.delete(["name"])
    there[0] = False
    with pytest.raises(BackupError, match="no container box"):
        target.get("name")


def test_a_put_that_must_not_replace_says_whether_it_did(server: Server) -> None:
    statuses = [201, 412]
    server.answer = lambda asked: server.logged_in(asked) or Answer(statuses.pop(0))
    target = SwiftTarget(ADDRESS, None, 2, version_1(server))
    assert target.put_new("name", b"")
    assert not target.put_new("name", b"")
    assert server.asked[-1].headers["If-None-Match"] == "*"


def test_a_listing_goes_on_to_its_end(server: Server) -> None:
    pages = {
        "marker=": [{"name": "deep/er/a/1", "bytes": 1}, {"name": "deep/er/a/2", "bytes": 2}],
        "marker=deep%2Fer%2Fa%2F2": [{"name": "deep/er/b", "bytes": 3}],
    }

    def answer(asked: Asked) -> Answer:
        marker = asked.path.rpartition("&")[2]
        return server.logged_in(asked) or Answer(200, json.dumps(pages.get(marker, [])).encode())

    server.answer = answer
    target = SwiftTarget(ADDRESS, None, 2, version_1(server))
    assert list(target.list("")) == [Entry("a/1", 1), Entry("a/2", 2), Entry("b", 3)]


@pytest.mark.parametrize("url", ["ftp://x/y", "s3:/x", "s3://", "swift", ""])
def test_what_is_no_place_is_refused(url: str) -> None:
    with pytest.raises(BackupError, match="no place for backups"):
        Address.parse(url)


@pytest.mark.parametrize(
    ("url", "prefix", "shown"),
    [("s3://b", "", "s3://b"), ("s3://b/", "", "s3://b"), ("swift://b/x/y/", "x/y/", "swift://b/x/y")],
)
def test_a_place_is_a_bucket_and_a_prefix(url: str, prefix: str, shown: str) -> None:
    address = Address.parse(url)
    assert (address.bucket, address.prefix, str(address)) == ("b", prefix, shown)
