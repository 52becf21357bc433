"""Logging in (/auth/v1.0), and whose token a request carries."""

import hmac
from collections.abc import Callable

from identity.interfaces import Principal, Tokens, Users
from identity.users import User
from proxy.http.message import Request, Response
from proxy.swift.access import unauthorized
from proxy.swift.errors import HTML, SwiftError

PATHS = ("/auth/v1.0", "/auth/v1.0/", "/auth/v1", "/auth/v1/")


def log_in(request: Request, users: Users, tokens: Tokens, wall_s: Callable[[], float]) -> Response:
    """Answer a name and its key with a token and the URL of the user's account."""
    if request.method != "GET":
        raise SwiftError(405, fields=(("Allow", "GET"),))
    headers = request.headers
    name = headers.get("x-auth-user") or headers.get("x-storage-user")
    key = headers.get("x-auth-key") or headers.get("x-storage-pass")
    user = _named(users, name) if name else None
    # somebody unknown costs the same comparison as somebody known
    secret = user.secret_key if user is not None else ""
    if not hmac.compare_digest(secret.encode(), key.encode()) or user is None or not key:
        raise unauthorized(name.partition(":")[0])
    token, expires_s = tokens.issue(user)
    scheme = "https" if request.secure else "http"
    fields = [
        ("X-Storage-Url", f"{scheme}://{headers.get('host') or 'localhost'}/v1/{user.account}"),
        ("X-Auth-Token", token),
        ("X-Storage-Token", token),
        ("X-Auth-Token-Expires", str(max(0, int(expires_s - wall_s())))),
        ("Content-Type", HTML),
    ]
    return Response(200, fields)


def _named(users: Users, name: str) -> User | None:
    """Return the user of this name. ACCOUNT:USER is how Swift's clients write it, so ann:ann is ann as well."""
    account, _colon, user = name.partition(":")
    return users.by_name(name) or (users.by_name(user) if account == user else None)


def user_of(request: Request, tokens: Tokens, realm: str) -> Principal | None:
    """Return the user whose token the request carries, None without one. Raise SwiftError on a bad one."""
    token = request.headers.get("x-auth-token") or request.headers.get("x-storage-token")
    if not token:
        return None
    user = tokens.verify(token)
    if user is None:
        raise unauthorized(realm)
    return user
