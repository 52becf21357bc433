"""Metadata, expiry and timestamps in headers."""

import pytest

from proxy.http.message import Headers
from proxy.swift.errors import SwiftError
from proxy.swift.headers import (
    CONTAINER_META,
    OBJECT_META,
    check_total,
    content_headers,
    expiry,
    last_modified,
    metadata_changes,
    object_system,
    timestamp_text,
    user_metadata,
)


def _headers(**fields: str) -> Headers:
    return Headers([(name.replace("_", "-"), value) for name, value in fields.items()])


def test_user_metadata_has_its_prefix() -> None:
    found = user_metadata(_headers(x_object_meta_color="red", content_type="text/plain"), OBJECT_META)
    assert found == {"color": "red"}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"": "x"}, "cannot be empty"),
        ({"n" * 129: "x"}, "name too long"),
        ({"n": "v" * 257}, "longer than 256"),
        ({f"n{index}": "" for index in range(91)}, "Too many metadata items"),
        ({f"n{index}": "v" * 250 for index in range(17)}, "Total metadata too large"),
    ],
)
def test_metadata_is_limited(fields: dict[str, str], reason: str) -> None:
    headers = Headers([(OBJECT_META + name, value) for name, value in fields.items()])
    with pytest.raises(SwiftError, match=reason) as caught:
        user_metadata(headers, OBJECT_META)
    assert caught.value.status == 400


def test_the_largest_metadata_that_is_allowed_is_allowed() -> None:
    headers = Headers([(OBJECT_META + "n" * 128, "v" * 256)] + [(f"{OBJECT_META}{i}", "") for i in range(89)])
    assert len(user_metadata(headers, OBJECT_META)) == 90


def test_changes_set_and_remove() -> None:
    headers = _headers(
        x_container_meta_a="1",
        x_container_meta_b="",
        x_remove_container_meta_c="x",
        x_remove_container_meta_a="x",
    )
    assert metadata_changes(headers, CONTAINER_META) == {
        "x-container-meta-a": "1",
        "x-container-meta-b": None,
        "x-container-meta-c": None,
    }


def test_metadata_of_containers_is_utf8() -> None:
    metadata_changes(_headers(x_container_meta_a="\xc3\xb6"), CONTAINER_META)
    with pytest.raises(SwiftError, match="valid UTF-8"):
        metadata_changes(_headers(x_container_meta_a="\xff"), CONTAINER_META)


def test_what_is_kept_counts_towards_the_limit() -> None:
    kept = {f"{CONTAINER_META}{index}": "v" for index in range(90)}
    check_total({**kept, "x-container-read": "v" * 9999}, {f"{CONTAINER_META}1": "new"}, CONTAINER_META)
    check_total(kept, {f"{CONTAINER_META}1": None, f"{CONTAINER_META}new": "v"}, CONTAINER_META)
    with pytest.raises(SwiftError, match="Too many"):
        check_total(kept, {f"{CONTAINER_META}new": "v"}, CONTAINER_META)


def test_internal_headers_have_no_meaning() -> None:
    headers = _headers(
        x_backend_timestamp="1", x_object_sysmeta_slo_etag="x", x_object_transient_sysmeta_y="z"
    )
    assert user_metadata(headers, OBJECT_META) == {}
    assert content_headers(headers) == {}
    assert object_system(headers, 0) == {}


def test_expiry_is_told_as_a_second_or_from_now() -> None:
    assert expiry(_headers(), 1000.5) is None
    assert expiry(_headers(x_delete_at="2000"), 1000.5) == 2000
    assert expiry(_headers(x_delete_after="60"), 1000.5) == 1060
    assert expiry(_headers(x_delete_after="60", x_delete_at="5000"), 1000.5) == 1060
    assert expiry(_headers(x_delete_at="99999999999999"), 1000.5) == 9999999999


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("x-delete-at", "soon", "Non-integer X-Delete-At"),
        ("x-delete-at", "1e9", "Non-integer X-Delete-At"),
        ("x-delete-at", "\xb2000", "Non-integer X-Delete-At"),
        ("x-delete-at", "9" * 5000, "Non-integer X-Delete-At"),
        ("x-delete-at", "1000", "X-Delete-At in past"),
        ("x-delete-after", "0", "X-Delete-After in past"),
        ("x-delete-after", "-5", "X-Delete-After in past"),
        ("x-delete-after", "", "Non-integer X-Delete-After"),
    ],
)
def test_expiry_lies_ahead(name: str, value: str, reason: str) -> None:
    with pytest.raises(SwiftError, match=reason):
        expiry(Headers([(name, value)]), 1000.5)


@pytest.mark.parametrize("value", ["c", "c/", "/c/", "c//p", "c/p?x", "c/p&x", "", "c/%FF"])
def test_a_dynamic_manifest_names_a_container_and_a_prefix(value: str) -> None:
    assert object_system(Headers([("x-object-manifest", "c/p%2Fq")]), 0) == {"dlo": "c/p/q"}
    with pytest.raises(SwiftError):
        object_system(Headers([("x-object-manifest", value)]), 0)


def test_times_have_five_digits_and_last_modified_is_rounded_up() -> None:
    assert timestamp_text(1_700_000_000_123_456) == "1700000000.12345"
    assert timestamp_text(0) == "0000000000.00000"
    assert last_modified(1_700_000_000_000_000) == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert last_modified(1_700_000_000_000_001) == "Tue, 14 Nov 2023 22:13:21 GMT"
