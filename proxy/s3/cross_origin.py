"""Requests of pages of other origins: preflights, what answers say to such pages, and a bucket's rules for them.

The rules are kept in the container's metadata. A preflight is not signed; it learns of a bucket no more than whether
its rules allow what it announces.
"""

from collections.abc import Sequence

from proxy.http.message import Request, Response
from proxy.objects.errors import NoSuchContainer, ObjectServiceError
from proxy.s3 import cors
from proxy.s3.call import Call, require_bucket
from proxy.s3.documents import read_document
from proxy.s3.errors import S3Error
from proxy.s3.interfaces import ObjectService
from proxy.s3.responses import xml_response

_KEPT = "s3-cors"  # in a container's metadata

_DISABLED = "CORSResponse: CORS is not enabled for this bucket."
_REFUSED = (
    "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method "
    "/ Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."
)


async def preflight(service: ObjectService, request: Request, bucket: str) -> Response:
    """Answer whether a page may send the request that it announces. Raise S3Error when not."""
    headers = request.headers
    if "origin" not in headers:
        raise S3Error("BadRequest", "Insufficient information. Origin request header needed.")
    if cors.METHOD_FIELD not in headers:
        raise S3Error("BadRequest", "Invalid Access-Control-Request-Method: null")
    rules = await _rules(service, bucket)
    if not rules:
        raise S3Error("AccessForbidden", _DISABLED)
    fields = cors.answer_fields(rules, headers, headers.get(cors.METHOD_FIELD))
    if not fields:
        raise S3Error("AccessForbidden", _REFUSED)
    return Response(200, fields)


async def fields_for_origin(service: ObjectService, request: Request, bucket: str) -> cors.Fields:
    """Return what any other answer says to the page that has asked; nothing when that cannot be found out."""
    try:
        rules = await _rules(service, bucket)
    except ObjectServiceError:
        return []
    return cors.answer_fields(rules, request.headers, request.headers.get(cors.METHOD_FIELD, request.method))


async def _rules(service: ObjectService, bucket: str) -> Sequence[cors.Rule]:
    owner = await service.bucket_owner(bucket) if bucket else None
    if owner is None:
        return []
    try:
        info = await service.container_info(owner, bucket)
    except NoSuchContainer:
        return []
    kept = info.metadata.get(_KEPT)
    return cors.unpack(kept) if kept else []


async def get_bucket_cors(call: Call) -> Response:
    """Show a bucket's rules."""
    info = await call.service.container_info(call.user.account, call.bucket)
    kept = info.metadata.get(_KEPT)
    if not kept:
        raise S3Error("NoSuchCORSConfiguration", BucketName=call.bucket)
    return xml_response(cors.render(cors.unpack(kept)))


async def put_bucket_cors(call: Call) -> Response:
    """Give a bucket other rules."""
    await require_bucket(call)
    root = await read_document(call, "CORSConfiguration")
    if root is None:
        raise S3Error("MissingRequestBodyError")
    kept = cors.pack(cors.parse(root))
    await call.service.update_container(call.user.account, call.bucket, {_KEPT: kept})
    return Response(200)


async def delete_bucket_cors(call: Call) -> Response:
    """Take a bucket's rules away."""
    await call.service.update_container(call.user.account, call.bucket, {_KEPT: None})
    return Response(204)
