"""Account access lists, as Swift's tempauth has them."""

import json

import pytest

from proxy.swift.account_acl import HEADER, Level, clean, level_of
from tests.unit.proxy.swift_cluster import Answer, Cluster, run
from tests.unit.proxy.test_swift_roles import WithMembers

LIST = {"admin": ["root"], "read-write": ["bob"], "read-only": ["photos:ann", "ü"]}


def test_a_list_is_shown_in_one_form() -> None:
    assert clean('{ "read-only": ["b"],\t"admin":["ü"]}'.encode().decode("latin-1")) == (
        '{"admin":["\\u00fc"],"read-only":["b"]}'
    )
    assert clean("") == clean("{}") == ""


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "Syntax error in input"),
        ("[]", "Syntax error in input"),
        ("null", "Syntax error in input"),
        ("[" * 100_000, "Syntax error in input"),
        ('{"other": []}', 'Key "other" not recognized'),
        ('{"admin": "bob"}', 'Value for key "admin" must be a list'),
        ('{"admin": ["bob", 7]}', 'Elements of "admin" list must be strings'),
    ],
)
def test_what_is_no_list_is_refused_with_a_reason(value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clean(value)


def test_the_highest_level_counts_and_wildcards_do_not() -> None:
    stored = json.dumps(LIST)
    assert level_of(stored, {"bob", "photos:ann"}) is Level.READ_WRITE
    assert level_of(stored, {"ü"}) is Level.READ_ONLY
    assert level_of(stored, {"carol"}) is level_of("", {"bob"}) is Level.NONE
    assert level_of('{"admin": ["*:*"]}', {"*:*", "bob"}) is Level.NONE


async def granted(level: str) -> Cluster:
    """Return a cluster in which Bob has `level` in Ann's account, which has the container c with the object o."""
    cluster = Cluster()
    await cluster.as_ann("PUT", "/c", x_container_read="nobody", x_container_meta_temp_url_key="s3cret")
    await cluster.as_ann("PUT", "/c/o", b"data")
    answer = await cluster.as_ann(
        "POST", "", x_account_access_control=json.dumps({level: ["bob"]}), x_account_meta_temp_url_key="s3cret"
    )
    assert answer.status == 204
    return cluster


async def as_bob(cluster: Cluster, method: str, path: str = "", body: bytes | None = None, **headers: str) -> Answer:
    """Send a request below Ann's account as Bob."""
    return await cluster(method, f"/v1/AUTH_photos{path}", body, cluster.bob, **headers)


READING = [("GET", ""), ("HEAD", ""), ("GET", "/c"), ("HEAD", "/c"), ("GET", "/c/o"), ("HEAD", "/c/o")]
WRITING = [("PUT", "/c/p"), ("POST", "/c/p"), ("DELETE", "/c/p"), ("PUT", "/d"), ("POST", "/d"), ("DELETE", "/d")]


@pytest.mark.parametrize(
    ("level", "reads", "writes", "administers"),
    [
        ("read-only", True, False, False),
        ("read-write", True, True, False),
        ("admin", True, True, True),
    ],
)
def test_a_level_opens_what_it_says(level: str, reads: bool, writes: bool, administers: bool) -> None:
    async def test() -> None:
        cluster = await granted(level)
        for requests, allowed in ((READING, reads), (WRITING, writes), ([("POST", "")], administers)):
            for method, path in requests:
                status = (await as_bob(cluster, method, path)).status
                assert (status < 300) is allowed, (method, path, status)
        deleted = await as_bob(cluster, "POST", "?bulk-delete", b"c/o", accept="application/json")
        assert deleted.json["Number Deleted"] == writes

    run(test())


@pytest.mark.parametrize("level", ["read-only", "read-write", "admin"])
def test_secrets_and_lists_are_for_administrators(level: str) -> None:
    async def test() -> None:
        cluster = await granted(level)
        account, container = (await as_bob(cluster, "HEAD")).headers, (await as_bob(cluster, "HEAD", "/c")).headers
        seen = [
            HEADER in account,
            "s3cret" in account.values(),
            "s3cret" in container.values(),
            "x-container-read" in container,
        ]
        assert seen == [level == "admin"] * 4
        assert (await cluster.as_ann("HEAD", "")).headers[HEADER] == f'{{"{level}":["bob"]}}'

    run(test())


def test_who_may_write_cannot_open_a_container_to_others() -> None:
    async def test() -> None:
        cluster = await granted("read-write")
        changes = {"x_container_read": ".r:*", "x_container_meta_temp_url_key": "mine", "x_container_meta_color": "red"}
        assert (await as_bob(cluster, "POST", "/c", **changes)).status == 204
        assert (await as_bob(cluster, "PUT", "/new", **changes)).status == 201
        for path, key, readers in (("/c", "s3cret", "nobody"), ("/new", None, None)):
            seen = (await cluster.as_ann("HEAD", path)).headers
            assert seen["x-container-meta-color"] == "red"
            assert seen.get("x-container-meta-temp-url-key") == key
            assert seen.get("x-container-read") == readers

    run(test())


def test_a_bad_list_is_refused_and_an_empty_one_removes_it() -> None:
    async def test() -> None:
        cluster = await granted("admin")
        refused = await cluster.as_ann("POST", "", x_account_access_control="{}}")
        assert refused.status == 400
        assert refused.body.startswith(b"X-Account-Access-Control invalid: Syntax error")
        long = json.dumps({"admin": ["b" * 8192]})
        assert (await cluster.as_ann("POST", "", x_account_access_control=long)).status == 400
        await cluster.as_ann("POST", "", x_account_access_control="{}")
        assert HEADER not in (await cluster.as_ann("HEAD", "")).headers
        assert (await as_bob(cluster, "GET")).status == 403

    run(test())


def test_a_copy_needs_what_it_needs_of_each_account() -> None:
    async def test() -> None:
        cluster = await granted("read-only")
        await cluster("PUT", "/v1/AUTH_bob/mine", user=cluster.bob)
        copied = await as_bob(cluster, "COPY", "/c/o", destination="mine/o", destination_account="AUTH_bob")
        assert copied.status == 201
        back = await cluster(
            "COPY", "/v1/AUTH_bob/mine/o", user=cluster.bob, destination="c/p", destination_account="AUTH_photos"
        )
        assert back.status == 403

    run(test())


def test_users_of_the_identity_service_are_named_by_project_and_user() -> None:
    async def test() -> None:
        cluster = WithMembers()
        stranger = cluster.members["stranger"]
        named = next(name for name in stranger.listed_as("") if "*" not in name)
        assert (await cluster.ask("stranger", "GET")).status == 403
        await cluster.ask("member", "POST", x_account_access_control=json.dumps({"read-only": [named]}))
        assert (await cluster.ask("stranger", "HEAD")).status == 204
        assert (await cluster.ask("stranger", "PUT", "/c")).status == 403

    run(test())
