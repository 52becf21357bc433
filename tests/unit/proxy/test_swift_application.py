"""Routing, transaction ids, and what clients are told of errors."""

import pytest

from proxy.http.errors import BodyTimeout, BodyTruncated
from proxy.http.message import Headers, Request
from proxy.objects import errors
from proxy.swift.application import failed, protocol_error
from tests.unit.proxy.memory_service import BytesBody
from tests.unit.proxy.swift_cluster import NOW_S, Cluster, answered, run


def test_every_answer_has_the_transaction_id() -> None:
    async def test() -> None:
        cluster = Cluster()
        for path in ("/info", "/healthcheck", "/auth/v1.0", "/v1/AUTH_photos", "/v9/x", "/"):
            answer = await cluster("GET", path)
            assert answer.headers["x-trans-id"] == answer.headers["x-openstack-request-id"]
            assert answer.headers["x-trans-id"].startswith("tx")

    run(test())


def test_a_transaction_id_looks_as_swifts_do_and_is_the_logs() -> None:
    """tempest's AreAllWellFormatted."""

    async def test() -> None:
        request = Request("GET", "/healthcheck", "", Headers([]), BytesBody(b""), "0A1B2C3D00000001")
        answer = await answered(await Cluster().application(request))
        assert answer.headers["x-trans-id"] == request.id == f"tx000000a1b2c3d00000001-{int(NOW_S):010x}"

    run(test())


def test_every_answer_but_304_has_a_type() -> None:
    """tempest's ExistsAllResponseHeaders looks for it where there is no body, too."""

    async def test() -> None:
        cluster = Cluster()
        for method, path in (("PUT", "/c"), ("POST", "/c"), ("PUT", "/c/o"), ("POST", "/c/o"), ("DELETE", "/c/o"),
                             ("DELETE", "/c"), ("POST", ""), ("HEAD", "")):  # fmt: skip
            answer = await cluster.as_ann(method, path)
            assert (answer.status < 300, "content-type" in answer.headers) == (True, True)

    run(test())


def test_a_body_that_finds_too_few_replicas_is_answered_503_as_the_request_would_be() -> None:
    """A manifest's segments are looked for when the first of its bytes is sent."""
    request = Request("GET", "/v1/AUTH_a/c/o", "", Headers([]), BytesBody(b""), "tx1")
    told = failed(request, errors.Unavailable("1 of 3"))
    assert told is not None
    assert told.status == 503
    assert dict(told.headers)["Retry-After"] == "1"
    assert ("X-Trans-Id", "tx1") in told.headers
    assert failed(request, KeyError("bug")) is None


def test_health_and_capabilities_need_no_token() -> None:
    async def test() -> None:
        cluster = Cluster()
        health = await cluster("GET", "/healthcheck")
        assert (health.status, health.body) == (200, b"OK")
        info = (await cluster("GET", "/info")).json
        assert info["swift"]["max_object_name_length"] == 1024
        assert info["swift"]["policies"] == [{"name": "Policy-0", "aliases": "Policy-0", "default": True}]
        assert info["slo"]["max_manifest_segments"] == 1000
        assert "bulk_delete" in info
        assert (await cluster("DELETE", "/info")).status == 405

    run(test())


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "", "GET, HEAD, POST, OPTIONS"),
        ("DELETE", "", "GET, HEAD, POST, OPTIONS"),
        ("COPY", "/c", "GET, HEAD, PUT, POST, DELETE, OPTIONS"),
        ("PATCH", "/c/o", "GET, HEAD, PUT, POST, DELETE, COPY, OPTIONS"),
    ],
)
def test_unknown_methods_are_told_the_known_ones(method: str, path: str, allowed: str) -> None:
    async def test() -> None:
        answer = await Cluster().as_ann(method, path)
        assert (answer.status, answer.headers["allow"]) == (405, allowed)

    run(test())


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (errors.NoSuchContainer(), 404),
        (errors.NoSuchObject(), 404),
        (errors.ContainerNotEmpty(), 409),
        (errors.SegmentChanged(), 409),
        (errors.BodyTooLarge(), 413),
        (errors.RangeNotSatisfiable(5), 416),
        (errors.Unavailable(), 503),
        (errors.QuorumNotReached(2, 1, {}), 503),
        (errors.NameContended(), 503),
        (errors.OutOfSpace(), 507),
        (errors.ObjectServiceError(), 500),
        (BodyTruncated(), 499),
        (BodyTimeout(), 408),
    ],
)
def test_what_the_service_raises_is_told_as_a_status(raised: Exception, status: int) -> None:
    async def test() -> None:
        cluster = Cluster()

        async def fail(*_arguments: object) -> None:
            raise raised

        cluster.service.put_object = fail  # type: ignore[method-assign]
        answer = await cluster.as_ann("PUT", "/c/o", b"x")
        assert answer.status == status
        assert answer.headers["content-type"] == "text/html; charset=UTF-8"
        assert answer.body.startswith(b"<html><h1>") or status in (408, 500)

    run(test())


def test_a_body_that_ends_early_leaves_nothing_behind() -> None:
    class Truncated(BytesBody):
        async def read(self) -> bytes:
            raise BodyTruncated

    async def test() -> None:
        cluster = Cluster()
        await cluster.as_ann("PUT", "/c")
        headers = Headers([("content-length", "10"), ("x-auth-token", cluster.tokens.issue(cluster.ann)[0])])
        request = Request("PUT", "/v1/AUTH_photos/c/o", "", headers, Truncated(b"x" * 10), "tx")
        assert (await answered(await cluster.application(request))).status == 499
        assert (await cluster.as_ann("GET", "/c/o")).status == 404

    run(test())


def test_head_never_has_a_body() -> None:
    async def test() -> None:
        cluster = Cluster()
        for path in ("/info", "/healthcheck", "/v1/AUTH_photos", "/v1/AUTH_photos/c/o", "/v9/a", "/"):
            assert (await cluster("HEAD", path)).body == b""
        assert (await cluster("HEAD", "/healthcheck")).length == 2

    run(test())


def test_errors_of_http_itself_are_told_in_text() -> None:
    request = Request("GET", "/", "", Headers(), BytesBody(b""), "tx7")
    told = protocol_error(request, 400, "nonsense")
    assert (told.status, told.body, ("X-Trans-Id", "tx7") in told.headers) == (400, b"nonsense\n", True)
    assert protocol_error(None, 431, "too long").status == 431
