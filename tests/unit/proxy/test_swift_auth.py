"""Logging in, tokens, and who may do what."""

import pytest

from tests.unit.proxy.swift_cluster import Cluster, run


@pytest.mark.parametrize("path", ["/auth/v1.0", "/auth/v1"])
@pytest.mark.parametrize(
    ("user_header", "key_header"), [("x-auth-user", "x-auth-key"), ("x-storage-user", "x-storage-pass")]
)
def test_a_name_and_its_key_give_a_token_and_a_url(path: str, user_header: str, key_header: str) -> None:
    async def test() -> None:
        cluster = Cluster()
        named = {user_header: "photos:ann", key_header: cluster.ann.secret_key}
        answer = await cluster("GET", path, host="store.example:8080", **named)
        assert answer.status == 200
        assert answer.headers["x-storage-url"] == "http://store.example:8080/v1/AUTH_photos"
        assert answer.headers["x-auth-token"] == answer.headers["x-storage-token"]
        assert answer.headers["x-auth-token-expires"] == "3600"
        for header in ("x_auth_token", "x_storage_token"):
            token = {header: answer.headers["x-auth-token"]}
            assert (await cluster("HEAD", "/v1/AUTH_photos", **token)).status == 204

    run(test())


def test_a_plain_name_may_be_written_as_an_account_and_a_user() -> None:
    async def test() -> None:
        cluster = Cluster()
        key = cluster.bob.secret_key
        answer = await cluster("GET", "/auth/v1.0", x_auth_user="bob:bob", x_auth_key=key)
        assert answer.headers["x-storage-url"].endswith("/v1/AUTH_bob")
        for other in ("bob:ann", "other:bob", "bob:"):
            assert (await cluster("GET", "/auth/v1.0", x_auth_user=other, x_auth_key=key)).status == 401

    run(test())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"x_auth_user": "photos:ann"},
        {"x_auth_user": "photos:ann", "x_auth_key": "wrong"},
        {"x_auth_user": "nobody", "x_auth_key": ""},
        {"x_auth_user": "nobody", "x_auth_key": "x"},
        {"x_auth_key": "x"},
        {"x_auth_user": "photos:ann", "x_auth_key": "\xff"},
    ],
)
def test_others_get_no_token(fields: dict[str, str]) -> None:
    async def test() -> None:
        answer = await Cluster()("GET", "/auth/v1.0", **fields)
        assert answer.status == 401
        assert "x-auth-token" not in answer.headers
        assert answer.headers["www-authenticate"].startswith('Swift realm="')

    run(test())


def test_a_bad_token_is_401_even_where_none_is_needed() -> None:
    async def test() -> None:
        cluster = Cluster()
        await cluster.as_ann("PUT", "/c", x_container_read=".r:*")
        await cluster.as_ann("PUT", "/c/o", b"x")
        assert (await cluster("GET", "/v1/AUTH_photos/c/o")).status == 200
        answer = await cluster("GET", "/v1/AUTH_photos/c/o", x_auth_token="AUTH_tknonsense")
        assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Swift realm="AUTH_photos"')

    run(test())


def test_a_token_ends() -> None:
    async def test() -> None:
        cluster = Cluster()
        token = cluster.tokens.issue(cluster.ann)[0]
        assert (await cluster("HEAD", "/v1/AUTH_photos", x_auth_token=token)).status == 204
        cluster.now_s += 3601
        assert (await cluster("HEAD", "/v1/AUTH_photos", x_auth_token=token)).status == 401

    run(test())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("HEAD", ""),
        ("POST", ""),
        ("GET", "/c"),
        ("HEAD", "/c"),
        ("PUT", "/new"),
        ("POST", "/c"),
        ("DELETE", "/c"),
        ("GET", "/c/o"),
        ("HEAD", "/c/o"),
        ("PUT", "/c/o"),
        ("POST", "/c/o"),
        ("DELETE", "/c/o"),
        ("COPY", "/c/o"),
        ("GET", "/nope/o"),
        ("PUT", "/c/o?multipart-manifest=put"),
        ("DELETE", "/c/o?multipart-manifest=delete"),
        ("GET", "/c/o?multipart-manifest=get"),
    ],
)
def test_without_a_grant_strangers_get_401_and_other_users_403(method: str, path: str) -> None:
    async def test() -> None:
        cluster = Cluster()
        await cluster.as_ann("PUT", "/c")
        await cluster.as_ann("PUT", "/c/o", b"x")
        anonymous = await cluster(method, f"/v1/AUTH_photos{path}", destination="c/p")
        assert (anonymous.status, anonymous.headers["www-authenticate"]) == (401, 'Swift realm="AUTH_photos"')
        assert (
            await cluster(method, f"/v1/AUTH_photos{path}", user=cluster.bob, destination="c/p")
        ).status == 403
        assert (
            await cluster(method, f"/v1/AUTH_photos{path}", user=cluster.root, destination="c/p")
        ).status < 500
        if method == "HEAD":
            assert anonymous.body == b""

    run(test())


def test_an_administrator_may_enter_any_account_but_none_that_is_not_one() -> None:
    async def test() -> None:
        cluster = Cluster()
        assert (await cluster("GET", "/v1/AUTH_photos", user=cluster.root)).status == 204
        assert (await cluster("GET", "/v1/photos", user=cluster.root)).status == 403

    run(test())


def test_a_read_grant_lets_read_and_a_write_grant_write() -> None:
    async def test() -> None:
        cluster = Cluster()
        await cluster.as_ann("PUT", "/c", x_container_read="bob")
        await cluster.as_ann("PUT", "/c/o", b"x")
        place = "/v1/AUTH_photos/c"
        assert (await cluster("GET", f"{place}/o", user=cluster.bob)).body == b"x"
        assert (await cluster("GET", place, user=cluster.bob)).body == b"o\n"
        assert (await cluster("PUT", f"{place}/o", b"y", cluster.bob)).status == 403
        await cluster.as_ann("POST", "/c", x_container_write="*:bob", x_remove_container_read="x")
        assert (await cluster("GET", f"{place}/o", user=cluster.bob)).status == 403
        assert (await cluster("PUT", f"{place}/o", b"y", cluster.bob)).status == 201
        assert (await cluster("POST", f"{place}/o", None, cluster.bob)).status == 202
        assert (await cluster("DELETE", f"{place}/o", None, cluster.bob)).status == 204
        assert (await cluster("POST", place, None, cluster.bob)).status == 403
        assert (await cluster("DELETE", place, None, cluster.bob)).status == 403

    run(test())


def test_referrers_read_but_list_only_with_rlistings() -> None:
    async def test() -> None:
        cluster = Cluster()
        await cluster.as_ann("PUT", "/c", x_container_read=".r:.example.com")
        await cluster.as_ann("PUT", "/c/o", b"x")
        place, page = "/v1/AUTH_photos/c", "http://www.example.com/page"
        assert (await cluster("GET", f"{place}/o", referer=page)).status == 200
        assert (await cluster("GET", f"{place}/o", referer="http://other.org/")).status == 401
        assert (await cluster("GET", f"{place}/o")).status == 401
        assert (await cluster("GET", place, referer=page)).status == 401
        await cluster.as_ann("POST", "/c", x_container_read=".r:.example.com, .rlistings")
        assert (await cluster("GET", place, referer=page)).status == 200
        assert (await cluster("HEAD", place, referer=page)).status == 204

    run(test())


def test_access_lists_are_shown_to_the_owner_only() -> None:
    async def test() -> None:
        cluster = Cluster()
        await cluster.as_ann("PUT", "/c", x_container_read="bob, .r:*", x_container_write="bob")
        mine = await cluster.as_ann("HEAD", "/c")
        assert (mine.headers["x-container-read"], mine.headers["x-container-write"]) == ("bob,.r:*", "bob")
        theirs = await cluster("HEAD", "/v1/AUTH_photos/c", user=cluster.bob)
        assert theirs.status == 204
        assert not [name for name in theirs.headers if name in ("x-container-read", "x-container-write")]

    run(test())


def test_a_bad_access_list_is_refused() -> None:
    async def test() -> None:
        cluster = Cluster()
        assert (await cluster.as_ann("PUT", "/c", x_container_write=".r:*")).status == 400
        assert (await cluster.as_ann("PUT", "/c", x_container_read=".r:")).status == 400
        assert (await cluster.as_ann("HEAD", "/c")).status == 404

    run(test())
