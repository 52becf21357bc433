"""Percent-encoding: raw paths and queries to text, and text to what goes into signatures and listings.

Source: RFC 3986 §2.1, and WHATWG's form encoding for the plus sign in queries. Strict: an escape
that is none, and bytes that are not UTF-8, are refused, so that two spellings never become one name
by accident. Raw text is str decoded as Latin-1, as `message.py` has it.
"""

import re
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from proxy.http.errors import BadEncoding

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_MAX_PARAMETERS = 1000


def percent_decode(raw: str) -> str:
    """Return the text that `raw` stands for. Raise BadEncoding when it is not percent-encoded UTF-8.

    NUL is refused too: the names that the object service keeps for itself contain it.
    """
    if "%" not in raw and raw.isascii():
        text = raw
    else:
        if _BAD_ESCAPE.search(raw):
            raise BadEncoding("a percent sign must be followed by two hexadecimal digits")
        try:
            text = unquote_to_bytes(raw.encode("latin-1")).decode("utf-8")
        except UnicodeError:
            raise BadEncoding("percent-encoded text must be UTF-8") from None
    if "\0" in text:
        raise BadEncoding("a name must not contain NUL")
    return text


def parse_query(raw: str) -> list[tuple[str, str]]:
    """Return the parameters of a raw query in order; one without "=" has the value ""."""
    if not raw:
        return []
    fields = raw.split("&", _MAX_PARAMETERS)
    if len(fields) > _MAX_PARAMETERS:
        raise BadEncoding("too many query parameters")
    pairs = (field.partition("=") for field in fields if field)
    return [(_decode_parameter(name), _decode_parameter(value)) for name, _equals, value in pairs]


def _decode_parameter(raw: str) -> str:
    return percent_decode(raw.replace("+", " ") if "+" in raw else raw)


@lru_cache(maxsize=4096)
def percent_encode(text: str, safe: str = "") -> str:
    """Return `text` with every byte escaped but unreserved ones (RFC 3986 §2.3) and those in `safe`."""
    return quote(text, safe=safe)
