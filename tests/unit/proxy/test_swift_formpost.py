"""Uploads by signed forms, as Swift's formpost middleware has them."""

import base64
import hmac
from typing import Any

import pytest

from tests.unit.proxy.swift_cluster import NOW_S, Answer, Cluster, run

PATH = "/v1/AUTH_photos/c/pre-"
KEY = "s3cret"
EXPIRES = int(NOW_S) + 600


def signed(path: str = PATH, key: str = KEY, digest: str = "sha256", **fields: Any) -> dict[str, str]:
    """Return the fields of a form that is signed, in their order."""
    values = {"redirect": "", "max_file_size": 10, "max_file_count": 2, "expires": EXPIRES, **fields}
    text = "\n".join(str(each) for each in (path, *list(values.values())[:4]))
    signature = hmac.new(key.encode(), text.encode(), digest).hexdigest()
    return {**{name: str(value) for name, value in values.items()}, "signature": signature}


def body_of(fields: dict[str, str], *files: tuple[str, bytes], about_file: str = "") -> bytes:
    """Return a form."""
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, data in files:
        head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n{about_file}\r\n'
        parts.append(head.encode() + data + b"\r\n")
    return b"".join([*parts, b"--b--\r\n"])


async def prepared(**headers: str) -> Cluster:
    """Return a cluster with a container, and a key for its account."""
    cluster = Cluster()
    await cluster.as_ann("PUT", "/c", **headers)
    await cluster.as_ann("POST", "", x_account_meta_temp_url_key=KEY)
    return cluster


async def send(cluster: Cluster, body: bytes, path: str = PATH) -> Answer:
    """Send a form as a browser does: without a token."""
    return await cluster("POST", path, body, content_type="multipart/form-data; boundary=b")


async def listed(cluster: Cluster) -> bytes:
    """Return what the container lists."""
    return (await cluster.as_ann("GET", "/c")).body


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
def test_files_are_stored_under_the_prefix(digest: str) -> None:
    async def test() -> None:
        cluster = await prepared()
        answer = await send(cluster, body_of(signed(digest=digest), ("a.txt", b"first"), ("ü", b"second")))
        assert (answer.status, answer.body) == (201, b"201 Created")
        assert (await listed(cluster)).decode() == "pre-a.txt\npre-ü\n"
        stored = await cluster.as_ann("GET", "/c/pre-a.txt")
        assert (stored.body, stored.headers["content-type"]) == (b"first", "text/plain")

    run(test())


def test_a_form_to_a_container_needs_no_slash_and_a_key_of_its_own_does() -> None:
    async def test() -> None:
        cluster = await prepared(x_container_meta_temp_url_key_2="own")
        path = "/v1/AUTH_photos/c"
        assert (await send(cluster, body_of(signed(path, "own"), ("a", b"1")), path)).status == 201
        assert (await send(cluster, body_of(signed(path + "/", "own"), ("b", b"1")), path + "/")).status == 201
        assert await listed(cluster) == b"a\nb\n"

    run(test())


def test_a_signature_may_be_base64() -> None:
    async def test() -> None:
        cluster = await prepared()
        fields = signed()
        fields["signature"] = "sha256:" + base64.b64encode(bytes.fromhex(fields["signature"])).decode()
        assert (await send(cluster, body_of(fields, ("a", b"1")))).status == 201

    run(test())


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"signature": "0" * 64}, b"FormPost: Invalid Signature"),
        ({"signature": "nonsense"}, b"FormPost: Invalid Signature"),
        ({"signature": "md5:" + "A" * 22}, b"FormPost: Invalid Signature"),
        ({"max_file_size": "11"}, b"FormPost: Invalid Signature"),
        ({"redirect": "http://elsewhere/"}, b"FormPost: Invalid Signature"),
        ({"expires": str(int(NOW_S) - 1)}, b"FormPost: Form Expired"),
    ],
)
def test_what_was_not_signed_or_is_over_is_refused(changed: dict[str, str], reason: bytes) -> None:
    async def test() -> None:
        cluster = await prepared()
        answer = await send(cluster, body_of({**signed(), **changed}, ("a", b"1")))
        assert (answer.status, answer.body) == (401, reason)
        assert answer.headers["www-authenticate"] == 'Swift realm="AUTH_photos"'
        assert await listed(cluster) == b""

    run(test())


@pytest.mark.parametrize("path", ["/v1/AUTH_photos", "/v1/AUTH_photos/c/other-", "/v1/AUTH_bob/c/pre-"])
def test_a_form_is_for_its_path_alone(path: str) -> None:
    async def test() -> None:
        cluster = await prepared()
        assert (await send(cluster, body_of(signed(), ("a", b"1")), path)).status == 401

    run(test())


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"max_file_count": "many"}, b"FormPost: max_file_count not an integer"),
        ({"max_file_size": "big"}, b"FormPost: max_file_size not an integer"),
        ({"expires": "soon"}, b"FormPost: expires not an integer"),
        ({"x_delete_at": "soon"}, b"FormPost: x_delete_at not an integer: Unix timestamp required."),
        ({"x_delete_after": "1.5"}, b"FormPost: x_delete_after not an integer: Number of seconds required."),
    ],
)
def test_numbers_are_numbers(changed: dict[str, str], reason: bytes) -> None:
    async def test() -> None:
        cluster = await prepared()
        answer = await send(cluster, body_of(signed(**changed), ("a", b"1")))
        assert (answer.status, answer.body) == (400, reason)

    run(test())


def test_a_file_that_is_too_large_leaves_nothing() -> None:
    async def test() -> None:
        cluster = await prepared()
        answer = await send(cluster, body_of(signed(), ("a", b"0123456789"), ("b", b"0123456789x")))
        assert (answer.status, answer.body) == (400, b"FormPost: max_file_size exceeded")
        assert await listed(cluster) == b"pre-a\n"

    run(test())


def test_there_are_neither_too_many_files_nor_none() -> None:
    async def test() -> None:
        cluster = await prepared()
        answer = await send(cluster, body_of(signed(), ("a", b"1"), ("b", b"1"), ("c", b"1")))
        assert (answer.status, answer.body) == (400, b"400 Bad Request\r\nFormPost: Max File Count Exceeded")
        assert await listed(cluster) == b"pre-a\npre-b\n"
        answer = await send(cluster, body_of(signed()))
        assert (answer.status, answer.body) == (400, b"400 Bad Request\r\nFormPost: No Files To Process")
        assert (await send(cluster, b"no form")).body == b"FormPost: invalid starting boundary"

    run(test())


def test_the_browser_is_sent_on_with_the_outcome() -> None:
    async def test() -> None:
        cluster = await prepared()
        for redirect, joint in (("https://x/page", "?"), ("https://x/page?a=1", "&")):
            answer = await send(cluster, body_of(signed(redirect=redirect), ("a", b"1")))
            assert (answer.status, answer.headers["location"]) == (303, f"{redirect}{joint}status=201&message=")
            answer = await send(cluster, body_of(signed(redirect=redirect)))
            assert answer.headers["location"] == f"{redirect}{joint}status=400&message=no%20files%20to%20process"
        nasty = signed(redirect='https://x/"><b>\r\nSet-Cookie: a')
        answer = await send(cluster, body_of(nasty, ("a", b"1")))
        assert answer.headers["location"].startswith("https://x/%22%3E%3Cb%3E%0D%0ASet-Cookie:%20a?status=201")

    run(test())


def test_files_are_described_by_fields_or_by_their_parts() -> None:
    async def test() -> None:
        cluster = await prepared()
        about = "Content-Type: image/png\r\nContent-Encoding: gzip\r\n"
        assert (await send(cluster, body_of(signed(), ("a.txt", b"1"), about_file=about))).status == 201
        seen = (await cluster.as_ann("HEAD", "/c/pre-a.txt")).headers
        assert (seen["content-type"], seen["content-encoding"]) == ("image/png", "gzip")
        fields = {**signed(), "content-type": "text/x", "x_delete_after": "60"}
        assert (await send(cluster, body_of(fields, ("a.txt", b"1"), about_file=about))).status == 201
        seen = (await cluster.as_ann("HEAD", "/c/pre-a.txt")).headers
        assert (seen["content-type"], seen["x-delete-at"]) == ("text/x", str(int(NOW_S) + 60))

    run(test())


def test_what_the_container_does_not_take_is_told() -> None:
    async def test() -> None:
        cluster = await prepared(x_container_meta_quota_count="1")
        answer = await send(cluster, body_of(signed(), ("a", b"1"), ("b", b"1")))
        assert (answer.status, answer.body) == (413, b"Upload exceeds quota.")
        path = "/v1/AUTH_photos/none/"
        assert (await send(cluster, body_of(signed(path), ("a", b"1")), path)).status == 404
        assert (await send(cluster, body_of(signed(), ("a" * 1025, b"1")))).status == 400

    run(test())
