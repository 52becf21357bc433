"""Tags: what a header or a document says of them, and the document that shows them. No I/O.

Source: Amazon S3 User Guide, "Categorizing your objects using tags", and "Using cost allocation S3 bucket tags". An
object's are kept in its `system["tags"]`.
"""

import unicodedata
from collections.abc import Mapping
from typing import Any

from proxy.http.errors import BadEncoding
from proxy.http.message import Headers
from proxy.http.text import parse_query
from proxy.s3.errors import S3Error
from proxy.s3.xml import Element, document, text
from storage.metadata import ObjectMetadata

TAGS = "tags"  # in `system`
OBJECT_LIMIT = 10  # tags
BUCKET_LIMIT = 50

Tags = dict[str, str]

_MAX_KEY = 128  # characters
_MAX_VALUE = 256
_PUNCTUATION = frozenset("_.:/=+-@")
_CATEGORIES = "LMNZ"  # Unicode's, by their first letters: letters, marks, numbers, separators
_RESERVED = "aws:"
_HEADER = "x-amz-tagging"


def of_headers(headers: Headers) -> dict[str, Any]:
    """Return what of `system` the header x-amz-tagging makes. Raise S3Error."""
    if not headers.get(_HEADER):
        return {}
    try:
        pairs = parse_query(headers.get(_HEADER))
    except BadEncoding:
        pairs = []
    tags = dict(pairs)
    if not pairs or len(tags) < len(pairs):
        message = (
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without "
            "tag name duplicates."
        )
        raise S3Error("InvalidArgument", message, ArgumentName=_HEADER, ArgumentValue=headers.get(_HEADER))
    _check(tags, OBJECT_LIMIT)
    return {TAGS: tags}


def of_copy(headers: Headers, source: ObjectMetadata) -> dict[str, Any]:
    """Return what of `system` a copy has of tags: the source's, or those of the header. Raise S3Error."""
    directive = headers.get("x-amz-tagging-directive", "COPY").upper()
    if directive == "REPLACE":
        return of_headers(headers)
    if directive != "COPY":
        raise S3Error("InvalidArgument", "Unknown tagging directive.", ArgumentValue=directive)
    return {TAGS: source.system[TAGS]} if TAGS in source.system else {}


def render(tags: Mapping[str, str]) -> bytes:
    """Return the document that shows `tags`."""
    rows = "".join(f"<Tag><Key>{text(key)}</Key><Value>{text(value)}</Value></Tag>" for key, value in tags.items())
    return document("Tagging", f"<TagSet>{rows}</TagSet>")


def parse(root: Element, limit: int) -> Tags:
    """Return the tags of a document. Raise S3Error."""
    tag_set = root.find("TagSet")
    if tag_set is None:
        raise S3Error("MalformedXML")
    pairs = [_pair(element) for element in tag_set.find_all("Tag")]
    tags = dict(pairs)
    if len(tags) < len(pairs):
        raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key")
    _check(tags, limit)
    return tags


def _pair(element: Element) -> tuple[str, str]:
    key, value = element.value("Key"), element.value("Value")
    if key is None or value is None:
        raise S3Error("MalformedXML")
    return key, value


def _check(tags: Mapping[str, str], limit: int) -> None:
    """Raise S3Error when these tags may not be."""
    if len(tags) > limit:
        raise S3Error("InvalidTag", f"Tags cannot be more than {limit}")
    for key, value in tags.items():
        if not key or len(key) > _MAX_KEY or key.startswith(_RESERVED) or not _is_plain(key):
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid", TagKey=key)
        if len(value) > _MAX_VALUE or not _is_plain(value):
            raise S3Error("InvalidTag", "The TagValue you have provided is invalid", TagKey=key, TagValue=value)


def _is_plain(value: str) -> bool:
    """Tell whether there are only letters, numbers, blanks and what may stand between them."""
    return all(sign in _PUNCTUATION or unicodedata.category(sign)[0] in _CATEGORIES for sign in value)
