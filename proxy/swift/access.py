"""Who may do what: owners and administrators everything, readers of the account read, others what lists grant."""

from urllib.parse import quote

from identity.interfaces import Action, Principal
from proxy.objects.errors import NoSuchContainer
from proxy.swift import acl
from proxy.swift.call import Call
from proxy.swift.errors import SwiftError

READ_ACL = "x-container-read"
WRITE_ACL = "x-container-write"


def owns(user: Principal | None, account: str) -> bool:
    """Tell whether everything in `account` is open to `user`."""
    return user is not None and user.may(account, Action.WRITE)


def reads(user: Principal | None, account: str) -> bool:
    """Tell whether everything in `account` but access lists and secrets is open to `user`, to be read."""
    return user is not None and user.may(account, Action.READ)


def denied(user: Principal | None, account: str) -> SwiftError:
    """Return the answer to whoever may not: 401 to strangers, 403 to users."""
    if user is not None:
        return SwiftError(403)
    return unauthorized(account)


def unauthorized(realm: str) -> SwiftError:
    """Return the answer that asks for a token."""
    return SwiftError(401, fields=(("Www-Authenticate", f'Swift realm="{quote(realm) or "unknown"}"'),))


def require_owner(call: Call) -> None:
    """Raise SwiftError unless the account of the request is open to its user."""
    if not owns(call.user, call.name.account):
        raise denied(call.user, call.name.account)


def require_reader(call: Call) -> None:
    """Raise SwiftError unless the account of the request is open to its user, to be read."""
    if not reads(call.user, call.name.account):
        raise denied(call.user, call.name.account)


def _is_granted(call: Call, account: str, container: str) -> bool:
    """Tell whether the request has a temporary URL for the container."""
    return call.grant is not None and call.grant.covers(account, container)


async def require_read(call: Call, account: str, container: str, listing: bool = False) -> None:
    """Raise SwiftError unless the user may read objects of the container, or list it."""
    if reads(call.user, account) or _is_granted(call, account, container):
        return
    granted = await _list(call, account, container, READ_ACL)
    if granted and (
        (call.user is not None and acl.grants_user(granted, call.user.listed_as(account)))
        or acl.grants_referrer(granted, call.request.headers.get("referer"), listing)
    ):
        return
    raise denied(call.user, account)


async def require_write(call: Call, account: str, container: str) -> None:
    """Raise SwiftError unless the user may write and delete objects of the container."""
    if owns(call.user, account) or _is_granted(call, account, container):
        return
    if call.user is not None:
        granted = await _list(call, account, container, WRITE_ACL)
        if granted and acl.grants_user(granted, call.user.listed_as(account)):
            return
    raise denied(call.user, account)


async def _list(call: Call, account: str, container: str, name: str) -> str:
    """Return an access list; a container that does not exist grants nothing, and is not told of."""
    try:
        info = await call.service.container_info(account, container)
    except NoSuchContainer:
        return ""
    return str(info.metadata.get(name, ""))
