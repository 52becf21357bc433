"""The bucket of the cluster's own backups is made when it is first needed; others have to be there."""

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from blockgw.backup.errors import TargetFailed
from blockgw.backup.target import Address

_THERE = frozenset(("BucketAlreadyOwnedByYou", "BucketAlreadyExists", "409"))


def ensure_bucket(address: Address, endpoint: str | None) -> None:
    """Make the bucket of an S3 that is told by its endpoint: the cluster's own. Raise TargetFailed."""
    if address.scheme != "s3" or endpoint is None:
        return
    try:
        config = Config(s3={"addressing_style": "path"}, retries={"mode": "standard", "total_max_attempts": 10})
        client = boto3.client("s3", endpoint_url=endpoint, config=config)
        try:
            client.head_bucket(Bucket=address.bucket)
        except ClientError as error:
            if str(error.response.get("Error", {}).get("Code")) not in ("404", "NoSuchBucket", "NotFound"):
                raise
            client.create_bucket(Bucket=address.bucket)
    except ClientError as error:
        if str(error.response.get("Error", {}).get("Code")) not in _THERE:
            raise TargetFailed(f"bucket {address.bucket} cannot be made: {error}") from error
    except BotoCoreError as error:
        raise TargetFailed(f"bucket {address.bucket} cannot be made: {error}") from error
