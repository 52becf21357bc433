"""DeleteObjects: up to 1000 keys in one request, each with its own outcome."""

import asyncio
from typing import NamedTuple

from proxy.http.message import Headers, Response
from proxy.objects.errors import ObjectServiceError
from proxy.objects.model import ObjectName
from proxy.s3.call import Call, require_bucket
from proxy.s3.documents import read_document
from proxy.s3.errors import S3Error, translate
from proxy.s3.headers import write_condition
from proxy.s3.names import check_key
from proxy.s3.objects import no_such_version
from proxy.s3.responses import xml_response
from proxy.s3.xml import Element, document, text

MAX_KEYS = 1000
AT_ONCE = 32  # deletions of one request under way


class _Item(NamedTuple):
    """A key to delete."""

    key: str
    version_id: str | None
    etag: str | None  # the object's, or it stays
    unsupported: bool  # says more than we can check


async def delete_objects(call: Call) -> Response:
    """Delete what the request's document names."""
    root = await read_document(call, "Delete", digest_required=True)
    if root is None:
        raise S3Error("MissingRequestBodyError")
    items = [_item(element) for element in root.find_all("Object")]
    if not items or len(items) > MAX_KEYS:
        raise S3Error("MalformedXML")
    await require_bucket(call)
    outcomes = await _delete_all(call, items)
    quiet = (root.value("Quiet") or "").strip().lower() == "true"
    content = "".join(
        _outcome(item, error, quiet) for item, error in zip(items, outcomes, strict=True)
    )
    return xml_response(document("DeleteResult", content))


def _item(element: Element) -> _Item:
    key = element.value("Key")
    if not key:
        raise S3Error("MalformedXML")
    unsupported = element.find("LastModifiedTime") is not None or element.find("Size") is not None
    return _Item(key, element.value("VersionId"), element.value("ETag"), unsupported)


async def _delete_all(call: Call, items: list[_Item]) -> list[S3Error | None]:
    """Return how each deletion ended."""
    outcomes: list[S3Error | None] = [None] * len(items)
    waiting = iter(enumerate(items))

    async def work() -> None:
        for index, item in waiting:
            outcomes[index] = await _delete(call, item)

    await asyncio.gather(*(work() for _worker in range(min(AT_ONCE, len(items)))))
    return outcomes


async def _delete(call: Call, item: _Item) -> S3Error | None:
    try:
        check_key(item.key)
        if item.version_id not in (None, "", "null"):
            raise no_such_version(item.version_id or "")
        if item.unsupported:
            raise S3Error("NotImplemented")
        condition = None if item.etag is None else write_condition(Headers([("if-match", item.etag)]))
        await call.service.delete_object(
            ObjectName(call.user.account, call.bucket, item.key), condition
        )
    except S3Error as error:
        return error
    except ObjectServiceError as error:
        return translate(error)
    return None


def _outcome(item: _Item, error: S3Error | None, quiet: bool) -> str:
    if error is None and quiet:
        return ""
    shown = f"<Key>{text(item.key)}</Key>"
    if item.version_id is not None:
        shown += f"<VersionId>{text(item.version_id)}</VersionId>"
    if error is None:
        return f"<Deleted>{shown}</Deleted>"
    return f"<Error>{shown}<Code>{error.code}</Code><Message>{text(error.message)}</Message></Error>"
