"""Quotas of accounts and containers, as Swift's middlewares of these names have them."""

import io
import json
import tarfile

from tests.unit.proxy.swift_cluster import Answer, Cluster, run

ACCOUNT = "/v1/AUTH_photos"


async def as_root(cluster: Cluster, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    """Send a request below Ann's account as an administrator."""
    return await cluster(method, ACCOUNT + path, body, cluster.root, **headers)


def test_only_resellers_set_the_quota_of_an_account() -> None:
    async def test() -> None:
        cluster = Cluster()
        for name in ("x_account_meta_quota_bytes", "x_account_quota_bytes", "x_account_quota_count"):
            assert (await cluster.as_ann("POST", "", **{name: "10"})).status == 403
            assert (await cluster.as_ann("POST", "", **{name: ""})).status == 403
            assert (await as_root(cluster, "POST", "", **{name: "ten"})).status == 400
            removal = name.replace("x_account", "x_remove_account")
            assert (await cluster.as_ann("POST", "", **{removal: "x"})).status == 403
        assert (await as_root(cluster, "POST", "", x_account_meta_quota_bytes="10")).status == 204
        seen = (await cluster.as_ann("HEAD", "")).headers
        assert (seen["x-account-quota-bytes"], seen["x-account-meta-quota-bytes"]) == ("10", "10")
        assert "x-account-quota-count" not in seen
        await as_root(cluster, "POST", "", x_remove_account_quota_bytes="x", x_account_quota_count="3")
        seen = (await cluster.as_ann("HEAD", "")).headers
        assert "x-account-quota-bytes" not in seen
        assert seen["x-account-quota-count"] == "3"

    run(test())


def test_an_account_takes_what_its_quota_has_room_for() -> None:
    async def test() -> None:
        cluster = Cluster()
        await cluster.as_ann("PUT", "/c")
        await as_root(cluster, "POST", "", x_account_meta_quota_bytes="10")
        assert (await cluster.as_ann("PUT", "/c/a", b"123456")).status == 201
        refused = await cluster.as_ann("PUT", "/c/b", b"12345")
        assert (refused.status, refused.body) == (413, b"Upload exceeds quota.")
        assert (await cluster.as_ann("COPY", "/c/a", destination="c/b")).status == 413
        assert (await cluster.as_ann("POST", "/c/a", x_object_meta_a="1")).status == 202
        assert (await cluster.as_ann("PUT", "/c/b", b"1234")).status == 201
        assert (await as_root(cluster, "PUT", "/c/more", b"12345")).status == 201, "resellers are not bound"
        assert (await cluster.as_ann("PUT", "/c/empty", b"")).status == 413
        await as_root(cluster, "POST", "", x_account_meta_quota_bytes="")
        assert (await cluster.as_ann("PUT", "/c/b", b"1234")).status == 201

    run(test())


def test_an_account_takes_as_many_objects_as_its_quota_says() -> None:
    async def test() -> None:
        cluster = Cluster()
        await cluster.as_ann("PUT", "/c")
        await as_root(cluster, "POST", "", x_account_quota_count="1")
        assert (await cluster.as_ann("PUT", "/c/a", b"1")).status == 201
        assert (await cluster.as_ann("PUT", "/c/b", b"1")).status == 413
        assert (await cluster.as_ann("DELETE", "/c/a")).status == 204
        assert (await cluster.as_ann("PUT", "/c/b", b"1")).status == 201

    run(test())


def test_a_quota_may_be_of_the_policy() -> None:
    async def test() -> None:
        cluster = Cluster()
        await cluster.as_ann("PUT", "/c")
        assert (await cluster.as_ann("POST", "", x_account_quota_count_policy_policy_0="1")).status == 403
        quotas = {"x_account_quota_bytes": "100", "x_account_quota_bytes_policy_policy_0": "5"}
        assert (await as_root(cluster, "POST", "", **quotas)).status == 204
        assert (await cluster.as_ann("HEAD", "")).headers["x-account-quota-bytes-policy-policy-0"] == "5"
        assert (await cluster.as_ann("PUT", "/c/a", b"123456")).status == 413
        await as_root(cluster, "POST", "", x_remove_account_quota_bytes_policy_policy_0="x")
        assert (await cluster.as_ann("PUT", "/c/a", b"123456")).status == 201

    run(test())


def test_quotas_of_containers_are_checked_when_they_are_set() -> None:
    async def test() -> None:
        cluster = Cluster()
        answer = await cluster.as_ann("PUT", "/c", x_container_meta_quota_bytes="1k")
        assert (answer.status, answer.body) == (400, b"Invalid bytes quota.")
        await cluster.as_ann("PUT", "/c")
        answer = await cluster.as_ann("POST", "/c", x_container_meta_quota_count="-1")
        assert (answer.status, answer.body) == (400, b"Invalid count quota.")
        assert (await cluster.as_ann("POST", "/c", x_container_meta_quota_count="")).status == 204
        assert (await cluster.as_ann("POST", "/c", x_container_meta_quota_count="1")).status == 204
        assert (await cluster.as_ann("HEAD", "/c")).headers["x-container-meta-quota-count"] == "1"

    run(test())


def test_a_container_takes_what_its_quota_has_room_for() -> None:
    async def test() -> None:
        cluster = Cluster()
        await cluster.as_ann("PUT", "/segments")
        await cluster.as_ann("PUT", "/segments/1", b"123456")
        await cluster.as_ann("PUT", "/c", x_container_meta_quota_bytes="10", x_container_meta_quota_count="2")
        assert (await cluster.as_ann("PUT", "/c/copy", x_copy_from="/segments/1")).status == 201
        assert (await cluster.as_ann("COPY", "/segments/1", destination="c/again")).status == 413
        manifest = json.dumps([{"path": "/segments/1"}]).encode()
        assert (await cluster.as_ann("PUT", "/c/large?multipart-manifest=put", manifest)).status == 413
        assert (await as_root(cluster, "PUT", "/c/b", b"12345")).status == 413, "a container's binds everybody"
        assert (await cluster.as_ann("PUT", "/c/b", b"1")).status == 201
        assert (await cluster.as_ann("PUT", "/c/third", b"1")).status == 413
        assert (await cluster("PUT", f"{ACCOUNT}/c/third", b"1", cluster.bob)).status == 403
        assert (await cluster("PUT", f"{ACCOUNT}/c/third", b"1")).status == 401

    run(test())


def test_an_archive_s_files_are_refused_one_by_one() -> None:
    async def test() -> None:
        cluster = Cluster()
        await cluster.as_ann("PUT", "/c", x_container_meta_quota_bytes="10")
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, size in (("a", 8), ("b", 8), ("c", 2)):
                member = tarfile.TarInfo(name)
                member.size = size
                tar.addfile(member, io.BytesIO(b"x" * size))
        answer = await cluster.as_ann(
            "PUT", "/c?extract-archive=tar", archive.getvalue(), accept="application/json"
        )
        assert answer.json["Number Files Created"] == 2
        assert answer.json["Errors"] == [["c/b", "413 Request Entity Too Large"]]

    run(test())
