"""Who may do what: owners and administrators everything, readers of the account read, others what lists grant.

A container's list is asked before its account's, as in Swift: whoever the first lets in is not known to be more
than it says.
"""

from urllib.parse import quote

from identity.interfaces import Action, Principal
from proxy.objects.errors import NoSuchContainer
from proxy.swift import account_acl, acl
from proxy.swift.account_acl import Level
from proxy.swift.call import Call
from proxy.swift.errors import SwiftError
from proxy.swift.headers import SECRETS

READ_ACL = "x-container-read"
WRITE_ACL = "x-container-write"


# What only owners set and see.
OWNER_HEADERS = frozenset((READ_ACL, WRITE_ACL, account_acl.HEADER, *SECRETS))


def owns(call: Call, account: str) -> bool:
    """Tell whether everything in `account` is open to the user, by what the request has been let in for so far."""
    user = call.user
    return user is not None and (user.may(account, Action.WRITE) or call.levels.get(account) is Level.ADMIN)


def reads(user: Principal | None, account: str) -> bool:
    """Tell whether everything in `account` but access lists and secrets is open to `user`, to be read."""
    return user is not None and user.may(account, Action.READ)


def is_reseller(user: Principal | None) -> bool:
    """Tell whether `user` is what Swift calls a reseller: one who may do anything in any account."""
    return user is not None and user.admin


def denied(user: Principal | None, account: str) -> SwiftError:
    """Return the answer to whoever may not: 401 to strangers, 403 to users."""
    if user is not None:
        return SwiftError(403)
    return unauthorized(account)


def unauthorized(realm: str) -> SwiftError:
    """Return the answer that asks for a token."""
    return SwiftError(401, fields=(("Www-Authenticate", f'Swift realm="{quote(realm) or "unknown"}"'),))


async def require_owner(call: Call) -> None:
    """Raise SwiftError unless everything in the account of the request is open to its user."""
    await _require(call, Level.ADMIN)


async def require_container_writer(call: Call) -> None:
    """Raise SwiftError unless the user may make, change and delete containers of the request's account."""
    await _require(call, Level.READ_WRITE)


async def may_make_containers(call: Call) -> bool:
    """Tell whether the user may make containers in the request's account."""
    return await _is_let(call, Level.READ_WRITE)


async def require_reader(call: Call) -> None:
    """Raise SwiftError unless the account of the request is open to its user, to be read."""
    if not reads(call.user, call.name.account):
        await _require(call, Level.READ_ONLY)


async def _require(call: Call, level: Level) -> None:
    if not await _is_let(call, level):
        raise denied(call.user, call.name.account)


async def _is_let(call: Call, level: Level) -> bool:
    account = call.name.account
    return owns(call, account) or await _level(call, account) >= level


async def _level(call: Call, account: str) -> Level:
    """Return what the account's access list lets the user do."""
    if call.user is None:
        return Level.NONE
    if account not in call.levels:
        info = await call.service.account_info(account)
        stored = str(info.metadata.get(account_acl.HEADER, ""))
        call.levels[account] = account_acl.level_of(stored, call.user.listed_as(account))
    return call.levels[account]


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
    if await _level(call, account) < Level.READ_ONLY:
        raise denied(call.user, account)


async def require_write(call: Call, account: str, container: str) -> None:
    """Raise SwiftError unless the user may write and delete objects of the container."""
    if owns(call, account) or _is_granted(call, account, container):
        return
    if call.user is not None:
        granted = await _list(call, account, container, WRITE_ACL)
        if granted and acl.grants_user(granted, call.user.listed_as(account)):
            return
    if await _level(call, account) < Level.READ_WRITE:
        raise denied(call.user, account)


async def _list(call: Call, account: str, container: str, name: str) -> str:
    """Return an access list; a container that does not exist grants nothing, and is not told of."""
    try:
        info = await call.service.container_info(account, container)
    except NoSuchContainer:
        return ""
    return str(info.metadata.get(name, ""))
