"""Paths and names: which account, container and object a request is about.

A path is decoded first and cut at slashes after: everything behind the container's slash is the
object's name, slashes included. Names are UTF-8 without NUL: what has a NUL is the service's own.
"""

from urllib.parse import quote

from proxy.http.errors import BadEncoding
from proxy.http.text import percent_decode
from proxy.objects.model import ObjectName
from proxy.swift.errors import SwiftError
from proxy.swift.limits import (
    MAX_ACCOUNT_NAME_LENGTH,
    MAX_CONTAINER_NAME_LENGTH,
    MAX_OBJECT_NAME_LENGTH,
)

VERSIONS = ("v1", "v1.0")
ACCOUNT_PREFIX = "AUTH_"


def decode(raw: str, status: int = 412) -> str:
    """Return percent-encoded, Latin-1 decoded `raw` as text. Raise SwiftError unless it is a fit name."""
    try:
        return percent_decode(raw)
    except BadEncoding:
        raise SwiftError(status, "Invalid UTF8 or contains NULL") from None


def parse_path(path: str) -> ObjectName:
    """Return what `path` is about; container and object are empty when it ends before them."""
    parts = decode(path).split("/", 4)
    if parts[0] or len(parts) < 2 or not parts[1]:
        raise SwiftError(404)
    account, container, object_ = [*parts[2:], "", "", ""][:3]
    if not account or (object_ and not container):
        raise SwiftError(412, "Bad URL")
    if parts[1] not in VERSIONS:
        raise SwiftError(400)
    if len(account.encode()) > MAX_ACCOUNT_NAME_LENGTH:
        raise SwiftError(400, f"Account name is longer than {MAX_ACCOUNT_NAME_LENGTH}")
    return ObjectName(account, container, object_)


def parse_location(value: str, header: str) -> tuple[str, str]:
    """Return the container and object that `value` of `header` (X-Copy-From, Destination) names."""
    container, _slash, object_ = decode(value).removeprefix("/").partition("/")
    if not container or not object_:
        raise SwiftError(412, f"{header} header must be of the form <container name>/<object name>")
    return container, object_


def parse_account(value: str) -> str:
    """Return the account that X-Copy-From-Account or Destination-Account names."""
    account = decode(value)
    if not account:
        raise SwiftError(412, "Account name cannot be empty")
    if "/" in account:
        raise SwiftError(412, "Account name cannot contain slashes")
    return account


def check_container(container: str) -> None:
    """Raise SwiftError when no container may have this name."""
    length = len(container.encode())
    if length > MAX_CONTAINER_NAME_LENGTH:
        raise SwiftError(400, f"Container name length of {length} longer than {MAX_CONTAINER_NAME_LENGTH}")
    if "/" in container:
        raise SwiftError(400, "Container name cannot contain slashes")


def check_object(name: ObjectName) -> None:
    """Raise SwiftError when no object may have this name."""
    if len(name.object) * 4 <= MAX_OBJECT_NAME_LENGTH:  # no character takes more than four bytes
        return
    length = len(name.object.encode())
    if length > MAX_OBJECT_NAME_LENGTH:
        raise SwiftError(400, f"Object name length of {length} longer than {MAX_OBJECT_NAME_LENGTH}")


def is_utf8(text: str) -> bool:
    """Tell whether `text` can be encoded; JSON and archives may bring lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def path_of(container: str, object_: str) -> str:
    """Return "/container/object", percent-encoded."""
    return quote(f"/{container}/{object_}")
