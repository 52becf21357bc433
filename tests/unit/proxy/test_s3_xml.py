"""proxy.s3.xml"""

import contextlib
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.s3.xml import MalformedDocument, document, parse, text

# characters that XML 1.0 knows (Extensible Markup Language 1.0, production 2), but for \r, which readers turn
# into \n unless it is escaped
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff").filter(
    lambda character: ord(character) >= 0x20 or character in "\t\n\r"
)


@given(st.text(CHARACTERS))
def test_any_text_comes_back_from_a_document(value: str) -> None:
    rendered = document("Key", text(value))
    assert parse(rendered).text == value
    assert (ElementTree.fromstring(rendered).text or "") == value


def test_other_characters_go_out_as_references() -> None:
    assert text("a\x01b\ufffe") == "a&#x1;b&#xfffe;"


def test_a_document_becomes_a_tree() -> None:
    root = parse(
        b'<?xml version="1.0"?><A xmlns="urn:x"><B> 1 </B><x:C xmlns:x="urn:y"/><B>2&amp;<![CDATA[<]]></B></A>'
    )
    assert root.name == "A"
    assert [child.text for child in root.find_all("B")] == [" 1 ", "2&<"]
    assert root.value("C") == ""
    assert root.value("D") is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<A>",
        b"<A></B>",
        b"<A/><B/>",
        b"text",
        b"<A>&unknown;</A>",
        b"<A>\x01</A>",
        b"<A>\xff</A>",
        b'<?xml version="1.0" encoding="no-such"?><A/>',
        b"<!DOCTYPE A><A/>",
        b'<!DOCTYPE A [<!ENTITY x "y">]><A>&x;</A>',
        b'<!DOCTYPE A SYSTEM "file:///etc/passwd"><A/>',
        b"<A>" * 9 + b"</A>" * 9,
    ],
)
def test_a_bad_document_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedDocument):
        parse(data)


@given(st.binary(max_size=200))
def test_noise_is_refused_or_parsed(data: bytes) -> None:
    with contextlib.suppress(MalformedDocument):
        assert parse(data).name
