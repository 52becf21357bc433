"""The console of a bare cluster, as a process: no identity service, nothing but its HTTP. Browsers: tests/browser."""

import http.client
import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster
from tests.signing import signed_headers

MIB = 1 << 20


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("console") / "data")
    cluster.console_settings = {"enabled": True}
    cluster.up()
    try:
        yield cluster
    finally:
        cluster.holdfast("down", check=False)


def connection(cluster: Cluster) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", 9001 + cluster.offset, timeout=60)


def ask(
    cluster: Cluster, path: str, method: str = "GET", body: bytes | None = None, headers: Any = None
) -> tuple[int, Any, bytes]:
    with_it = connection(cluster)
    try:
        with_it.request(method, path, body, headers or {})
        answer = with_it.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        with_it.close()


def by_s3(cluster: Cluster, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, Any, bytes]:
    """Ask S3 through the console, signed for S3's own host and path as the page signs it."""
    host = {"host": f"127.0.0.1:{9000 + cluster.offset}"}
    keys = cluster.env["AWS_ACCESS_KEY_ID"], cluster.env["AWS_SECRET_ACCESS_KEY"]
    headers = signed_headers(method, path, host, *keys)
    del headers["host"]
    return ask(cluster, f"/api/s3{path}", method, body, headers)


def token(cluster: Cluster) -> str:
    headers = {"X-Auth-User": cluster.env["ST_USER"], "X-Auth-Key": cluster.env["ST_KEY"]}
    request = urllib.request.Request(cluster.env["ST_AUTH"], headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.headers["X-Auth-Token"])


def console_pid(cluster: Cluster) -> int:
    return int((cluster.directory / "run" / "console.pid").read_text())


def memory_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


def test_only_what_is_there_is_told(bare: Cluster) -> None:
    status, _headers, body = ask(bare, "/api/console")
    assert status == 200
    assert json.loads(body)["services"] == ["s3", "swift"]
    assert ask(bare, "/api/identity/v3")[0] == 404
    assert ask(bare, "/")[0] == 200


def test_an_administrator_sees_what_status_tells(bare: Cluster) -> None:
    headers = {"X-Auth-Token": token(bare)}
    assert ask(bare, "/api/cluster")[0] == 401
    status, _headers, body = ask(bare, "/api/cluster", headers=headers)
    report = json.loads(body)
    assert status == 200
    assert report["endpoints"] == bare.status()["endpoints"]
    assert [node["node"] for node in report["nodes"]] == ["0", "1", "2", "3"]
    ring = report["ring"]
    assert sum(ring["held"].values()) == ring["partitions"] * ring["replicas"]
    assert json.loads(ask(bare, "/api/me", headers=headers)[2])["admin"] is True
    ann = bare.user("add", "ann")
    as_ann = {"X-Auth-User": "ann", "X-Auth-Key": ann["secret_key"]}
    with urllib.request.urlopen(urllib.request.Request(bare.env["ST_AUTH"], headers=as_ann), timeout=60) as answer:
        own = {"X-Auth-Token": answer.headers["X-Auth-Token"]}
    assert ask(bare, "/api/cluster", headers=own)[0] == 403


def test_objects_go_up_and_down_in_little_memory(bare: Cluster) -> None:
    """128 MiB each way; the console grows by a small part of that."""
    data = os.urandom(MIB) * 128
    assert by_s3(bare, "/through", "PUT")[0] == 200
    assert by_s3(bare, "/through/small", "PUT", b"warm")[0] == 200
    before = memory_mib(console_pid(bare))
    status, headers, _body = by_s3(bare, "/through/large%20one", "PUT", data)
    assert status == 200
    assert headers["ETag"]
    status, headers, body = by_s3(bare, "/through/large%20one")
    assert status == 200
    assert body == data
    assert headers["Content-Security-Policy"].startswith("sandbox;")
    assert memory_mib(console_pid(bare)) - before < 32


def test_it_tells_its_health_and_counts(bare: Cluster) -> None:
    admin = f"http://127.0.0.1:{6175 + bare.offset}"
    assert ask(bare, "/api/console")[0] == 200
    with urllib.request.urlopen(f"{admin}/healthz", timeout=60) as answer:
        assert json.loads(answer.read())["ok"] is True
    with urllib.request.urlopen(f"{admin}/metrics", timeout=60) as answer:
        assert b'holdfast_console_requests_total{service="console",status="2xx"}' in answer.read()


def test_there_is_one_and_it_leaves_when_told(bare: Cluster) -> None:
    first = console_pid(bare)
    os.kill(first, signal.SIGTERM)
    deadline = time.monotonic() + 60
    while not (bare.directory / "run" / "console.ready").exists() or console_pid(bare) == first:
        assert time.monotonic() < deadline, "it was not started again"
        time.sleep(0.1)
    assert ask(bare, "/api/console")[0] == 200
    assert bare.log_lines("request_failed") == []
