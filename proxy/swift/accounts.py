"""Accounts: their containers listed, their totals, their metadata. They exist as soon as somebody asks."""

from proxy.http.message import Headers, Response
from proxy.objects.model import AccountInfo
from proxy.swift import account_acl, listing, quotas
from proxy.swift.access import OWNER_HEADERS, owns, require_owner, require_reader
from proxy.swift.call import Call
from proxy.swift.errors import Fields, SwiftError, answer
from proxy.swift.headers import ACCOUNT_META, check_total, metadata_changes, timestamp_text, titled
from proxy.swift.limits import ACCOUNT_LISTING_LIMIT, MAX_HEADER_SIZE
from proxy.swift.queries import content_type, listing_query


async def get(call: Call) -> Response:
    """List the account's containers."""
    await require_reader(call)
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
    await require_reader(call)
    wanted = content_type(call.request.headers, call.parameters)
    info = await call.service.account_info(call.name.account)
    fields = account_headers(call, info)
    return Response(204, [*fields, ("Content-Type", f"{wanted}; charset=utf-8")])


async def post(call: Call) -> Response:
    """Change the account's metadata, access list and quotas."""
    headers = call.request.headers
    listed = _access_list(headers)
    await require_owner(call)
    changes = {**metadata_changes(headers, ACCOUNT_META), **listed, **quotas.account_changes(call)}
    if changes:
        info = await call.service.account_info(call.name.account)
        check_total(info.metadata, changes, ACCOUNT_META)
        await call.service.update_account(call.name.account, changes)
    return answer(204)


def _access_list(headers: Headers) -> dict[str, str | None]:
    if account_acl.HEADER not in headers:
        return {}
    value = headers.get(account_acl.HEADER)
    if len(value) > MAX_HEADER_SIZE:
        raise SwiftError(400, "Header value too long: X-Account-Access-Control")
    try:
        return {account_acl.HEADER: account_acl.clean(value) or None}
    except ValueError as error:
        raise SwiftError(400, f"X-Account-Access-Control invalid: {error}\n\nInput: {value}\n") from None


def account_headers(call: Call, info: AccountInfo) -> Fields:
    """Return what GET and HEAD say of an account; keys of temporary URLs and the access list are for its owner."""
    policy, owned = call.config.policy, owns(call, call.name.account)
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
        *quotas.account_fields(info.metadata),
        *(
            (titled(name), str(value))
            for name, value in info.metadata.items()
            if (name.startswith(ACCOUNT_META) or name == account_acl.HEADER) and (owned or name not in OWNER_HEADERS)
        ),
    )
