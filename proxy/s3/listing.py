"""Listings of a bucket's objects: version 1, version 2, and as versions.

Rows are rendered by one f-string each; whether a page needs escaping at all is found by one pass over
all its names, since nearly none does. Names come in the order of their UTF-8 bytes.
"""

import base64
import binascii
import string
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

from proxy.http.dates import iso8601
from proxy.http.message import Response
from proxy.objects.model import CommonPrefix, ListingQuery
from proxy.s3.call import Call, require_bucket
from proxy.s3.checksums import LISTED
from proxy.s3.errors import S3Error
from proxy.s3.owner import person
from proxy.s3.responses import xml_response
from proxy.s3.xml import SPECIAL, document, text
from storage.messages import Row

MAX_KEYS = 1000
_US_PER_S = 1_000_000
_MILLISECONDS = [f".{ms:03}Z" for ms in range(1000)]

# bytes that stand for themselves in a document, and with encoding-type=url
_PLAIN_IN_XML = bytes(code for code in range(256) if not SPECIAL.match(chr(code)) and code != 0xEF)  # U+FFFE begins so
_PLAIN_IN_URL = (string.ascii_letters + string.digits + "_.~/-").encode()


class Page(NamedTuple):
    """Items of a listing."""

    rows: list[Row]
    prefixes: list[CommonPrefix]
    truncated: bool
    last: str  # the last item, "" of an empty page


def url_encoded(name: str) -> str:
    """Return `name` as encoding-type=url shows it."""
    return quote(name, safe="/~")


def encoder(call: Call) -> Callable[[str], str]:
    """Return what turns a name into what stands in the document. Raise S3Error for unknown encodings."""
    encoding = call.query.get("encoding-type", "")
    if not encoding:
        return text
    if encoding.lower() != "url":
        message = "Invalid Encoding Method specified in Request"
        raise S3Error("InvalidArgument", message, ArgumentName="encoding-type", ArgumentValue=encoding)
    return url_encoded


async def fetch(call: Call, marker: str, limit: int) -> Page:
    """Return at most `limit` items after `marker`."""
    if limit == 0:
        await require_bucket(call)
        return Page([], [], False, "")
    query = ListingQuery(
        limit, call.query.get("prefix", ""), marker, delimiter=call.query.get("delimiter", "")
    )
    listing = await call.service.list_container(call.user.account, call.bucket, query)
    items = listing.items
    rows = [item for item in items if isinstance(item, Row)]
    prefixes = [item for item in items if isinstance(item, CommonPrefix)] if query.delimiter else []
    last = items[-1] if items else ""
    return Page(rows, prefixes, listing.truncated, last.name if isinstance(last, Row) else str(last))


def entries(rows: list[Row], encode: Callable[[str], str], element: str, more: str, owner: str) -> str:
    """Return the entries of `rows`, each an `element` that also says `more` and names `owner`."""
    harmless = _PLAIN_IN_XML if encode is text else _PLAIN_IN_URL
    plain = not "".join([row.name for row in rows]).encode().translate(None, harmless)
    # with milliseconds: `aws s3 sync` sends again what the store dates before the file that it came from
    dates = {second: iso8601(second * _US_PER_S)[:-5] for second in {row.modified_us // _US_PER_S for row in rows}}
    tail = f"{owner}<StorageClass>STANDARD</StorageClass>{more}</{element}>"
    return "".join(
        [
            f"<{element}><Key>{name if plain else encode(name)}</Key>"
            f"<LastModified>{dates[modified_us // _US_PER_S]}{_MILLISECONDS[modified_us // 1000 % 1000]}</LastModified>"
            f"<ETag>&quot;{etag}&quot;</ETag>"
            f"{LISTED.get(extra.get('checksum', ''), '') if extra else ''}<Size>{size}</Size>{tail}"
            for name, _timestamp, _deleted, size, etag, _type, modified_us, _count, _stats, extra in rows
        ]
    )


def common_prefixes(prefixes: list[CommonPrefix], encode: Callable[[str], str]) -> str:
    """Return the elements of `prefixes`."""
    return "".join(
        [f"<CommonPrefixes><Prefix>{encode(prefix)}</Prefix></CommonPrefixes>" for prefix in prefixes]
    )


def _frame(call: Call, encode: Callable[[str], str], limit: int, truncated: bool) -> str:
    """Return what all listings begin with."""
    content = f"<Name>{text(call.bucket)}</Name><Prefix>{encode(call.query.get('prefix', ''))}</Prefix>"
    if call.query.get("delimiter"):
        content += f"<Delimiter>{encode(call.query['delimiter'])}</Delimiter>"
    if encode is url_encoded:
        content += "<EncodingType>url</EncodingType>"
    shown = "true" if truncated else "false"
    return f"{content}<MaxKeys>{limit}</MaxKeys><IsTruncated>{shown}</IsTruncated>"


async def list_objects(call: Call) -> Response:
    """Answer ListObjects, version 1."""
    encode = encoder(call)
    limit = call.number("max-keys", MAX_KEYS, 0, MAX_KEYS)
    marker = call.query.get("marker", "")
    page = await fetch(call, marker, limit)
    content = f"{_frame(call, encode, limit, page.truncated)}<Marker>{encode(marker)}</Marker>"
    if page.truncated and call.query.get("delimiter"):  # without one the last key serves
        content += f"<NextMarker>{encode(page.last)}</NextMarker>"
    content += entries(page.rows, encode, "Contents", "", person("Owner", call.user))
    return xml_response(document("ListBucketResult", content + common_prefixes(page.prefixes, encode)))


async def list_objects_v2(call: Call) -> Response:
    """Answer ListObjects, version 2."""
    query = call.query
    if query["list-type"] != "2":
        raise S3Error("InvalidArgument", ArgumentName="list-type", ArgumentValue=query["list-type"])
    encode = encoder(call)
    limit = call.number("max-keys", MAX_KEYS, 0, MAX_KEYS)
    token, start_after = query.get("continuation-token"), query.get("start-after", "")
    page = await fetch(call, decode_token(token) if token else start_after, limit)
    content = _frame(call, encode, limit, page.truncated)
    content += f"<KeyCount>{len(page.rows) + len(page.prefixes)}</KeyCount>"
    if token is not None:
        content += f"<ContinuationToken>{text(token)}</ContinuationToken>"
    if page.truncated:
        content += f"<NextContinuationToken>{encode_token(page.last)}</NextContinuationToken>"
    if start_after:
        content += f"<StartAfter>{encode(start_after)}</StartAfter>"
    owner = person("Owner", call.user) if query.get("fetch-owner", "").lower() == "true" else ""
    content += entries(page.rows, encode, "Contents", "", owner)
    return xml_response(document("ListBucketResult", content + common_prefixes(page.prefixes, encode)))


async def list_versions(call: Call) -> Response:
    """Answer ListObjectVersions: every object has one version, the null version."""
    encode = encoder(call)
    limit = call.number("max-keys", MAX_KEYS, 0, MAX_KEYS)
    marker, version_marker = call.query.get("key-marker", ""), call.query.get("version-id-marker", "")
    if version_marker and not marker:
        raise S3Error("InvalidArgument", "A version-id marker cannot be specified without a key marker.")
    page = await fetch(call, marker, limit)
    content = _frame(call, encode, limit, page.truncated) + f"<KeyMarker>{encode(marker)}</KeyMarker>"
    content += f"<VersionIdMarker>{text(version_marker)}</VersionIdMarker>"
    if page.truncated:
        content += f"<NextKeyMarker>{encode(page.last)}</NextKeyMarker>"
        content += "<NextVersionIdMarker>null</NextVersionIdMarker>"
    more = "<VersionId>null</VersionId><IsLatest>true</IsLatest>"
    content += entries(page.rows, encode, "Version", more, person("Owner", call.user))
    return xml_response(document("ListVersionsResult", content + common_prefixes(page.prefixes, encode)))


def encode_token(last: str) -> str:
    """Return a continuation token: opaque to clients, the page's last item to us."""
    return base64.urlsafe_b64encode(last.encode()).decode()


def decode_token(token: str) -> str:
    """Return the item after which to go on. Raise S3Error when it is no token of ours."""
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        message = "The continuation token provided is incorrect"
        raise S3Error("InvalidArgument", message, ArgumentName="continuation-token") from None
