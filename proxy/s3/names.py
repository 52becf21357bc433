"""Names of buckets and keys: what may be created, and how a request says which it means. No I/O.

Source: Amazon S3 User Guide, "Bucket naming rules", "Creating object key names", "Virtual hosting of
buckets". The rules bind new buckets only: containers that Swift made are buckets by whatever name.
"""

import re

from proxy.http.text import percent_decode
from proxy.s3.errors import S3Error

MAX_KEY_SIZE = 1024  # bytes of UTF-8
_BYTES_PER_CHARACTER = 4  # at most
_SURE_KEY_LENGTH = MAX_KEY_SIZE // _BYTES_PER_CHARACTER

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_EMPTY_LABEL = re.compile(r"\.\.|\.-|-\.")
_ADDRESS = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\Z")


def is_bucket_name(name: str) -> bool:
    """Tell whether a bucket of this name may be created."""
    return _BUCKET.match(name) is not None and not _EMPTY_LABEL.search(name) and not _ADDRESS.match(name)


def check_key(key: str) -> None:
    """Raise S3Error when no object may have this key."""
    if len(key) > _SURE_KEY_LENGTH:
        size = len(key.encode())
        if size > MAX_KEY_SIZE:
            raise S3Error("KeyTooLongError", Size=size, MaxSizeAllowed=MAX_KEY_SIZE)


def locate(path: str, bucket: str) -> tuple[str, str]:
    """Return the bucket and the key that a raw path names, "" for none; `bucket` is what the Host names.

    Raise BadEncoding; no name with a NUL gets past it.
    """
    if bucket:
        return bucket, percent_decode(path[1:])
    bucket, _slash, key = path[1:].partition("/")
    bucket = percent_decode(bucket)
    if "/" in bucket or (key and not bucket):
        raise S3Error("InvalidBucketName", BucketName=bucket)
    return bucket, percent_decode(key)


def virtual_bucket(host: str, domains: tuple[str, ...]) -> str:
    """Return the bucket in BUCKET.DOMAIN, "" when `host` is not below a domain. A domain may be below another."""
    name = (host.rpartition(":")[0] if host[-1:].isdigit() and ":" in host else host).lower()
    if name in domains:
        return ""
    above = max((domain for domain in domains if name.endswith("." + domain)), key=len, default="")
    return name[: -len(above) - 1] if above else ""
