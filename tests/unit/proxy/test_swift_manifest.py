"""Manifests of static large objects: JSON <-> segments."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.clock import ZERO
from proxy.objects.model import ObjectInfo, ObjectName, Segment
from proxy.swift.errors import SwiftError
from proxy.swift.manifest import (
    Entry,
    Problem,
    etag_of,
    inline_segment,
    parse,
    render,
    render_raw,
    segment_of,
)
from storage.metadata import ObjectMetadata

OWN = ObjectName("AUTH_a", "c", "o")


def _parse(*items: Any) -> list[Entry]:
    return parse(json.dumps(items).encode(), OWN)


def _info(size: int = 100, etag: str = "e", manifest: bool = False, **system: Any) -> ObjectInfo:
    metadata = ObjectMetadata("AUTH_a", "s", "1", size, etag, "text/x", 1_000_001, {}, {}, system, {})
    return ObjectInfo(ZERO, metadata, manifest)


def test_entries_are_read() -> None:
    assert _parse(
        {"path": "/s/1", "size_bytes": "10", "etag": '"ABC"', "range": "2-5"},
        {"data": "aGk="},
        {"path": "s/2", "etag": None, "size_bytes": None, "range": None},
    ) == [
        Entry("/s/1", 10, "abc", (2, 5)),
        Entry("", data=b"hi"),
        Entry("s/2"),
    ]
    assert Entry("//s/d/2").name("AUTH_a") == ObjectName("AUTH_a", "s", "d/2")
    assert _parse() == []


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (7, "not a JSON object"),
        ({}, "expected keys to include one of"),
        ({"path": "/s/1", "colour": 1}, 'extraneous keys "colour"'),
        ({"data": "aGk=", "path": "/s/1"}, 'extraneous keys "path"'),
        ({"path": 7}, '"path" must be a string'),
        ({"path": "/s/1", "etag": 7}, '"etag" must be a string'),
        ({"path": "/s"}, "path does not refer to an object"),
        ({"path": "/s/\0"}, "NULL"),
        ({"path": "/s/\ud800"}, "UTF-8"),
        ({"path": "/s/1", "size_bytes": "x"}, "invalid size_bytes"),
        ({"path": "/s/1", "size_bytes": [1]}, "invalid size_bytes"),
        ({"path": "/s/1", "size_bytes": 0}, "too small"),
        ({"path": "/c/o"}, "must not include itself"),
        ({"path": "/s/1", "range": "x"}, "invalid range"),
        ({"path": "/s/1", "range": "1-2,4-5"}, "multiple ranges"),
        ({"path": "/s/1", "size_bytes": 3, "range": "5-"}, "unsatisfiable range"),
        ({"data": "?"}, "valid base64"),
        ({"data": 7}, "valid base64"),
        ({"data": ""}, "too small"),
    ],
)
def test_every_problem_is_named_with_its_index(item: Any, problem: str) -> None:
    with pytest.raises(SwiftError) as caught:
        _parse({"path": "/s/ok"}, item, {"path": "/s/ok"}, item, {"path": "/s/ok"})
    assert caught.value.status == 400
    first, second = caught.value.message.splitlines()
    assert first.startswith("Index 1: ")
    assert second.startswith("Index 3: ")
    assert problem in first


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"", "valid JSON"), (b"\xff", "valid JSON"), (b"{}", "must be a list"), (b"[" * 100_000, "valid JSON")],
)
def test_what_is_no_list_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(SwiftError, match=message):
        parse(body, OWN)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["/s/1", "1-2", "aGk="]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["path", "data", "range", "etag", "size_bytes", "x"]), inner, max_size=5
        )
    ),
    max_leaves=12,
)


@given(st.lists(_JSON, max_size=4))
def test_whatever_the_json_it_is_read_or_refused(items: list[Any]) -> None:
    try:
        entries = _parse(*items)
    except SwiftError:
        return  # any other exception fails the test
    assert len(entries) == len(items)
    for entry in entries:
        "/".join(entry.name("AUTH_a")).encode()


def test_inline_data_alone_makes_no_large_object() -> None:
    with pytest.raises(SwiftError, match="at least one object-backed"):
        _parse({"data": "aGk="})


def test_there_are_at_most_a_thousand_segments_that_are_objects() -> None:
    assert len(_parse(*[{"path": "/s/1"}] * 1000, {"data": "aGk="})) == 1001
    with pytest.raises(SwiftError) as caught:
        _parse(*[{"path": "/s/1"}] * 1001)
    assert caught.value.status == 413


def _segment(entry: Entry, info: ObjectInfo, last: bool = False) -> Segment:
    return segment_of(entry, entry.name("AUTH_a"), info, last)


def test_a_segment_is_an_object_or_a_range_of_one() -> None:
    whole = _segment(Entry("/s/1"), _info())
    assert (whole.size, whole.offset, whole.etag) == (100, 0, "e")
    part = _segment(Entry("/s/1", range=(10, 19)), _info())
    assert (part.size, part.offset) == (10, 10)
    suffix = _segment(Entry("/s/1", range=(None, 5)), _info())
    assert (suffix.size, suffix.offset) == (5, 95)


@pytest.mark.parametrize(
    ("entry", "info", "problem"),
    [
        (Entry("/s/1", size=99), _info(), "Size Mismatch"),
        (Entry("/s/1", etag="f"), _info(), "Etag Mismatch"),
        (Entry("/s/1", range=(100, None)), _info(), "Unsatisfiable Range"),
        (Entry("/s/1"), _info(size=0), "Too small"),
        (Entry("/s/1"), _info(dlo="c/p"), "dynamic"),
    ],
)
def test_an_object_that_is_not_as_described_is_no_segment(
    entry: Entry, info: ObjectInfo, problem: str
) -> None:
    with pytest.raises(Problem, match=problem):
        _segment(entry, info)


def test_only_the_last_segment_may_be_empty() -> None:
    assert _segment(Entry("/s/1", size=0), _info(size=0), last=True).size == 0


def test_the_etag_is_made_of_the_segments_etags_and_ranges() -> None:
    segments = [
        _segment(Entry("/s/1"), _info(etag="aa")),
        _segment(Entry("/s/1", range=(2, 5)), _info(etag="bb")),
        _segment(Entry("/s/1", range=(0, 99)), _info(etag="cc")),
        inline_segment(b"hi"),
    ]
    parts = "aa" + "bb:2-5;" + "cc" + hashlib.md5(b"hi").hexdigest()
    assert etag_of(segments) == hashlib.md5(parts.encode()).hexdigest()


def test_a_manifest_is_shown_in_two_forms_and_the_raw_one_can_be_put_again() -> None:
    segments = [
        _segment(Entry("/s/1", range=(2, 5)), _info()),
        _segment(Entry("/s/2"), _info(manifest=True)),
        inline_segment(b"hi"),
    ]
    assert json.loads(render(segments)) == [
        {
            "name": "/s/1",
            "bytes": 100,
            "hash": "e",
            "content_type": "text/x",
            "last_modified": "1970-01-01T00:00:01.000001",
            "range": "2-5",
        },
        {
            "name": "/s/2",
            "bytes": 100,
            "hash": "e",
            "content_type": "text/x",
            "last_modified": "1970-01-01T00:00:01.000001",
            "sub_slo": True,
        },
        {"data": "aGk="},
    ]
    assert parse(render_raw(segments), OWN) == [
        Entry("/s/1", 100, "e", (2, 5)),
        Entry("/s/2", 100, "e"),
        Entry("", data=b"hi"),
    ]
