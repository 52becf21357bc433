"""Temporary URLs, signed by swiftclient as far as it can."""

import base64
import hmac
from urllib.parse import quote

import pytest
from swiftclient.utils import generate_temp_url

from tests.unit.proxy.swift_cluster import NOW_S, Answer, Cluster, run

KEY = "a sécret key"
EXPIRES = int(NOW_S) + 60
PATH = "/v1/AUTH_photos/c/a dir/ö"
DATA = b"0123456789"


def _url(method: str = "GET", path: str = PATH, more: str = "", **options: object) -> str:
    """Return a URL that swiftclient signs, of a path that is not escaped yet."""
    signed = generate_temp_url(path, EXPIRES, KEY, method, absolute=True, **options)
    raw, _question, query = signed.partition("?")
    return f"{quote(raw)}?{query}{more}"


async def _filled() -> Cluster:
    cluster = Cluster()
    await cluster.as_ann("PUT", "/c")
    await cluster.as_ann("POST", "", x_account_meta_temp_url_key=KEY.encode().decode("latin-1"))
    await cluster.as_ann(
        "PUT", quote("/c/a dir/ö"), DATA, x_object_meta_secret="s", x_object_meta_public_k="v", expires="some day"
    )
    return cluster


def _get(url: str, method: str = "GET", **headers: str) -> Answer:
    async def test() -> Answer:
        cluster = await _filled()
        return await cluster(method, url, **headers)

    return run(test())


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
def test_a_url_is_good_for_its_method_and_object(digest: str) -> None:
    answer = _get(_url(digest=digest))
    assert (answer.status, answer.body) == (200, DATA)
    assert _get(_url(digest=digest), range="bytes=2-3").body == b"23"
    for method in ("PUT", "POST", "DELETE", "COPY"):
        refused = _get(_url(digest=digest), method)
        assert (refused.status, "www-authenticate" in refused.headers) == (401, True)
    assert _get(_url(digest=digest).replace("c/a", "c/b")).status == 401


@pytest.mark.parametrize("method", ["HEAD", "GET", "PUT", "POST"])
def test_whoever_may_read_or_write_may_look(method: str) -> None:
    answer = _get(_url(method), "HEAD")
    assert (answer.status, answer.length, answer.body) == (200, 10, b"")
    assert _get(_url("DELETE"), "HEAD").status == 401


def test_metadata_is_hidden_unless_it_is_public_and_the_file_is_to_be_saved() -> None:
    headers = _get(_url()).headers
    assert "x-object-meta-secret" not in headers
    assert headers["x-object-meta-public-k"] == "v"
    assert headers["content-disposition"] == "attachment; filename=\"%C3%B6\"; filename*=UTF-8''%C3%B6"
    assert headers["expires"] == "Fri, 15 Jan 2027 08:01:00 GMT"


@pytest.mark.parametrize(
    ("more", "disposition"),
    [
        ("&inline", "inline"),
        ("&filename=a%2Fb%22", "attachment; filename=\"a/b%22\"; filename*=UTF-8''a/b%22"),
        ("&inline&filename=x%0d%0ay", "inline; filename=\"x%0D%0Ay\"; filename*=UTF-8''x%0D%0Ay"),
    ],
)
def test_the_url_says_how_the_file_is_shown(more: str, disposition: str) -> None:
    assert _get(_url(more=more)).headers["content-disposition"] == disposition


def test_dates_and_addresses_may_be_signed_too() -> None:
    assert _get(_url(iso8601=True)).status == 200
    url = _url(ip_range="10.0.0.0/8")
    assert _get(url).status == 401  # nobody's address
    assert _get(url.replace("10.0.0.0", "0.0.0.0")).status == 401

    async def test() -> None:
        cluster = await _filled()
        application = cluster.application
        served: list[str] = []

        async def from_ten(request: object) -> object:
            request.peer = served[-1]  # type: ignore[attr-defined]
            return await application(request)  # type: ignore[arg-type]

        cluster.application = from_ten  # type: ignore[assignment]
        for peer, status in (("10.1.2.3", 200), ("::ffff:10.1.2.3", 200), ("11.1.2.3", 401), ("fd00::1", 401)):
            served.append(peer)
            assert (await cluster("GET", url)).status == status

    run(test())


def test_a_prefix_opens_what_is_below_it() -> None:
    signed = _url(path="/v1/AUTH_photos/c/a ", prefix=True).partition("?")[2]
    assert _get(f"{quote(PATH)}?{signed}").status == 200
    assert _get(f"/v1/AUTH_photos/c/b?{signed}").status == 401
    assert _get(f"/v1/AUTH_photos/d/a%20b?{signed}").status == 401
    assert _get(f"{quote(PATH)}?{signed.replace('temp_url_prefix=a', 'temp_url_prefix=')}").status == 401


@pytest.mark.parametrize("decorate", [base64.b64encode, base64.urlsafe_b64encode])
def test_signatures_may_be_base64(decorate: object) -> None:
    digest = hmac.digest(KEY.encode(), f"GET\n{EXPIRES}\n{PATH}".encode(), "sha512")
    text = decorate(digest).decode().rstrip("=")  # type: ignore[operator]
    for name, status in (("sha512", 200), ("sha256", 401), ("md5", 401)):
        query = f"temp_url_sig={name}:{quote(text, safe='')}&temp_url_expires={EXPIRES}"
        assert _get(f"{quote(PATH)}?{query}").status == status


@pytest.mark.parametrize(
    "query",
    [
        "temp_url_sig=abcd",
        f"temp_url_expires={EXPIRES}",
        f"temp_url_sig=&temp_url_expires={EXPIRES}",
        f"temp_url_sig={'0' * 64}&temp_url_expires={EXPIRES}",
        f"temp_url_sig=\u00e9&temp_url_expires={EXPIRES}",
        f"temp_url_sig=sha256:\u00e9&temp_url_expires={EXPIRES}",
        f"temp_url_sig={'0' * 64}&temp_url_expires=tomorrow",
        f"temp_url_sig={'0' * 64}&temp_url_expires=-1",
    ],
)
def test_what_is_half_or_wrong_is_refused(query: str) -> None:
    assert _get(f"{quote(PATH)}?{quote(query, safe='=&:')}").status == 401


def test_an_expired_url_and_one_without_a_key_are_refused() -> None:
    async def test() -> None:
        cluster = await _filled()
        cluster.now_s = EXPIRES
        assert (await cluster("GET", _url())).status == 200
        cluster.now_s = EXPIRES + 1
        assert (await cluster("GET", _url())).status == 401
        cluster.now_s = NOW_S
        await cluster.as_ann("POST", "", x_account_meta_temp_url_key="", x_account_meta_temp_url_key_2="other")
        assert (await cluster("GET", _url())).status == 401
        await cluster.as_ann("POST", "/c", x_container_meta_temp_url_key_2=KEY.encode().decode("latin-1"))
        assert (await cluster("GET", _url())).status == 200
        assert (await cluster("GET", _url(path="/v1/AUTH_photos/none/o"))).status == 401

    run(test())


def test_objects_are_written_and_deleted() -> None:
    async def test() -> None:
        cluster = await _filled()
        path = "/v1/AUTH_photos/c/new"
        assert (await cluster("PUT", _url("PUT", path), b"x")).status == 201
        assert (await cluster("POST", _url("POST", path), x_object_meta_k="v")).status == 202
        assert (await cluster.as_ann("HEAD", "/c/new")).headers["x-object-meta-k"] == "v"
        # no other object's bytes get into it
        for header in ("x_copy_from", "x_object_manifest"):
            assert (await cluster("PUT", _url("PUT", path), b"", **{header: "c/a"})).status == 400
        # nor is it more than an object
        more = "&multipart-manifest=put"
        assert (await cluster("PUT", _url("PUT", path, more), b"[]")).status == 201
        assert (await cluster.as_ann("GET", "/c/new")).body == b"[]"
        for parameter in ("bulk-delete", "multipart-manifest=delete"):
            assert (await cluster("DELETE", _url("DELETE", path, f"&{parameter}"), b"")).status in (204, 404)
        assert (await cluster.as_ann("HEAD", "/c/new")).status == 404
        for listed in ("/v1/AUTH_photos", "/v1/AUTH_photos/c", "/v1/AUTH_photos/c/"):
            signature = hmac.digest(KEY.encode(), f"GET\n{EXPIRES}\n{listed}".encode(), "sha256").hex()
            url = f"{listed}?temp_url_sig={signature}&temp_url_expires={EXPIRES}"
            assert (await cluster("GET", url)).status == 401

    run(test())


def test_a_containers_key_opens_no_segments_elsewhere() -> None:
    async def test() -> None:
        cluster = await _filled()
        key = KEY.encode().decode("latin-1")
        await cluster.as_ann("PUT", "/segments")
        await cluster.as_ann("PUT", "/segments/1", b"one")
        await cluster.as_ann("PUT", "/c/dynamic", b"", x_object_manifest="segments/1")
        await cluster.as_ann("PUT", "/c/static?multipart-manifest=put", b'[{"path": "/segments/1"}]')
        for name in ("dynamic", "static"):
            url = _url(path=f"/v1/AUTH_photos/c/{name}")
            await cluster.as_ann("POST", "", x_account_meta_temp_url_key=key)
            assert (await cluster("GET", url)).body == b"one"
            await cluster.as_ann("POST", "", x_account_meta_temp_url_key="")
            await cluster.as_ann("POST", "/c", x_container_meta_temp_url_key=key)
            assert (await cluster("GET", url)).status == 401

    run(test())


def test_keys_are_shown_to_the_owner_only() -> None:
    async def test() -> None:
        cluster = await _filled()
        await cluster.as_ann("POST", "/c", x_container_read=".r:*,.rlistings", x_container_meta_temp_url_key_2="k")
        shown = await cluster.as_ann("HEAD", "/c")
        assert shown.headers["x-container-meta-temp-url-key-2"] == "k"
        assert not any("temp-url" in name for name in (await cluster("GET", "/v1/AUTH_photos/c")).headers)

    run(test())


def test_what_can_be_done_is_announced() -> None:
    async def test() -> None:
        announced = (await Cluster()("GET", "/info")).json["tempurl"]
        assert set(announced["methods"]) == {"GET", "HEAD", "PUT", "POST", "DELETE"}
        assert set(announced["allowed_digests"]) == {"sha1", "sha256", "sha512"}

    run(test())
