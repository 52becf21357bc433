"""Container access lists (X-Container-Read and X-Container-Write), as text. Pure.

A list is comma-separated. `account`, `account:user`, `*:user` and `account:*` name users, as each kind of user
is called in lists (`identity.interfaces.Principal.listed_as`); `.r:host`, `.r:.domain`, `.r:*` name
referrers, with a minus sign those to be turned away, and the last that fits decides; `.rlistings` lets referrers list,
not only read.
"""

from collections.abc import Collection
from urllib.parse import unquote, urlsplit

_REFERRER_DESIGNATIONS = (".r", ".ref", ".referer", ".referrer")
_REFERRER = ".r:"
_LISTINGS = ".rlistings"


def clean(value: str, writing: bool) -> str:
    """Return `value` in its shortest form. Raise ValueError when it is not an access list."""
    items = (_clean_item(item.strip(), writing) for item in value.split(","))
    return ",".join(item for item in items if item)


def _clean_item(item: str, writing: bool) -> str:
    first, colon, second = (part.strip() for part in item.partition(":"))
    if not colon or not first.startswith("."):
        return item
    if first not in _REFERRER_DESIGNATIONS:
        raise ValueError(f"Unknown designator {first!r} in ACL: {item!r}")
    if writing:
        raise ValueError(f"Referrers not allowed in write ACL: {item!r}")
    sign = "-" if second.startswith("-") else ""
    host = second.removeprefix("-").strip()
    if host != "*":
        host = host.removeprefix("*").strip()
    if host in ("", "."):
        raise ValueError(f"No host/domain value after referrer designation in ACL: {item!r}")
    return f"{_REFERRER}{sign}{host}"


def grants_user(acl: str, names: Collection[str]) -> bool:
    """Tell whether `acl` names somebody who is called any of `names`."""
    return any(unquote(item) in names for item in acl.split(",") if not item.startswith(_REFERRER))


def grants_referrer(acl: str, referrer: str, listing: bool) -> bool:
    """Tell whether `acl` lets in whoever comes from `referrer` (a URL, or empty), for a listing or an object."""
    items = acl.split(",")
    if listing and _LISTINGS not in items:
        return False
    host = _host_of(referrer)
    granted = False
    for item in items:
        if item.startswith(_REFERRER):
            pattern = item.removeprefix(_REFERRER)
            denies = pattern.startswith("-")
            if _fits(pattern.removeprefix("-"), host):
                granted = not denies
    return granted


def _host_of(referrer: str) -> str:
    try:
        return urlsplit(referrer).hostname or "unknown"
    except ValueError:
        return "unknown"


def _fits(pattern: str, host: str) -> bool:
    return pattern in ("*", host) or (pattern.startswith(".") and host.endswith(pattern))
