"""Listings as text; the fast JSON is compared with the plain encoder's."""

import json
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from cluster.clock import ZERO
from proxy.objects.model import CommonPrefix
from proxy.swift import listing
from storage.messages import Row

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
ROWS = st.builds(
    Row,
    name=TEXT,
    timestamp=st.just(ZERO),
    deleted=st.just(False),
    size=st.integers(0, 1 << 62),
    etag=TEXT,
    content_type=st.text(st.characters(max_codepoint=126, min_codepoint=32), max_size=20),
    modified_us=st.integers(0, 4_000_000_000_000_000),
    object_count=st.integers(0, 1 << 40),
    extra=st.one_of(st.none(), st.just({"slo_etag": "abc"}), st.just({"other": 1})),
)
ITEMS = st.lists(st.one_of(ROWS, st.builds(CommonPrefix, TEXT)), max_size=8)


def _plain(item: Row | CommonPrefix) -> dict[str, Any]:
    if isinstance(item, CommonPrefix):
        return {"subdir": str(item)}
    shown = {
        "bytes": item.size,
        "hash": item.etag,
        "name": item.name,
        "content_type": item.content_type,
        "last_modified": listing.time_text(item.modified_us),
    }
    if item.extra and "slo_etag" in item.extra:
        shown["slo_etag"] = f'"{item.extra["slo_etag"]}"'
    return shown


@given(ITEMS)
def test_a_container_as_json_is_what_the_plain_encoder_makes(items: list[Row | CommonPrefix]) -> None:
    assert listing.container_json(items) == json.dumps([_plain(item) for item in items]).encode()


@given(ITEMS)
def test_an_account_as_json_is_what_the_plain_encoder_makes(items: list[Row | CommonPrefix]) -> None:
    plain = [
        {"subdir": str(item)}
        if isinstance(item, CommonPrefix)
        else {
            "name": item.name,
            "count": item.object_count,
            "bytes": item.size,
            "last_modified": listing.time_text(item.modified_us),
            "storage_policy": 'a "policy"',
        }
        for item in items
    ]
    assert listing.account_json(items, 'a "policy"') == json.dumps(plain).encode()


@given(st.integers(0, 4_000_000_000_000_000))
def test_times_are_iso_8601_with_microseconds(microseconds: int) -> None:
    parsed = datetime.strptime(listing.time_text(microseconds), "%Y-%m-%dT%H:%M:%S.%f")
    seconds = parsed.replace(tzinfo=UTC).timestamp()
    assert round(seconds * 1_000_000) == microseconds


def _row(name: str) -> Row:
    return Row(name, ZERO, False, 7, "e", "text/plain", 1_000_001, object_count=3)


def test_a_container_as_xml_escapes_names() -> None:
    items = [_row('<a&"b">'), CommonPrefix('p"<&/')]
    document = ElementTree.fromstring(listing.container_xml(items, 'c"<'))
    assert (document.tag, document.get("name")) == ("container", 'c"<')
    row, prefix = document
    assert [(each.tag, each.text) for each in row] == [
        ("name", '<a&"b">'),
        ("hash", "e"),
        ("bytes", "7"),
        ("content_type", "text/plain"),
        ("last_modified", "1970-01-01T00:00:01.000001"),
    ]
    assert (prefix.tag, prefix.get("name"), prefix[0].text) == ("subdir", 'p"<&/', 'p"<&/')


def test_an_account_as_xml_lists_containers() -> None:
    document = ElementTree.fromstring(listing.account_xml([_row("c"), CommonPrefix("p-")], "AUTH_a", "gold"))
    assert (document.tag, document.get("name")) == ("account", "AUTH_a")
    container, prefix = document
    assert {each.tag: each.text for each in container} == {
        "name": "c",
        "count": "3",
        "bytes": "7",
        "last_modified": "1970-01-01T00:00:01.000001",
        "storage_policy": "gold",
    }
    assert prefix.get("name") == "p-"


def test_plain_text_has_a_line_each() -> None:
    assert listing.plain([_row("ö"), CommonPrefix("p/")]) == "ö\np/\n".encode()
    assert listing.plain([]) == b""


def test_a_type_in_utf8_is_shown_as_such() -> None:
    row = _row("o")._replace(content_type="text/\xc3\xb6")
    assert json.loads(listing.container_json([row]))[0]["content_type"] == "text/ö"
