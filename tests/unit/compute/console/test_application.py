"""compute.console.application: the page, and what only administrators are told."""

import asyncio
import contextlib
import datetime
import hashlib
import hmac
import json
import re
from pathlib import Path

import aiohttp
import pytest

from compute.console import pages
from compute.console.access import SERVICE
from identity.users import User
from tests.unit.compute.console.console import ADMIN, ANN, REPORT, console

STATIC = pages.STATIC


def signed(
    user: User,
    host: str,
    path: str = "/api/cluster",
    method: str = "GET",
    service: str = SERVICE,
    secret: str = "",
    minutes: int = 0,
) -> dict[str, str]:
    """Return the header fields of a request signed as the page does it."""
    at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=minutes)
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/us-east-1/{service}/aws4_request"
    empty = hashlib.sha256(b"").hexdigest()
    canonical = f"{method}\n{path}\n\nhost:{host}\nx-amz-date:{stamp}\n\nhost;x-amz-date\n{empty}"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret or user.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return {
        "X-Amz-Date": stamp,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={user.access_key}/{scope}, "
        f"SignedHeaders=host;x-amz-date, Signature={signature}",
    }


def test_the_page_runs_nothing_but_its_own_files() -> None:
    async def scenario() -> None:
        async with console({}) as page:
            status, fields, body = await page.get("/")
            assert status == 200
            policy = fields["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert fields["X-Content-Type-Options"] == "nosniff"
            assert fields["X-Frame-Options"] == "DENY"
            assert b'<script type="module" src="/app.js">' in body

    asyncio.run(scenario())


def test_every_module_and_style_that_is_named_is_there() -> None:
    """Also: nothing is fetched from elsewhere, and there is no markup in which what users named could run."""
    known = pages.read_pages(STATIC)
    for path in STATIC.rglob("*"):
        if path.suffix not in (".js", ".css", ".html"):
            continue
        text = path.read_text()
        for name in re.findall(r"""(?:from|import\()\s*"(\.[^"]+)""", text):
            target = (path.parent / name).resolve().relative_to(STATIC)
            assert f"/{target}" in known, f"{path.name} imports {name}"
        for name in re.findall(r"""(?:href|src)="(/[^"#]*)""", text):
            assert name in known, f"{path.name} names {name}"
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            path
        )
        urls = set(re.findall(r"https?://[^\s\"'`$]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not urls, f"{path.name} names {urls}"
        assert not re.search(r"<script(?![^>]*src=)|\son\w+=\"|style=\"", text), path


def test_a_page_that_the_browser_has_is_not_sent_again() -> None:
    async def scenario() -> None:
        async with console({}) as page:
            _status, fields, _body = await page.get("/app.js")
            assert fields["Content-Type"].startswith("text/javascript")
            assert fields["Cache-Control"] == "no-cache"
            status, _fields, body = await page.get("/app.js", {"If-None-Match": fields["ETag"]})
            assert (status, body) == (304, b"")

    asyncio.run(scenario())


def test_what_anybody_may_know_has_no_secrets() -> None:
    async def scenario() -> None:
        async with console({"identity": 9}) as page:
            _status, fields, body = await page.get("/api/console")
            assert set(json.loads(body)) == {"version", "services", "region", "s3", "swift"}
            assert json.loads(body)["services"] == ["identity", "s3", "swift"]
            assert fields["Cache-Control"] == "no-store"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("token", "status"), [("token-of-admin", 200), ("token-of-ann", 403), ("other", 401), ("", 401)]
)
def test_the_cluster_is_shown_to_administrators(token: str, status: int) -> None:
    async def scenario() -> None:
        async with console({}) as page:
            found, _fields, body = await page.get("/api/cluster", {"X-Auth-Token": token} if token else {})
            assert found == status
            assert (json.loads(body) == REPORT) == (status == 200)
            assert len(page.looks) == (status == 200)

    asyncio.run(scenario())


def test_a_signature_is_as_good_as_a_token() -> None:
    async def scenario() -> None:
        async with console({}) as page:
            host = f"127.0.0.1:{page.port}"
            assert (await page.get("/api/cluster", signed(ADMIN, host)))[0] == 200
            assert (await page.get("/api/cluster", signed(ANN, host)))[0] == 403
            _status, _fields, body = await page.get("/api/me", signed(ANN, host, "/api/me"))
            assert json.loads(body) == {"name": "ann", "account": "AUTH_ann", "admin": False}

    asyncio.run(scenario())


def test_signatures_that_prove_nothing_are_refused() -> None:
    """For S3, for another path, host or method, too old, with another secret, or without the host."""

    async def scenario() -> None:
        async with console({}) as page:
            host = f"127.0.0.1:{page.port}"
            good = signed(ADMIN, host)
            unsigned_host = {**good, "Authorization": good["Authorization"].replace("host;x-amz-date", "x-amz-date")}
            for headers in (
                signed(ADMIN, host, service="s3"),
                signed(ADMIN, host, path="/api/me"),
                signed(ADMIN, "other.example:9001"),
                signed(ADMIN, host, method="HEAD"),
                signed(ADMIN, host, secret=ANN.secret_key),
                signed(ADMIN, host, minutes=20),
                signed(ADMIN, host, minutes=-20),
                unsigned_host,
                {"Authorization": "AWS4-HMAC-SHA256 nonsense", "X-Amz-Date": "now"},
                {"Authorization": "AWS4-HMAC-SHA256", "X-Amz-Date": ""},
            ):
                assert (await page.get("/api/cluster", headers))[0] == 401, headers
            assert page.looks == []

    asyncio.run(scenario())


def test_many_who_look_at_once_have_the_cluster_asked_once() -> None:
    async def scenario() -> None:
        async with console({}) as page:
            headers = {"X-Auth-Token": "token-of-admin"}
            answers = await asyncio.gather(*(page.get("/api/cluster", headers) for _ in range(8)))
            assert [status for status, _fields, _body in answers] == [200] * 8
            assert len(page.looks) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_the_consoles_own_paths_are_only_read(method: str) -> None:
    async def scenario() -> None:
        async with console({}) as page:
            for path in ("/", "/api/cluster", "/api/console"):
                assert (await page.get(path, method=method))[0] == 405

    asyncio.run(scenario())


def test_connections_beyond_the_limit_wait_for_one_to_end() -> None:
    async def scenario() -> None:
        async with console({}, connections=2) as page:
            idle = [await asyncio.open_connection("127.0.0.1", page.port) for _ in range(2)]
            waiting = asyncio.create_task(page.get("/api/console"))
            done, _waiting = await asyncio.wait([waiting], timeout=0.3)
            assert not done
            idle[0][1].close()
            status, _fields, _body = await waiting
            assert status == 200
            idle[1][1].close()

    asyncio.run(scenario())


def test_who_only_connects_is_hung_up_on_and_who_asks_is_not() -> None:
    async def scenario() -> None:
        async with console({}, first_s=0.2) as page:
            silent, _writer = await asyncio.open_connection("127.0.0.1", page.port)
            reader, writer = await asyncio.open_connection("127.0.0.1", page.port)
            writer.write(b"GET /api/console HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"}")
            with contextlib.suppress(ConnectionResetError):  # as good
                assert await silent.read() == b""
            assert page.doorway.connection_count == 1
            writer.write(b"GET /api/console HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"200 OK")).endswith(b"200 OK")
            writer.close()

    asyncio.run(scenario())


def test_a_head_that_is_too_long_is_refused() -> None:
    async def scenario() -> None:
        async with console({}) as page:
            try:
                status, _fields, _body = await page.get("/api/console", {"X-Long": "x" * 70_000})
            except aiohttp.ClientError:
                return  # hung up on: as good
            assert status in (400, 431)

    asyncio.run(scenario())


def test_static_files_are_installed_with_the_package() -> None:
    text = (Path(__file__).parents[4] / "setup.cfg").read_text()
    assert "compute.console" in text.partition("[options.package_data]")[2]
