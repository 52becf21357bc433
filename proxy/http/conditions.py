"""Conditional requests: does what is there meet what the client demands?

Source: RFC 9110 §13, its order of precedence §13.2.2. Entity tags come unquoted from many S3
clients; that is accepted. An evaluation knows no method: where a match of If-None-Match or a date that did
not change means failure (any method but GET and HEAD, and the source of a copy), the caller takes
NOT_MODIFIED for FAILED.
"""

import re
from enum import Enum

from proxy.http.dates import parse_http_date
from proxy.http.message import Headers

_TAG = re.compile(r'\s*(W/)?(?:"([^"]*)"|([^\s,"]+))\s*(?:,|$)')
_US_PER_S = 1_000_000
_NAMES = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


class Outcome(Enum):
    """What becomes of a conditional request."""

    PROCEED = "proceed"
    NOT_MODIFIED = "not modified"
    FAILED = "failed"


def evaluate(
    headers: Headers, etag: str | None, modified_us: int | None, *, prefix: str = "", both: bool = False
) -> Outcome:
    """Judge the conditions in `headers`, whose names begin with `prefix`.

    `etag` is that of what is there, without quotes, None when nothing is; dates count in whole seconds.
    With `both`, If-Unmodified-Since counts beside If-Match too, which RFC 9110 lets override it.
    """
    match, none_match, modified_since, unmodified_since = (headers.get(prefix + name) for name in _NAMES)
    if match and not _is_listed(etag, match, weak=False):
        return Outcome.FAILED
    if (both or not match) and _is_after(modified_us, unmodified_since) is True:
        return Outcome.FAILED
    if none_match:
        return Outcome.NOT_MODIFIED if _is_listed(etag, none_match, weak=True) else Outcome.PROCEED
    if _is_after(modified_us, modified_since) is False:
        return Outcome.NOT_MODIFIED
    return Outcome.PROCEED


def _is_listed(etag: str | None, tags: str, *, weak: bool) -> bool:
    """Tell whether `etag` is among `tags`; a weak tag counts only in a weak comparison."""
    if etag is None:
        return False
    if tags.strip() == "*":
        return True
    position = 0
    while match := _TAG.match(tags, position):
        found = match[2] if match[2] is not None else match[3]
        if found == etag and (weak or not match[1]):
            return True
        position = match.end()
    return False


def _is_after(modified_us: int | None, date: str) -> bool | None:
    """Tell whether the modification was after `date`; None when either is unknown."""
    if not date or modified_us is None:
        return None
    date_us = parse_http_date(date)
    return None if date_us is None else modified_us // _US_PER_S * _US_PER_S > date_us
