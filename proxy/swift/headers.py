"""Header fields <-> values: user metadata with its limits, expiry, timestamps, an object's answer headers.

Values stay Latin-1 decoded, as the server gives them, so that whatever bytes a client stored come back.
Only names in the tables here are read: internal headers (X-Backend-*, X-Object-Sysmeta-*) have no meaning.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from proxy.http.dates import http_date
from proxy.http.message import Headers
from proxy.objects.model import ObjectInfo
from proxy.swift.errors import Fields, SwiftError
from proxy.swift.limits import (
    MAX_HEADER_SIZE,
    MAX_META_COUNT,
    MAX_META_NAME_LENGTH,
    MAX_META_OVERALL_SIZE,
    MAX_META_VALUE_LENGTH,
)
from proxy.swift.names import decode

ACCOUNT_META = "x-account-meta-"
CONTAINER_META = "x-container-meta-"
OBJECT_META = "x-object-meta-"

# What signs temporary URLs and forms: metadata of an account or a container that only its owner sees.
TEMP_URL_KEYS = ("temp-url-key", "temp-url-key-2")
SECRETS = frozenset(prefix + key for prefix in (ACCOUNT_META, CONTAINER_META) for key in TEMP_URL_KEYS)

# Kept with an object and given back as they are.
CONTENT_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
    "x-robots-tag",
)

# Keys of `ObjectMetadata.system`.
DELETE_AT = "delete_at"  # seconds since 1970
DLO = "dlo"  # "container/prefix"
SLO = "slo"
MANIFEST_ETAG = "manifest_etag"  # of a static large object: md5 of the manifest as it is shown
SYMLINK = "symlink"  # what a symbolic link stands for: container, object; account, etag and bytes if it says so

_EMPTY: Mapping[str, str] = {}


def user_metadata(headers: Headers, prefix: str) -> dict[str, str]:
    """Return the metadata that `headers` set, by name without `prefix`. Raise SwiftError over a limit."""
    found: dict[str, str] = {}
    for name in headers:
        if name.startswith(prefix):
            found[name[len(prefix) :]] = headers.get(name)
    if found:
        check_metadata(found, prefix)
    return found


def check_metadata(metadata: Mapping[str, str], prefix: str) -> None:
    """Raise SwiftError when an item, or all of them together, are larger than allowed."""
    for name, value in metadata.items():
        if not name:
            raise SwiftError(400, "Metadata name cannot be empty")
        if len(name) > MAX_META_NAME_LENGTH:
            raise SwiftError(400, f"Metadata name too long: {prefix}{name}")
        if len(value) > MAX_META_VALUE_LENGTH:
            raise SwiftError(400, f"Metadata value longer than {MAX_META_VALUE_LENGTH}: {prefix}{name}")
    if len(metadata) > MAX_META_COUNT:
        raise SwiftError(400, f"Too many metadata items; max {MAX_META_COUNT}")
    if sum(len(name) + len(value) for name, value in metadata.items()) > MAX_META_OVERALL_SIZE:
        raise SwiftError(400, f"Total metadata too large; max {MAX_META_OVERALL_SIZE}")


def metadata_changes(headers: Headers, prefix: str) -> dict[str, str | None]:
    """Return what `headers` change in an account or container, by full name; None removes the name.

    An empty value removes, as does X-Remove-…; setting and removing one name sets it.
    """
    changes: dict[str, str | None] = {}
    removal = "x-remove-" + prefix.removeprefix("x-")
    for name in headers:
        if name.startswith(removal):
            changes.setdefault(prefix + name[len(removal) :], None)
        elif name.startswith(prefix):
            changes[name] = headers.get(name) or None
    items = {name[len(prefix) :]: value or "" for name, value in changes.items()}
    check_metadata(items, prefix)
    for name, value in items.items():
        if not (_is_utf8(name) and _is_utf8(value)):
            raise SwiftError(400, "Metadata must be valid UTF-8")
    return changes


def _is_utf8(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def check_total(kept: Mapping[str, Any], changes: Mapping[str, str | None], prefix: str) -> None:
    """Raise SwiftError when `changes` would grow the metadata that is `kept` over its limits."""
    merged = {**kept, **changes}
    check_metadata(
        {name[len(prefix) :]: value for name, value in merged.items() if name.startswith(prefix) and value},
        prefix,
    )


def content_headers(headers: Headers) -> Mapping[str, str]:
    """Return the fields that are kept with an object."""
    found = {name: headers.get(name) for name in CONTENT_HEADERS if name in headers}
    for name, value in found.items():
        if len(value) > MAX_HEADER_SIZE:
            raise SwiftError(400, f"Header value too long: {name}")
    return found or _EMPTY


def object_system(headers: Headers, now_s: float) -> dict[str, Any]:
    """Return what `headers` say of expiry and of a dynamic large object. Raise SwiftError on nonsense."""
    system: dict[str, Any] = {}
    delete_at = expiry(headers, now_s)
    if delete_at is not None:
        system[DELETE_AT] = delete_at
    if "x-object-manifest" in headers:
        system[DLO] = _dlo_location(headers.get("x-object-manifest"))
    return system


def expiry(headers: Headers, now_s: float) -> int | None:
    """Return the second in which X-Delete-After or X-Delete-At let the object expire, None without them."""
    if "x-delete-after" in headers:
        name, value, base = "X-Delete-After", headers.get("x-delete-after"), int(now_s)
    elif "x-delete-at" in headers:
        name, value, base = "X-Delete-At", headers.get("x-delete-at"), 0
    else:
        return None
    digits = value.strip().removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
        raise SwiftError(400, f"Non-integer {name}")
    delete_at = min(base + int(value), 9_999_999_999)  # Swift's timestamps have ten digits
    if delete_at <= now_s:
        raise SwiftError(400, f"{name} in past")
    return delete_at


def _dlo_location(value: str) -> str:
    location = decode(value, status=400).removeprefix("/")
    container, _slash, prefix = location.partition("/")
    if not container or not prefix or prefix.startswith("/") or "?" in value or "&" in value:
        raise SwiftError(400, "X-Object-Manifest must be in the format container/prefix")
    return location


def is_expired(info: ObjectInfo, now_s: float) -> bool:
    """Tell whether the object's time is over: it is then as good as deleted."""
    delete_at = info.metadata.system.get(DELETE_AT)
    return delete_at is not None and bool(delete_at <= now_s)


def is_large(info: ObjectInfo) -> bool:
    """Tell whether the object's bytes are those of other objects: its etag is then no md5 of them."""
    return info.manifest or DLO in info.metadata.system


@lru_cache(maxsize=1024)
def titled(name: str) -> str:
    """Return a header name as Swift spells it, such as X-Object-Meta-Color."""
    return name.title()


def timestamp_text(microseconds: int) -> str:
    """Return a time as X-Timestamp has it: seconds with five digits behind the point."""
    return f"{microseconds // 1_000_000:010}.{microseconds % 1_000_000 // 10:05}"


def rounded_up(microseconds: int) -> int:
    """Return the whole second that Last-Modified names, in microseconds: never one before the change."""
    return -(-microseconds // 1_000_000) * 1_000_000


def last_modified(microseconds: int) -> str:
    """Return the value of Last-Modified."""
    return http_date(rounded_up(microseconds))


def etag_of(info: ObjectInfo) -> str:
    """Return the value of Etag: quoted for large objects only, as Swift does."""
    etag = info.metadata.etag
    return f'"{etag}"' if is_large(info) else etag


def written_headers(info: ObjectInfo) -> list[tuple[str, str]]:
    """Return what the answer to a PUT says of the new object."""
    return [
        ("Content-Type", "text/html; charset=UTF-8"),
        ("Etag", etag_of(info)),
        ("Last-Modified", last_modified(info.metadata.modified_us)),
    ]


def object_headers(info: ObjectInfo) -> list[tuple[str, str]]:
    """Return what GET and HEAD say of an object."""
    metadata = info.metadata
    fields = [
        ("Content-Type", metadata.content_type),
        ("Etag", etag_of(info)),
        ("Last-Modified", last_modified(metadata.modified_us)),
        ("X-Timestamp", timestamp_text(metadata.modified_us)),
        ("Accept-Ranges", "bytes"),
    ]
    for name, value in metadata.headers.items():
        fields.append((titled(name), value))
    fields += user_fields(metadata.user)
    if metadata.system:
        fields += _system_fields(info)
    return fields


def user_fields(user: Mapping[str, str]) -> Fields:
    """Return an object's user metadata as header fields."""
    return tuple((titled(OBJECT_META + name), value) for name, value in user.items())


def _system_fields(info: ObjectInfo) -> Fields:
    system = info.metadata.system
    fields: Fields = ()
    if info.manifest:
        fields += (("X-Static-Large-Object", "True"),)
    if MANIFEST_ETAG in system:
        fields += (("X-Manifest-Etag", system[MANIFEST_ETAG]),)
    if SYMLINK in system:
        fields += _link_fields(system[SYMLINK])
    if DLO in system:
        fields += (("X-Object-Manifest", quote(system[DLO])),)
    if DELETE_AT in system:
        fields += (("X-Delete-At", str(system[DELETE_AT])),)
    return fields


def _link_fields(link: Mapping[str, Any]) -> Fields:
    fields: Fields = (("X-Symlink-Target", quote(f"{link['container']}/{link['object']}")),)
    if "account" in link:
        fields += (("X-Symlink-Target-Account", quote(link["account"])),)
    if "etag" in link:
        fields += (("X-Symlink-Target-Etag", link["etag"]), ("X-Symlink-Target-Bytes", str(link["bytes"])))
    return fields
