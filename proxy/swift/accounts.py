"""Accounts: their containers listed, their totals, their metadata. They exist as soon as somebody asks."""

from proxy.http.message import Response
from proxy.objects.model import AccountInfo
from proxy.swift import listing
from proxy.swift.access import owns, require_owner, require_reader
from proxy.swift.call import Call
from proxy.swift.errors import Fields, answer
from proxy.swift.headers import ACCOUNT_META, check_total, metadata_changes, timestamp_text, titled
from proxy.swift.limits import ACCOUNT_LISTING_LIMIT
from proxy.swift.queries import content_type, listing_query
from proxy.swift.tempurl import ACCOUNT_SECRETS


async def get(call: Call) -> Response:
    """List the account's containers."""
    require_reader(call)
    wanted = content_type(call.request.headers, call.parameters)
    query = listing_query(call.parameters, ACCOUNT_LISTING_LIMIT)
    found = await call.service.list_account(call.name.account, query)
    items = [item for item in found.items if "\0" not in (item if isinstance(item, str) else item.name)]
    policy = call.config.policy
    if wanted == listing.JSON:
        body = listing.account_json(items, policy)
    elif wanted == listing.PLAIN:
        body = listing.plain(items)
    else:
        body = listing.account_xml(items, call.name.account, policy)
    fields = [*account_headers(call, found.info), ("Content-Type", f"{wanted}; charset=utf-8")]
    if "format" not in call.parameters:
        fields.append(("Vary", "Accept"))
    return Response(200 if body else 204, fields, body)


async def head(call: Call) -> Response:
    """Tell the account's totals and metadata."""
    require_reader(call)
    wanted = content_type(call.request.headers, call.parameters)
    info = await call.service.account_info(call.name.account)
    fields = account_headers(call, info)
    return Response(204, [*fields, ("Content-Type", f"{wanted}; charset=utf-8")])


async def post(call: Call) -> Response:
    """Change the account's metadata."""
    require_owner(call)
    changes = metadata_changes(call.request.headers, ACCOUNT_META)
    if changes:
        info = await call.service.account_info(call.name.account)
        check_total(info.metadata, changes, ACCOUNT_META)
        await call.service.update_account(call.name.account, changes)
    return answer(204)


def account_headers(call: Call, info: AccountInfo) -> Fields:
    """Return what GET and HEAD say of an account; keys of temporary URLs are for its owner."""
    policy, owned = call.config.policy, owns(call.user, call.name.account)
    counts = (
        ("Container-Count", str(info.container_count)),
        ("Object-Count", str(info.object_count)),
        ("Bytes-Used", str(info.bytes_used)),
    )
    return (
        *((f"X-Account-{name}", value) for name, value in counts),
        *((f"X-Account-Storage-Policy-{policy}-{name}", value) for name, value in counts),
        ("X-Timestamp", timestamp_text(info.created_us)),
        ("Accept-Ranges", "bytes"),
        *(
            (titled(name), str(value))
            for name, value in info.metadata.items()
            if name.startswith(ACCOUNT_META) and (owned or name not in ACCOUNT_SECRETS)
        ),
    )
