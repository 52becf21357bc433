"""What it means that the caller's account has no such container."""

from proxy.s3.call import Call
from proxy.s3.errors import S3Error


async def missing_bucket(call: Call, bucket: str) -> S3Error:
    """Return the error for a bucket that is not among the caller's: another's, or nobody's."""
    owner = await call.service.bucket_owner(bucket)
    if owner is not None and owner != call.user.account:
        return S3Error("AccessDenied")
    return S3Error("NoSuchBucket", BucketName=bucket)
