"""Containers as web sites, as Swift's staticweb middleware has them."""

import hmac
import re

import pytest

from tests.unit.proxy.swift_cluster import NOW_S, Answer, Cluster, run

SITE = "/v1/AUTH_photos/site"
PUBLIC = ".r:*,.rlistings"


async def site(read: str = PUBLIC, **web: str) -> Cluster:
    """Return a cluster with a site: X-Container-Meta-Web-… by the name's end."""
    cluster = Cluster()
    headers = {f"x_container_meta_web_{name}": value for name, value in web.items()}
    await cluster.as_ann("PUT", "/site", x_container_read=read, **headers)
    for name, data in (
        ("index.html", b"home"),
        ("404error.html", b"not here"),
        ("401error.html", b"not you"),
        ("dir/index.html", b"dir's home"),
        ("bare/a%20%26.txt", b"a" * 2000),
        ("bare/deep/b", b"b"),
    ):
        await cluster.as_ann("PUT", f"/site/{name}", data)
    return cluster


async def visit(cluster: Cluster, path: str = "", method: str = "GET", **headers: str) -> Answer:
    """Send a request without a token."""
    return await cluster(method, SITE + path, **headers)


def test_an_index_is_the_page_of_its_directory() -> None:
    async def test() -> None:
        cluster = await site(index="index.html")
        for path, body in (("/", b"home"), ("/index.html", b"home"), ("/dir/", b"dir's home")):
            answer = await visit(cluster, path)
            assert (answer.status, answer.body, answer.headers["content-type"]) == (200, body, "text/html")
            head = await visit(cluster, path, "HEAD")
            assert (head.status, head.body, head.length) == (200, b"", len(body))
        for path in ("", "/dir", "/bare"):
            answer = await visit(cluster, path, host="h:1")
            assert (answer.status, answer.headers.get("location")) == (301, f"http://h:1{SITE}{path}/")
        assert (await visit(cluster, "/", range="bytes=1-2")).body == b"om"

    run(test())


def test_where_there_is_no_index_there_may_be_a_listing() -> None:
    async def test() -> None:
        cluster = await site(index="index.html", listings="true")
        page = (await visit(cluster, "/bare/")).body.decode()
        assert "Listing of /v1/AUTH_photos/site/bare/" in page
        links = re.findall(r'<a href="([^"]*)">([^<]*)</a>', page)
        assert links == [("../", "../"), ("./deep/", "deep/"), ("./a%20%26%2Etxt", "a &amp;.txt")]
        assert '<td class="colsize">2Ki</td>' in page
        assert 'class="item type-text type-plain"' in page
        assert (await visit(cluster, "/", "HEAD")).status == 200
        assert (await visit(cluster, "/none/")).status == 404
        assert (await visit(cluster, "/none")).status == 404

    run(test())


def test_the_root_is_listed_and_a_style_sheet_and_a_label_are_the_site_s() -> None:
    async def test() -> None:
        cluster = await site(listings="t", listings_css="css/list.css", listings_label="example.com")
        page = (await visit(cluster, "/")).body.decode()
        assert 'href="css/list.css"' in page
        assert "Listing of example.com/<" in page
        assert 'id="parent"' not in page
        page = (await visit(cluster, "/bare/deep/")).body.decode()
        assert 'href="../../css/list.css"' in page
        assert "Listing of example.com/bare/deep/<" in page

    run(test())


def test_listings_are_off_unless_they_are_on() -> None:
    async def test() -> None:
        cluster = await site(index="index.html")
        answer = await visit(cluster, "/bare/")
        assert answer.status == 404
        assert b"Web Listing Disabled" in answer.body

    run(test())


def test_errors_have_the_site_s_own_page() -> None:
    async def test() -> None:
        cluster = await site(index="index.html", error="error.html")
        for path in ("/none", "/none/", "/bare/"):
            answer = await visit(cluster, path)
            assert (answer.status, answer.body) == (404, b"not here"), path
        await cluster.as_ann("POST", "/site", x_container_read=".r:*")
        answer = await visit(cluster, "/")
        assert (answer.status, answer.body) == (401, b"not you")
        await cluster.as_ann("DELETE", "/site/404error.html")
        assert (await visit(cluster, "/none")).status == 404

    run(test())


def test_a_listing_needs_the_grant_for_listings() -> None:
    async def test() -> None:
        cluster = await site(".r:*", listings="true")
        assert (await visit(cluster, "/")).status == 401
        assert (await visit(cluster, "/bare/")).status == 401
        assert (await visit(cluster, "/bare")).status == 404
        assert (await visit(cluster, "/bare/deep/b")).body == b"b"
        closed = await site("", listings="true", index="index.html")
        for path in ("", "/", "/index.html", "/none"):
            assert (await visit(closed, path)).status == 401, path

    run(test())


def test_what_only_stands_for_a_directory_is_not_sent() -> None:
    async def test() -> None:
        cluster = await site(listings="true")
        await cluster.as_ann("PUT", "/site/bare", b"", content_type="application/directory")
        assert (await visit(cluster, "/bare")).status == 301
        await cluster.as_ann("POST", "/site", x_container_meta_web_directory_type="text/dir")
        assert (await visit(cluster, "/bare")).status == 200
        await cluster.as_ann("PUT", "/site/bare", b"", content_type="text/dir")
        assert (await visit(cluster, "/bare")).status == 301

    run(test())


@pytest.mark.parametrize("path", ["", "/", "/none"])
def test_a_container_that_is_no_site_is_what_it_was(path: str) -> None:
    async def test() -> None:
        cluster = await site(error="error.html")
        answer = await visit(cluster, path)
        assert (answer.status, b"not here" in answer.body) == (404 if path == "/none" else 200, False)
        if answer.status == 200:
            assert b"index.html\n" in answer.body

    run(test())


def test_users_see_a_site_only_if_they_ask_for_it() -> None:
    async def test() -> None:
        cluster = await site(index="index.html", listings="true")
        assert b"bare/deep/b\n" in (await cluster.as_ann("GET", "/site")).body
        assert (await cluster.as_ann("GET", "/site/", x_web_mode="true")).body == b"home"
        assert (await cluster.as_ann("GET", "/site", x_web_mode="true")).status == 301
        assert (await cluster.as_ann("GET", "/site/none")).status == 404
        assert (await cluster.as_ann("PUT", "/site/none", b"")).status == 201

    run(test())


def test_nothing_in_a_page_is_taken_for_html() -> None:
    async def test() -> None:
        cluster = await site(listings="true")
        await cluster.as_ann("PUT", "/site/x%22%3E%3Cb%3E", b"", content_type='a"/<i>')
        page = (await visit(cluster, "/")).body.decode()
        assert "<b>" not in page
        assert "<i>" not in page
        assert 'a"' not in page

    run(test())


def prefix_url(key: str, prefix: str) -> str:
    """Return the query of a temporary URL for a prefix of the site."""
    expires = int(NOW_S) + 60
    text = f"GET\n{expires}\nprefix:/v1/AUTH_photos/site/{prefix}"
    signature = hmac.new(key.encode(), text.encode(), "sha256").hexdigest()
    return f"temp_url_prefix={prefix}&temp_url_expires={expires}&temp_url_sig={signature}"


def test_a_temporary_url_for_a_prefix_opens_its_listings() -> None:
    async def test() -> None:
        cluster = await site("", listings="true")
        await cluster.as_ann("POST", "", x_account_meta_temp_url_key="k")
        query = prefix_url("k", "bare/")
        answer = await visit(cluster, f"/bare/?{query}")
        page = answer.body.decode()
        assert (answer.status, answer.headers["content-disposition"]) == (200, "inline")
        assert "x-backend-content-generator" not in answer.headers
        assert f'<a href="./deep/?{query.replace("&", "&amp;")}">' in page
        assert 'id="parent"' not in page
        assert 'id="parent"' in (await visit(cluster, f"/bare/deep/?{query}")).body.decode()
        assert (await visit(cluster, f"/bare/deep/b?{query}")).body == b"b"
        assert (await visit(cluster, f"/?{query}")).status == 401
        whole = prefix_url("k", "")
        assert b"index%2Ehtml" in (await visit(cluster, f"/?{whole}")).body
        await cluster.as_ann("POST", "/site", x_remove_container_meta_web_listings="x")
        assert (await visit(cluster, f"/?{whole}")).status == 401, "a container is opened as a site only"

    run(test())
