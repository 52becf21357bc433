"""Whether a request gets the version of an object that was found: expiry, symbolic links, conditions, If-Range.

Conditions are RFC 9110's but for one: If-Unmodified-Since counts beside If-Match, as Swift has it.
"""

from proxy.http.conditions import Outcome, evaluate
from proxy.http.message import Headers
from proxy.objects.model import ObjectInfo
from proxy.swift.call import Call
from proxy.swift.errors import SwiftError
from proxy.swift.headers import etag_of, is_expired, last_modified, rounded_up
from proxy.swift.symlink import require_target

_CONDITIONS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


def judge(call: Call, info: ObjectInfo, copied: bool = False) -> None:
    """Raise SwiftError when the object is gone, or is not what the request's conditions want.

    Raise Followed when it is a symbolic link, and its target is wanted.
    For the source of a copy If-None-Match: * is left out: there it speaks of the target.
    """
    if is_expired(info, call.now_s):
        raise SwiftError(404)
    require_target(call, info)
    headers = call.request.headers
    if not any(name in headers for name in _CONDITIONS):
        return
    if copied and headers.get("if-none-match").strip() == "*":
        return
    metadata = info.metadata
    outcome = evaluate(headers, metadata.etag, rounded_up(metadata.modified_us), both=True)
    if outcome is Outcome.PROCEED:
        return
    fields = (
        ("Etag", etag_of(info)),
        ("Last-Modified", last_modified(metadata.modified_us)),
        ("Accept-Ranges", "bytes"),
    )
    raise SwiftError(304 if outcome is Outcome.NOT_MODIFIED else 412, fields=fields)


def range_counts(headers: Headers, info: ObjectInfo) -> bool:
    """Tell whether If-Range, when there is one, allows a part of this version (RFC 9110 §13.1.5)."""
    validator = headers.get("if-range").strip()
    if not validator:
        return True
    if validator.startswith("W/"):
        return False
    return validator.strip('"') == info.metadata.etag or validator == last_modified(info.metadata.modified_us)
