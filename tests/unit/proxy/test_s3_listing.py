"""proxy.s3.listing"""

from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.clock import ZERO
from proxy.http.dates import iso8601
from proxy.s3.errors import S3Error
from proxy.s3.listing import decode_token, encode_token, entries, url_encoded
from proxy.s3.xml import text
from storage.messages import Row

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)


def row(name: str, modified_us: int = 0, checksum: str = "") -> Row:
    extra = {"checksum": checksum} if checksum else None
    return Row(name, ZERO, False, 7, "e" * 32, "x/y", modified_us, extra=extra)


def plainly(item: Row, name: str) -> str:
    """Return an entry the slow way."""
    return (
        f"<Contents><Key>{name}</Key><LastModified>{iso8601(item.modified_us)}</LastModified>"
        f"<ETag>&quot;{item.etag}&quot;</ETag><Size>7</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


@given(st.lists(st.tuples(NAMES, st.integers(0, 10**16)), max_size=5))
def test_fast_entries_are_the_plain_ones(items: list[tuple[str, int]]) -> None:
    rows = [row(name, modified_us) for name, modified_us in items]
    assert entries(rows, text, "Contents", "", "") == "".join(
        plainly(item, text(item.name)) for item in rows
    )
    assert entries(rows, url_encoded, "Contents", "", "") == "".join(
        plainly(item, url_encoded(item.name)) for item in rows
    )


def test_names_that_need_no_escaping_go_out_as_they_are() -> None:
    assert escape("dir/ключ+ %2F") in entries([row("dir/ключ+ %2F")], text, "Contents", "", "")
    assert "a%20b/~%2B" in entries([row("a b/~+")], url_encoded, "Contents", "", "")


def test_an_entry_shows_its_checksum_and_owner() -> None:
    shown = entries([row("a", checksum="SHA1 COMPOSITE")], text, "Version", "<More/>", "<Owner/>")
    assert "<ChecksumAlgorithm>SHA1</ChecksumAlgorithm><ChecksumType>COMPOSITE</ChecksumType>" in shown
    assert shown.endswith("<Owner/><StorageClass>STANDARD</StorageClass><More/></Version>")


@given(NAMES)
def test_a_token_is_the_last_item_again(last: str) -> None:
    assert decode_token(encode_token(last)) == last


@pytest.mark.parametrize("token", ["?", "a", "/w==", "_w=="])
def test_a_token_of_somebody_elses_is_refused(token: str) -> None:
    with pytest.raises(S3Error, match="InvalidArgument"):
        decode_token(token)
