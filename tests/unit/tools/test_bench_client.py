"""tools.bench.client: peers on the command line, and the documents it reads and writes."""

import xml.etree.ElementTree as ElementTree

import pytest

from tools.bench.client import System, delete_document, keys_of, parse_peer, reason_of


def test_a_peer_has_a_name_an_address_and_keys() -> None:
    swift = parse_peer("swift=http://127.0.0.1:8090/,test:tester,testing")
    assert swift == System("swift", "http://127.0.0.1:8090", "test:tester", "testing", "us-east-1")
    assert swift.host == "127.0.0.1:8090"
    assert parse_peer("ceph=http://[::1]:8000,a,b=,default").region == "default"


@pytest.mark.parametrize(
    "text",
    ["", "swift", "swift=http://h,a", "=http://h,a,b", "x=h:80,a,b", "x=https://h,a,b", "x=http://h/path,a,b", "x=http://h,,b"],
)
def test_what_is_not_a_peer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_peer(text)


def test_a_secret_is_not_shown() -> None:
    assert "hush" not in repr(parse_peer("x=http://h,key,hush"))


def test_keys_of_a_listing_are_what_delete_objects_is_told() -> None:
    keys = ["put/1", "a&b <c>", "ü"]
    escaped = ("put/1", "a&amp;b &lt;c&gt;", "ü")
    contents = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in escaped)
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    listing = f'<?xml version="1.0"?><ListBucketResult xmlns="{namespace}">{contents}</ListBucketResult>'
    assert keys_of(listing.encode()) == keys
    document = ElementTree.fromstring(delete_document(keys))
    assert [each.text for each in document.iter("Key")] == keys


def test_the_reason_is_what_an_error_document_says() -> None:
    assert reason_of(b"<Error><Code>SlowDown</Code>\n<Message>Wait.</Message></Error>") == "SlowDown, Wait."
    assert reason_of(b"bad\n gateway") == "bad gateway"
