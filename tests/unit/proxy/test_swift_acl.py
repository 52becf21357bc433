"""Container access lists. Source: "Container ACLs" in Swift's documentation."""

import pytest

from identity.users import User, new_user
from proxy.swift.acl import clean, grants_referrer, grants_user

ANN = new_user("photos:ann")
BOB = new_user("bob")


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("bob, sue", "bob,sue"),
        ("bob,,,sue", "bob,sue"),
        (".referrer : *", ".r:*"),
        (".ref:*.example.com", ".r:.example.com"),
        (".r:*, .rlistings", ".r:*,.rlistings"),
        (".r:-  .thief.com", ".r:-.thief.com"),
        ("acc:user", "acc:user"),
        ("", ""),
    ],
)
def test_a_list_is_cleaned(given: str, cleaned: str) -> None:
    assert clean(given, writing=False) == cleaned


@pytest.mark.parametrize("given", [".r:", ".r:-", ".r:.", ".x:host"])
def test_a_meaningless_designation_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="ACL"):
        clean(given, writing=False)


def test_referrers_cannot_be_allowed_to_write() -> None:
    with pytest.raises(ValueError, match="write ACL"):
        clean(".r:*", writing=True)


@pytest.mark.parametrize(
    ("acl", "user", "granted"),
    [
        ("photos", ANN, True),
        ("photos:ann", ANN, True),
        ("AUTH_photos:ann", ANN, True),
        ("photos:*", ANN, True),
        ("*:ann", ANN, True),
        ("*:*", ANN, True),
        ("photos:bob", ANN, False),
        ("ann", ANN, False),
        ("other,photos:ann", ANN, True),
        ("bob", BOB, True),
        ("AUTH_bob", BOB, True),
        ("*:bob", BOB, True),
        ("photos", BOB, False),
        (".r:*", BOB, False),
        ("", BOB, False),
    ],
)
def test_users_are_named_in_several_ways(acl: str, user: User, granted: bool) -> None:
    assert grants_user(acl, user.listed_as("AUTH_photos")) is granted


@pytest.mark.parametrize(
    ("acl", "referrer", "granted"),
    [
        (".r:*", "", True),
        (".r:example.com", "http://example.com/page", True),
        (".r:example.com", "http://www.example.com/", False),
        (".r:.example.com", "https://www.example.com:8443/", True),
        (".r:.example.com", "http://badexample.com/", False),
        (".r:*,.r:-.thief.com", "http://www.thief.com/", False),
        (".r:-.thief.com,.r:*", "http://www.thief.com/", True),
        (".r:*,.r:-thief.com", "http://[broken", True),
        ("bob", "http://bob/", False),
    ],
)
def test_the_last_designation_that_fits_a_referrer_decides(acl: str, referrer: str, granted: bool) -> None:
    assert grants_referrer(acl, referrer, listing=False) is granted


def test_listing_takes_a_permission_of_its_own() -> None:
    assert not grants_referrer(".r:*", "", listing=True)
    assert grants_referrer(".r:*,.rlistings", "", listing=True)
    assert not grants_referrer(".rlistings", "", listing=True)
