"""Quotas as clients set and see them. Whether a write has room in one: `proxy.objects.quotas`.

Source: the account_quotas and container_quotas middlewares in Swift's documentation. An account's are set by
resellers: X-Account-Quota-Bytes (X-Account-Meta-Quota-Bytes is its older name, and stays metadata as well) and
X-Account-Quota-Count, both also with -Policy-NAME; who sees the account sees them. A container's are metadata of its
owner's: X-Container-Meta-Quota-Bytes and -Count.
"""

from collections.abc import Mapping
from typing import Any

from proxy.http.message import Headers
from proxy.objects.quotas import ACCOUNT_BYTES, ACCOUNT_COUNT, CONTAINER_BYTES, CONTAINER_COUNT
from proxy.swift.access import is_reseller
from proxy.swift.call import Call
from proxy.swift.errors import Fields, SwiftError
from proxy.swift.headers import titled

_OLDER = {ACCOUNT_BYTES: "x-account-meta-quota-bytes"}


def account_changes(call: Call) -> dict[str, str | None]:
    """Return what a request changes in an account's quotas. Raise SwiftError unless it may."""
    headers = call.request.headers
    changes: dict[str, str | None] = {}
    policy = f"-policy-{call.config.policy.lower()}"
    for name in (ACCOUNT_BYTES, ACCOUNT_COUNT, ACCOUNT_BYTES + policy, ACCOUNT_COUNT + policy):
        value = _wanted(headers, name)
        if value is not None:
            changes[name] = value or None
    if not changes:
        return changes
    if not is_reseller(call.user):
        raise SwiftError(403)
    if any(value and not _is_number(value) for value in changes.values()):
        raise SwiftError(400)
    return changes


def _wanted(headers: Headers, name: str) -> str | None:
    """Return the new value, empty to remove the quota, None to leave it."""
    names = (name, _OLDER[name]) if name in _OLDER else (name,)
    if any(headers.get(f"x-remove-{each.removeprefix('x-')}") for each in names):
        return ""
    given = [headers.get(each) for each in names if each in headers]
    return next(filter(None, given), "") if given else None


def account_fields(metadata: Mapping[str, Any]) -> Fields:
    """Return an account's quotas as header fields."""
    names = [name for name in metadata if name.startswith((ACCOUNT_BYTES, ACCOUNT_COUNT))]
    return tuple((titled(name), str(metadata[name])) for name in names)


def check_container(headers: Headers) -> None:
    """Raise SwiftError when the quotas that `headers` give a container are none."""
    for name, kind in ((CONTAINER_BYTES, "bytes"), (CONTAINER_COUNT, "count")):
        value = headers.get(name)
        if value and not _is_number(value):
            raise SwiftError(400, f"Invalid {kind} quota.")


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdigit()
