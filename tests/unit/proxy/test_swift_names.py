"""Paths and names."""

import pytest

from proxy.objects.model import ObjectName
from proxy.swift.errors import SwiftError
from proxy.swift.names import check_container, check_object, parse_account, parse_location, parse_path


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/AUTH_a", ("AUTH_a", "", "")),
        ("/v1/AUTH_a/", ("AUTH_a", "", "")),
        ("/v1.0/AUTH_a/c", ("AUTH_a", "c", "")),
        ("/v1/AUTH_a/c/", ("AUTH_a", "c", "")),
        ("/v1/AUTH_a/c/o", ("AUTH_a", "c", "o")),
        ("/v1/AUTH_a/c/d/o/", ("AUTH_a", "c", "d/o/")),
        ("/v1/AUTH_a/c//o", ("AUTH_a", "c", "/o")),
        ("/v1/AUTH_a/c%2Fo", ("AUTH_a", "c", "o")),
        ("/v1/AUTH_a/c/%C3%B6%20+%25", ("AUTH_a", "c", "ö +%")),
        ("/v1/AUTH_a/c/\xc3\xb6", ("AUTH_a", "c", "ö")),
    ],
)
def test_a_path_names_an_account_a_container_and_an_object(path: str, name: tuple[str, str, str]) -> None:
    assert parse_path(path) == ObjectName(*name)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404),
        ("//AUTH_a", 404),
        ("/v1", 412),
        ("/v1/", 412),
        ("/v1/AUTH_a//o", 412),
        ("/v2/AUTH_a", 400),
        ("/v1/AUTH_a/c/%FF", 412),
        ("/v1/AUTH_a/c/%00", 412),
        ("/v1/AUTH_a/c/%zz", 412),
        ("/v1/AUTH_" + "a" * 252, 400),
    ],
)
def test_other_paths_are_refused(path: str, status: int) -> None:
    with pytest.raises(SwiftError) as caught:
        parse_path(path)
    assert caught.value.status == status


def test_a_location_has_a_container_and_an_object() -> None:
    assert parse_location("/c/d/o", "Destination") == ("c", "d/o")
    assert parse_location("c/%C3%B6", "Destination") == ("c", "ö")
    for value in ("", "c", "/c", "c/", "//o"):
        with pytest.raises(SwiftError) as caught:
            parse_location(value, "Destination")
        assert caught.value.status == 412


def test_an_account_in_a_header_has_no_slash() -> None:
    assert parse_account("AUTH_%C3%B6") == "AUTH_ö"
    for value in ("", "a/b"):
        with pytest.raises(SwiftError):
            parse_account(value)


def test_names_are_limited_in_bytes() -> None:
    check_container("c" * 256)
    check_object(ObjectName("a", "c", "ö" * 512))
    with pytest.raises(SwiftError, match="257 longer than 256"):
        check_container("c" * 257)
    with pytest.raises(SwiftError, match="1026 longer than 1024"):
        check_object(ObjectName("a", "c", "ö" * 513))
