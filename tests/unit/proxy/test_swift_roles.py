"""Users of the identity service in Swift: what roles and access lists allow."""

from typing import Any

import pytest

from identity.interfaces import Principal
from identity.keystone.access.member import of_token
from identity.tokens import Tokens
from identity.users import User
from proxy.swift.application import SwiftApplication
from tests.unit.identity.keystone.access.samples import ANN, PHOTOS, project, token
from tests.unit.proxy.swift_cluster import Answer, Cluster, run

OWN = f"/v1/AUTH_{PHOTOS}"
MEMBER, READER, AUDITOR = (of_token(token(role)) for role in ("member", "reader", "auditor"))
STRANGER = of_token(token("member", scope=project("other", "d" * 32)))
ADMIN = of_token(token("admin", scope=project("admin", "e" * 32)))


class WithMembers(Cluster):
    """A Swift application that knows members by the name of their tokens, beside its own users."""

    def __init__(self) -> None:
        super().__init__()
        self.application = SwiftApplication(self.service, self.users, self, wall_s=lambda: self.now_s)
        self._bare: Tokens = self.tokens
        self.members = {"member": MEMBER, "reader": READER, "auditor": AUDITOR, "stranger": STRANGER, "admin": ADMIN}

    def issue(self, user: User) -> tuple[str, int]:
        return self._bare.issue(user)

    def verify(self, token: str) -> Principal | None:
        return self.members.get(token) or self._bare.verify(token)

    async def ask(self, who: str, method: str, path: str = "", body: bytes | None = None, **headers: str) -> Answer:
        return await self(method, OWN + path, body, x_auth_token=who, **headers)


def statuses(*requests: tuple[Any, ...], **acl: str) -> list[int]:
    """Return the statuses of requests, after a member has made the container c with access lists and the object o."""

    async def scenario() -> list[int]:
        cluster = WithMembers()
        assert (await cluster.ask("member", "PUT", "/c", **acl)).status == 201
        assert (await cluster.ask("member", "PUT", "/c/o", b"data")).status == 201
        return [(await cluster.ask(*request)).status for request in requests]

    return run(scenario())


def test_a_member_owns_the_account_of_its_project() -> None:
    assert statuses(
        ("member", "GET", "/c/o"), ("member", "POST"), ("member", "DELETE", "/c/o"), ("member", "DELETE", "/c")
    ) == [200, 204, 204, 204]


def test_a_reader_reads_and_changes_nothing() -> None:
    reading = [("reader", method, path) for method in ("GET", "HEAD") for path in ("", "/c", "/c/o")]
    assert all(status in (200, 204) for status in statuses(*reading))
    writing: list[tuple[Any, ...]] = [
        ("reader", "POST"),
        ("reader", "PUT", "/d"),
        ("reader", "POST", "/c"),
        ("reader", "DELETE", "/c"),
        ("reader", "PUT", "/c/p", b"x"),
        ("reader", "POST", "/c/o"),
        ("reader", "DELETE", "/c/o"),
        ("reader", "POST", "?bulk-delete", b"c/o"),
    ]
    assert statuses(*writing)[:7] == [403] * 7


def test_a_reader_deletes_nothing_in_bulk() -> None:
    assert statuses(("reader", "POST", "?bulk-delete", b"c/o"), ("member", "HEAD", "/c/o"))[1] == 200


def test_a_reader_sees_no_lists_and_no_secrets() -> None:
    async def scenario() -> None:
        cluster = WithMembers()
        await cluster.ask("member", "POST", x_account_meta_temp_url_key="s3cret", x_account_meta_color="red")
        await cluster.ask("member", "PUT", "/c", x_container_read="*:*", x_container_meta_temp_url_key="s3cret")
        for path in ("", "/c"):
            for method in ("GET", "HEAD"):
                told = (await cluster.ask("reader", method, path)).headers
                assert "s3cret" not in told.values()
                assert "x-container-read" not in told
                assert "s3cret" in (await cluster.ask("member", method, path)).headers.values()
        assert (await cluster.ask("reader", "HEAD")).headers["x-account-meta-color"] == "red"

    run(scenario())


def test_other_projects_and_other_roles_are_kept_out() -> None:
    for who in ("stranger", "auditor"):
        assert statuses((who, "GET"), (who, "GET", "/c"), (who, "GET", "/c/o"), (who, "PUT", "/c/o", b"x")) == [403] * 4


def test_administrators_of_the_cluster_come_in_everywhere() -> None:
    assert statuses(("admin", "GET", "/c/o"), ("admin", "PUT", "/c/p", b"x"), ("admin", "DELETE", "/c/o")) == [
        200,
        201,
        204,
    ]


@pytest.mark.parametrize(
    "acl", [f"{'d' * 32}:{ANN.id}", f"{'d' * 32}:*", f"*:{ANN.id}", "other:ann", "other:*", "*:ann", "*:*"]
)
def test_lists_let_others_in(acl: str) -> None:
    requests = ("stranger", "GET", "/c/o"), ("stranger", "PUT", "/c/p", b"x"), ("stranger", "GET")
    assert statuses(*requests, x_container_read=acl) == [200, 403, 403]
    assert statuses(*requests, x_container_write=acl) == [403, 201, 403]


def test_a_list_may_name_a_role_of_the_own_project() -> None:
    requests = ("auditor", "GET", "/c/o"), ("stranger", "GET", "/c/o")
    assert statuses(*requests, x_container_read="auditor,member") == [200, 403]


def test_anybody_may_read_what_is_open_to_all_referrers() -> None:
    requests = ("stranger", "GET", "/c/o"), ("auditor", "GET", "/c/o")
    assert statuses(*requests, x_container_read=".r:*") == [200, 200]


def test_users_of_the_bare_cluster_go_on() -> None:
    async def scenario() -> None:
        cluster = WithMembers()
        assert (await cluster.as_ann("PUT", "/c")).status == 201
        assert (await cluster("GET", "/v1/AUTH_photos/c", x_auth_token="member")).status == 403

    run(scenario())
