"""Requests from pages of other origins."""

from tests.unit.proxy.swift_cluster import Cluster, run

ORIGIN = "https://app.example"
PLACE = "/v1/AUTH_photos/c/o"


async def _open_to(origins: str) -> Cluster:
    cluster = Cluster()
    await cluster.as_ann(
        "PUT",
        "/c",
        x_container_read=".r:*",
        x_container_meta_access_control_allow_origin=origins,
        x_container_meta_access_control_max_age="60",
        x_container_meta_access_control_expose_headers="X-Extra",
    )
    await cluster.as_ann("PUT", "/c/o", b"x", x_object_meta_k="v")
    return cluster


def test_an_allowed_origin_is_named_in_answers() -> None:
    async def test() -> None:
        cluster = await _open_to(f"https://other.example {ORIGIN}")
        answer = await cluster("GET", PLACE, origin=ORIGIN)
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["vary"] == "Origin"
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"etag", "x-object-meta-k", "x-trans-id", "x-extra"} <= set(exposed)
        missing = await cluster("GET", PLACE + "2", origin=ORIGIN)
        assert (missing.status, missing.headers["access-control-allow-origin"]) == (404, ORIGIN)

    run(test())


def test_other_origins_learn_nothing() -> None:
    async def test() -> None:
        cluster = await _open_to(ORIGIN)
        for origin in ("https://evil.example", "https://app.example.evil", "null"):
            answer = await cluster("GET", PLACE, origin=origin)
            assert answer.status == 200
            assert "access-control-allow-origin" not in answer.headers

    run(test())


def test_a_preflight_tells_methods_and_headers() -> None:
    async def test() -> None:
        cluster = await _open_to("*")
        asked = {"access_control_request_method": "PUT", "access_control_request_headers": "x-auth-token"}
        answer = await cluster("OPTIONS", PLACE, origin=ORIGIN, **asked)
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "PUT" in answer.headers["access-control-allow-methods"]
        assert answer.headers["access-control-allow-headers"] == "x-auth-token"
        assert answer.headers["access-control-max-age"] == "60"

    run(test())


def test_a_preflight_from_elsewhere_or_for_an_unknown_method_is_refused() -> None:
    async def test() -> None:
        cluster = await _open_to(ORIGIN)
        assert (
            await cluster(
                "OPTIONS", PLACE, origin="https://evil.example", access_control_request_method="PUT"
            )
        ).status == 401
        assert (
            await cluster("OPTIONS", PLACE, origin=ORIGIN, access_control_request_method="PATCH")
        ).status == 401
        assert (
            await cluster(
                "OPTIONS", "/v1/AUTH_photos/nope/o", origin=ORIGIN, access_control_request_method="PUT"
            )
        ).status == 401

    run(test())


def test_options_without_an_origin_tells_the_methods() -> None:
    async def test() -> None:
        answer = await Cluster()("OPTIONS", PLACE)
        assert (answer.status, answer.headers["allow"]) == (
            200,
            "GET, HEAD, PUT, POST, DELETE, COPY, OPTIONS",
        )

    run(test())
