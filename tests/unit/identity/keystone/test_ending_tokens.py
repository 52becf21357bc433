"""Who changes what tokens rest on ends them: each change, and the statement that it leaves."""

from collections.abc import Callable

import pytest

from identity.keystone import assignments, revocations
from identity.keystone.tokens.revoked import Kind, Subject, grant
from tests.unit.identity.keystone.service import Service


class Things:
    """What the changes are made to."""

    def __init__(self, service: Service) -> None:
        self.service, self.admin = service, service.admin
        self.user, self.group, self.project, self.role, self.domain = (
            self.admin.make(kind)["id"] for kind in ("user", "group", "project", "role", "domain")
        )
        self.low = self.admin.make("project", name="low", parent_id=self.project)["id"]
        self.reader = service.roles["reader"].id
        self.admin.put(f"/v3/groups/{self.group}/users/{self.user}")

    def said(self) -> set[Subject]:
        """Return what statements there are about."""
        with self.service.database.reading() as connection:
            return {each.subject for each in revocations.list_since(connection, 0)}

    def patch(self, kind: str, identifier: str, **attributes: object) -> None:
        self.admin.patch(f"/v3/{kind}s/{identifier}", {kind: attributes})

    def granted(self, path: str) -> str:
        self.admin.put(f"/v3/{path}")
        return f"/v3/{path}"


CHANGES: list[tuple[str, Callable[[Things], None], Callable[[Things], set[Subject]]]] = [
    ("a user is renamed", lambda it: it.patch("user", it.user, name="x"), lambda it: set()),
    (
        "a user is disabled",
        lambda it: it.patch("user", it.user, enabled=False),
        lambda it: {Subject(Kind.USER, it.user)},
    ),
    (
        "a user gets a password",
        lambda it: it.patch("user", it.user, password="new"),
        lambda it: {Subject(Kind.USER, it.user)},
    ),
    (
        "a user is deleted",
        lambda it: it.admin.delete(f"/v3/users/{it.user}"),
        lambda it: {Subject(Kind.USER, it.user)},
    ),
    (
        "a project is disabled",
        lambda it: it.patch("project", it.low, enabled=False),
        lambda it: {Subject(Kind.PROJECT, it.low)},
    ),
    (
        "a project is deleted",
        lambda it: it.admin.delete(f"/v3/projects/{it.low}"),
        lambda it: {Subject(Kind.PROJECT, it.low)},
    ),
    (
        "a domain is disabled",
        lambda it: it.patch("domain", it.domain, enabled=False),
        lambda it: {Subject(Kind.DOMAIN, it.domain), Subject(Kind.PROJECT, it.domain)},
    ),
    (
        "a role is renamed",
        lambda it: it.patch("role", it.role, name="x"),
        lambda it: {Subject(Kind.ROLE, it.role)},
    ),
    (
        "a role is deleted",
        lambda it: it.admin.delete(f"/v3/roles/{it.role}"),
        lambda it: {Subject(Kind.ROLE, it.role)},
    ),
    (
        "a member leaves a group",
        lambda it: it.admin.delete(f"/v3/groups/{it.group}/users/{it.user}"),
        lambda it: {Subject(Kind.USER, it.user)},
    ),
    (
        "a group is deleted",
        lambda it: it.admin.delete(f"/v3/groups/{it.group}"),
        lambda it: {Subject(Kind.USER, it.user)},
    ),
    (
        "a grant is withdrawn",
        lambda it: it.admin.delete(it.granted(f"projects/{it.project}/users/{it.user}/roles/{it.role}")),
        lambda it: {grant(it.user, it.project)},
    ),
    (
        "a group's inherited grant is withdrawn",
        lambda it: it.admin.delete(
            it.granted(
                f"OS-INHERIT/projects/{it.project}/groups/{it.group}/roles/{it.role}/inherited_to_projects"
            )
        ),
        lambda it: {grant(it.user, it.low)},
    ),
    (
        "a grant for the system is withdrawn",
        lambda it: it.admin.delete(it.granted(f"system/users/{it.user}/roles/{it.role}")),
        lambda it: {grant(it.user, "all")},
    ),
    (
        "a role ceases to imply another",
        lambda it: it.admin.delete(f"/v3/roles/{it.service.roles['member'].id}/implies/{it.reader}"),
        lambda it: {Subject(Kind.ROLE, it.service.roles["member"].id)},
    ),
]


@pytest.mark.parametrize(("change", "expected"), [each[1:] for each in CHANGES], ids=[each[0] for each in CHANGES])
def test_a_change_ends_the_tokens_that_rest_on_it(
    service: Service, change: Callable[[Things], None], expected: Callable[[Things], set[Subject]]
) -> None:
    things = Things(service)
    assert things.said() == set()
    change(things)
    assert things.said() == expected(things)


def test_a_grant_that_reached_far_leaves_one_statement(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignments, "_PLACES_LIMIT", 1)
    things = Things(service)  # in the default domain there are three projects
    path = f"OS-INHERIT/domains/default/users/{things.user}/roles/{things.role}/inherited_to_projects"
    things.admin.delete(things.granted(path))
    assert things.said() == {Subject(Kind.USER, things.user)}
