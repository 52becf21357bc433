"""What AWS lets one configure of a bucket or an object and we do not have.

Reading answers as AWS does where nothing is configured, since clients look before they begin;
deleting what is not there succeeds; writing is refused, so that nobody believes in it.
"""

from collections.abc import Awaitable, Callable

from proxy.http.message import Response
from proxy.s3.call import Call, require_bucket
from proxy.s3.errors import S3Error
from proxy.s3.headers import check_supported
from proxy.s3.owner import access_control_policy
from proxy.s3.responses import empty_document, xml_response
from proxy.s3.xml import document

Handler = Callable[[Call], Awaitable[Response]]

# subresource of a bucket -> the error that says it is not configured
ABSENT = {
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "metadataConfiguration": "NoSuchConfiguration",
    "metadataTable": "NoSuchConfiguration",
    "object-lock": "ObjectLockConfigurationNotFoundError",
    "ownershipControls": "OwnershipControlsNotFoundError",
    "policy": "NoSuchBucketPolicy",
    "policyStatus": "NoSuchBucketPolicy",
    "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
    "replication": "ReplicationConfigurationNotFoundError",
    "website": "NoSuchWebsiteConfiguration",
}

# subresource of a bucket -> the document that says so
EMPTY = {
    "accelerate": "AccelerateConfiguration",
    "logging": "BucketLoggingStatus",
    "notification": "NotificationConfiguration",
    "versioning": "VersioningConfiguration",
}

# subresource of a bucket of which there may be several -> the list of them
LISTS = {
    "analytics": "ListBucketAnalyticsConfigurationResult",
    "intelligent-tiering": "ListBucketIntelligentTieringConfigurationsOutput",
    "inventory": "ListInventoryConfigurationsResult",
    "metrics": "ListMetricsConfigurationsResult",
}

NAMES = frozenset({*ABSENT, *EMPTY, *LISTS, "requestPayment"})


def absent(code: str) -> Handler:
    """Return the handler that answers `code`."""

    async def handler(call: Call) -> Response:
        await require_bucket(call)
        raise S3Error(code, BucketName=call.bucket)

    return handler


def empty(root: str) -> Handler:
    """Return the handler that answers with an empty document."""

    async def handler(call: Call) -> Response:
        await require_bucket(call)
        return empty_document(root)

    return handler


def no_items(root: str) -> Handler:
    """Return the handler that lists nothing, and finds nothing by id."""

    async def handler(call: Call) -> Response:
        await require_bucket(call)
        if "id" in call.query:
            raise S3Error("NoSuchConfiguration", BucketName=call.bucket)
        return xml_response(document(root, "<IsTruncated>false</IsTruncated>"))

    return handler


async def get_request_payment(call: Call) -> Response:
    """Tell who pays."""
    await require_bucket(call)
    return xml_response(document("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"))


async def delete_configuration(call: Call) -> Response:
    """Delete what is not there."""
    await require_bucket(call)
    return Response(204)


async def refuse(call: Call) -> Response:
    """Refuse what can't be kept."""
    await require_bucket(call)
    raise S3Error("NotImplemented")


async def get_bucket_acl(call: Call) -> Response:
    """Show that the bucket is its owner's."""
    await require_bucket(call)
    return xml_response(access_control_policy(call.user))


async def get_object_acl(call: Call) -> Response:
    """Show that the object is its owner's."""
    await call.service.head_object(call.name)
    return xml_response(access_control_policy(call.user))


async def put_bucket_acl(call: Call) -> Response:
    """Accept what holds anyway: a canned list that leaves all to the owner."""
    _check_canned(call)
    await require_bucket(call)
    return Response(200)


async def put_object_acl(call: Call) -> Response:
    """Accept what holds anyway: a canned list that leaves all to the owner."""
    _check_canned(call)
    await call.service.head_object(call.name)
    return Response(200)


def _check_canned(call: Call) -> None:
    check_supported(call.headers)
    if "x-amz-acl" not in call.headers:
        raise S3Error("NotImplemented", "Only the canned access control list \"private\" can be set.")


async def get_object_lock(call: Call) -> Response:
    """Say that the bucket has no locks."""
    await call.service.head_object(call.name)
    raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")
