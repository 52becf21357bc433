"""Tags in headers and documents."""

import pytest

from proxy.http.message import Headers
from proxy.s3.errors import S3Error
from proxy.s3.tags import OBJECT_LIMIT, of_copy, of_headers, parse, render
from proxy.s3.xml import parse as parse_xml
from storage.metadata import ObjectMetadata

SOURCE = ObjectMetadata("a", "c", "o", 0, "", "", 0, {}, {}, {"tags": {"old": "1"}}, {})


def tagged(value: str) -> Headers:
    return Headers([("x-amz-tagging", value)])


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        ("", {}),
        ("foo=bar&bar", {"foo": "bar", "bar": ""}),
        ("a+b=%C3%B6%2F1", {"a b": "ö/1"}),
        ("z=1&a=2", {"z": "1", "a": "2"}),
    ],
)
def test_a_header_is_read_as_a_query(value: str, tags: dict[str, str]) -> None:
    found = of_headers(tagged(value)).get("tags", {})
    assert (found, list(found)) == (tags, list(tags))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("a=1&a=2", "InvalidArgument"),
        ("a=%FF", "InvalidArgument"),
        ("a=%2", "InvalidArgument"),
        ("&", "InvalidArgument"),
        ("=x", "InvalidTag"),
        ("aws:x=1", "InvalidTag"),
        ("a%3C=1", "InvalidTag"),
        ("a=%0A", "InvalidTag"),
        ("k" * 129 + "=v", "InvalidTag"),
        ("k=" + "v" * 257, "InvalidTag"),
        ("&".join(f"k{number}=v" for number in range(OBJECT_LIMIT + 1)), "InvalidTag"),
    ],
)
def test_bad_tags_are_refused(value: str, code: str) -> None:
    with pytest.raises(S3Error) as caught:
        of_headers(tagged(value))
    assert caught.value.code == code


def test_a_copy_has_the_sources_tags_or_those_of_the_header() -> None:
    assert of_copy(tagged("new=2"), SOURCE) == {"tags": {"old": "1"}}
    assert of_copy(Headers([]), SOURCE._replace(system={})) == {}
    replacing = [("x-amz-tagging-directive", "REPLACE")]
    assert of_copy(Headers([*replacing, ("x-amz-tagging", "new=2")]), SOURCE) == {"tags": {"new": "2"}}
    assert of_copy(Headers(replacing), SOURCE) == {}
    with pytest.raises(S3Error, match="InvalidArgument"):
        of_copy(Headers([("x-amz-tagging-directive", "x")]), SOURCE)


def test_a_document_is_read_as_it_was_shown() -> None:
    tags = {"k é": "v+-=._:/@", "empty": ""}
    assert parse(parse_xml(render(tags)), 10) == tags
    assert parse(parse_xml(render({})), 10) == {}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "MalformedXML"),
        ("<TagSet><Tag><Key>a</Key></Tag></TagSet>", "MalformedXML"),
        ("<TagSet><Tag><Value>a</Value></Tag></TagSet>", "MalformedXML"),
        ("<TagSet>" + "<Tag><Key>a</Key><Value/></Tag>" * 2 + "</TagSet>", "InvalidTag"),
        ("<TagSet><Tag><Key>a</Key><Value>&lt;</Value></Tag></TagSet>", "InvalidTag"),
    ],
)
def test_a_bad_document_is_refused(content: str, code: str) -> None:
    with pytest.raises(S3Error) as caught:
        parse(parse_xml(f"<Tagging>{content}</Tagging>".encode()), 10)
    assert caught.value.code == code
