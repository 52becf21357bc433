"""Buckets: create, look at, delete, list.

A bucket's name is claimed first, then the container is made. Should that fail in between, the claim
stays with the caller, who may try again.
"""

from proxy.http.dates import iso8601
from proxy.http.message import Response
from proxy.objects.errors import ContainerTaken, NoSuchContainer
from proxy.objects.model import CommonPrefix, ListingQuery
from proxy.s3.call import Call, require_bucket
from proxy.s3.documents import read_document
from proxy.s3.errors import S3Error
from proxy.s3.headers import check_supported
from proxy.s3.listing import decode_token, encode_token
from proxy.s3.names import is_bucket_name
from proxy.s3.owner import person
from proxy.s3.responses import xml_response
from proxy.s3.xml import Element, document, text

DEFAULT_REGION = "us-east-1"  # where AWS says nothing about location, and creating twice is no error
MAX_BUCKETS = 10_000  # of one answer


async def create_bucket(call: Call) -> Response:
    """Make a bucket of the caller's."""
    _check_options(call)
    configuration = await read_document(call, "CreateBucketConfiguration")
    if configuration is not None:
        _check_configuration(call, configuration)
    service, account = call.service, call.user.account
    try:
        if not is_bucket_name(call.bucket):
            raise S3Error("InvalidBucketName", BucketName=call.bucket)
        await service.claim_bucket(call.bucket, account)
    except (ContainerTaken, S3Error):
        if not await _is_own(call):  # made by Swift
            raise
        return _already_owned(call)
    if not await service.create_container(account, call.bucket, {}):
        return _already_owned(call)
    return Response(200, [("Location", f"/{call.bucket}")])


def _check_options(call: Call) -> None:
    headers = call.headers
    check_supported(headers)
    if headers.get("x-amz-bucket-object-lock-enabled").lower() == "true":
        raise S3Error("NotImplemented", Header="x-amz-bucket-object-lock-enabled")
    if headers.get("x-amz-object-ownership", "BucketOwnerEnforced") != "BucketOwnerEnforced":
        raise S3Error("NotImplemented", Header="x-amz-object-ownership")


def _check_configuration(call: Call, configuration: Element) -> None:
    if any(child.name != "LocationConstraint" for child in configuration.children):
        raise S3Error("NotImplemented")
    constraint = configuration.value("LocationConstraint")
    if constraint and constraint != call.config.region:
        raise S3Error("InvalidLocationConstraint", LocationConstraint=constraint)


async def _is_own(call: Call) -> bool:
    try:
        await require_bucket(call)
    except NoSuchContainer:
        return False
    return True


def _already_owned(call: Call) -> Response:
    if call.config.region != DEFAULT_REGION:
        raise S3Error("BucketAlreadyOwnedByYou", BucketName=call.bucket)
    return Response(200, [("Location", f"/{call.bucket}")])


async def head_bucket(call: Call) -> Response:
    """Tell whether the bucket is there and the caller's."""
    await require_bucket(call)
    fields = [
        ("x-amz-bucket-region", call.config.region),
        ("x-amz-access-point-alias", "false"),
        ("Content-Type", "application/xml"),
    ]
    return Response(200, fields)


async def delete_bucket(call: Call) -> Response:
    """Delete an empty bucket, and give its name back."""
    await call.service.delete_container(call.user.account, call.bucket)
    await call.service.release_bucket(call.bucket, call.user.account)
    return Response(204)


async def get_bucket_location(call: Call) -> Response:
    """Name the region."""
    await require_bucket(call)
    region = "" if call.config.region == DEFAULT_REGION else text(call.config.region)
    return xml_response(document("LocationConstraint", region))


async def list_buckets(call: Call) -> Response:
    """List the caller's buckets, by name."""
    limit = call.number("max-buckets", MAX_BUCKETS, 1, MAX_BUCKETS)
    prefix = call.query.get("prefix", "")
    if call.query.get("bucket-region", call.config.region) != call.config.region:
        rows, truncated = [], False
    else:
        query = ListingQuery(limit, prefix, decode_token(call.query.get("continuation-token", "")))
        listing = await call.service.list_account(call.user.account, query)
        rows = [row for row in listing.items if not isinstance(row, CommonPrefix)]
        truncated = listing.truncated
    region = text(call.config.region)
    buckets = "".join(
        f"<Bucket><Name>{text(row.name)}</Name><CreationDate>{iso8601(row.modified_us)}</CreationDate>"
        f"<BucketRegion>{region}</BucketRegion></Bucket>"
        for row in rows
    )
    content = f"{person('Owner', call.user)}<Buckets>{buckets}</Buckets>"
    if prefix:
        content += f"<Prefix>{text(prefix)}</Prefix>"
    if truncated:
        content += f"<ContinuationToken>{encode_token(rows[-1].name)}</ContinuationToken>"
    return xml_response(document("ListAllMyBucketsResult", content))
