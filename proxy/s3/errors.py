"""What S3 tells a client that went wrong: codes, statuses, messages, and their XML.

Source: Amazon S3 API Reference, "Error responses", "List of error codes". One table says what a
code means, another what each error of the object service is called here. A handler raises
`S3Error`; only the application turns one into a response.
"""

from proxy.objects.errors import (
    BodyTooLarge,
    ContainerNotEmpty,
    ContainerTaken,
    InvalidPart,
    NameContended,
    NoSuchContainer,
    NoSuchObject,
    NoSuchUpload,
    ObjectServiceError,
    OutOfSpace,
    PartTooSmall,
    QuotaExceeded,
    RangeNotSatisfiable,
    SegmentChanged,
    Unavailable,
)
from proxy.s3.xml import CONTENT_TYPE, text

# code -> (HTTP status, default message)
CODES: dict[str, tuple[int, str]] = {
    "AccessDenied": (403, "Access Denied"),
    "AccessForbidden": (403, "Access forbidden"),
    "AccessControlListNotSupported": (400, "The bucket does not allow ACLs."),
    "AuthorizationHeaderMalformed": (400, "The authorization header that you provided is not valid."),
    "AuthorizationQueryParametersError": (400, "The authorization query parameters are not valid."),
    "BadRequest": (400, "An error occurred when parsing the HTTP request."),
    "BadDigest": (400, "The Content-MD5 or checksum you specified did not match what we received."),
    "BucketAlreadyExists": (
        409,
        "The requested bucket name is not available. All users share the bucket namespace.",
    ),
    "BucketAlreadyOwnedByYou": (
        409,
        "Your previous request to create the named bucket succeeded and you already own it.",
    ),
    "BucketNotEmpty": (409, "The bucket that you tried to delete is not empty."),
    "ConditionalRequestConflict": (
        409,
        "A conflicting operation occurred during the conditional request. Try again.",
    ),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed object size."),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed size."),
    "ExpiredToken": (400, "The provided token has expired."),
    "IllegalLocationConstraintException": (
        400,
        "The specified location constraint is incompatible with the region of this endpoint.",
    ),
    "IncompleteBody": (
        400,
        "You did not provide the number of bytes specified by the Content-Length HTTP header.",
    ),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "InvalidAccessKeyId": (403, "The access key ID that you provided does not exist in our records."),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidBucketState": (409, "The request is not valid for the current state of the bucket."),
    "InvalidDigest": (400, "The Content-MD5 or checksum value that you specified is not valid."),
    "InvalidEncryptionAlgorithmError": (400, "The encryption request that you specified is not valid."),
    "InvalidLocationConstraint": (400, "The specified location (Region) constraint is not valid."),
    "InvalidPart": (
        400,
        "One or more of the specified parts could not be found, or its entity tag did not match.",
    ),
    "InvalidPartOrder": (
        400,
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
    ),
    "InvalidPolicyDocument": (400, "The content of the form does not meet the conditions of the policy document."),
    "InvalidRange": (416, "The requested range is not satisfiable"),
    "InvalidRequest": (400, "Invalid Request"),
    "InvalidStorageClass": (400, "The storage class that you specified is not valid."),
    "InvalidTag": (400, "The tag provided was not a valid tag."),
    "InvalidToken": (400, "The provided token is malformed or otherwise not valid."),
    "InvalidURI": (400, "Couldn't parse the specified URI."),
    "KeyTooLongError": (400, "Your key is too long"),
    "MalformedPOSTRequest": (400, "The body of your POST request is not well-formed multipart/form-data."),
    "MalformedXML": (
        400,
        "The XML that you provided was not well-formed or did not validate against our published schema.",
    ),
    "MaxMessageLengthExceeded": (400, "Your request was too large."),
    "MaxPostPreDataLengthExceededError": (
        400,
        "Your POST request fields preceding the upload file were too large.",
    ),
    "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size."),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "MissingRequestBodyError": (400, "Request body is empty."),
    "MissingSecurityHeader": (400, "Your request is missing a required header."),
    "NoSuchBucket": (404, "The specified bucket does not exist"),
    "NoSuchBucketPolicy": (404, "The bucket policy does not exist"),
    "NoSuchConfiguration": (404, "The specified configuration does not exist."),
    "NoSuchCORSConfiguration": (404, "The CORS configuration does not exist"),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchLifecycleConfiguration": (404, "The lifecycle configuration does not exist"),
    "NoSuchObjectLockConfiguration": (404, "The specified object does not have a ObjectLock configuration"),
    "NoSuchPublicAccessBlockConfiguration": (404, "The public access block configuration was not found"),
    "NoSuchTagSet": (404, "The TagSet does not exist"),
    "NoSuchUpload": (404, "The specified upload does not exist. It may be invalid, aborted or completed."),
    "NoSuchVersion": (404, "The specified version does not exist."),
    "NoSuchWebsiteConfiguration": (404, "The specified bucket does not have a website configuration"),
    "NotImplemented": (
        501,
        "A header or operation you provided implies functionality that is not implemented.",
    ),
    "ObjectLockConfigurationNotFoundError": (
        404,
        "Object Lock configuration does not exist for this bucket",
    ),
    "OperationAborted": (
        409,
        "A conflicting conditional operation is currently in progress against this resource. Try again.",
    ),
    "OwnershipControlsNotFoundError": (404, "The bucket ownership controls were not found"),
    "PreconditionFailed": (412, "At least one of the pre-conditions you specified did not hold"),
    "QuotaExceeded": (403, "The bucket or its owner may not store more."),
    "ReplicationConfigurationNotFoundError": (404, "The replication configuration was not found"),
    "RequestHeaderSectionTooLarge": (
        400,
        "Your request header section exceeds the maximum allowed request header section size.",
    ),
    "RequestTimeTooSkewed": (
        403,
        "The difference between the request time and the server's time is too large.",
    ),
    "RequestTimeout": (
        400,
        "Your socket connection to the server was not read from or written to within the timeout period.",
    ),
    "ServerSideEncryptionConfigurationNotFoundError": (
        404,
        "The server side encryption configuration was not found",
    ),
    "ServiceUnavailable": (503, "Service is unable to handle request."),
    "SignatureDoesNotMatch": (
        403,
        "The request signature we calculated does not match the signature you provided.",
    ),
    "SlowDown": (503, "Please reduce your request rate."),
    "TooManyBuckets": (400, "You have attempted to create more buckets than allowed."),
    "UnsupportedArgument": (400, "The request contained an unsupported argument."),
    "UserKeyMustBeSpecified": (400, "The bucket POST must contain the specified field name."),
    "XAmzContentSHA256Mismatch": (
        400,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    ),
}


class S3Error(Exception):
    """An error of the S3 API. `details` become elements of the answer, in order, by their names."""

    def __init__(self, code: str, message: str | None = None, **details: str | int) -> None:
        self.status, default = CODES[code]
        self.code = code
        self.message = message or default
        self.details = details
        super().__init__(f"{code}: {self.message}")


# most particular first: error of the object service -> (code, message where the default would mislead)
_TRANSLATIONS: tuple[tuple[type[ObjectServiceError], str, str | None], ...] = (
    (NoSuchObject, "NoSuchKey", None),
    (NoSuchContainer, "NoSuchBucket", None),
    (NoSuchUpload, "NoSuchUpload", None),
    (ContainerNotEmpty, "BucketNotEmpty", None),
    (ContainerTaken, "BucketAlreadyExists", None),
    (PartTooSmall, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size"),
    (NameContended, "ConditionalRequestConflict", None),
    (Unavailable, "ServiceUnavailable", "Too few storage nodes answered. Please try again."),
    (OutOfSpace, "ServiceUnavailable", "The storage devices are full."),
    (BodyTooLarge, "EntityTooLarge", None),
    (QuotaExceeded, "QuotaExceeded", None),
    (SegmentChanged, "OperationAborted", "A segment of this large object is missing or has changed."),
)


def translate(error: ObjectServiceError) -> S3Error:
    """Return what S3 calls an error of the object service."""
    if isinstance(error, RangeNotSatisfiable):
        return S3Error("InvalidRange", ActualObjectSize=error.size)
    if isinstance(error, InvalidPart) and not isinstance(error, PartTooSmall):
        return S3Error("InvalidPartOrder" if error.reason == "order" else "InvalidPart")
    for kind, code, message in _TRANSLATIONS:
        if isinstance(error, kind):
            return S3Error(code, message)
    return S3Error("InternalError")


_CODES_OF_STATUSES = {
    403: "AccessDenied",
    408: "RequestTimeout",
    411: "MissingContentLength",
    413: "EntityTooLarge",
    414: "InvalidURI",
    416: "InvalidRange",
    431: "RequestHeaderSectionTooLarge",
    501: "NotImplemented",
    503: "SlowDown",
}


def code_of_status(status: int) -> str:
    """Return the code for an error that was found where only HTTP is known."""
    return _CODES_OF_STATUSES.get(status, "InvalidRequest" if status < 500 else "InternalError")


# SDKs wait some 50 ms before they try again, and give up within a second, unless they are told to wait longer
_TRY_AGAIN_LATER = (("Retry-After", "1"), ("x-amz-retry-after", "1000"))  # seconds; milliseconds, which SDKs heed


def fields_of(error: S3Error) -> list[tuple[str, str]]:
    """Return the header fields of the answer that `error` is."""
    later = _TRY_AGAIN_LATER if error.status == 503 else ()
    return [("Content-Type", CONTENT_TYPE), *later]


def render(error: S3Error, resource: str, request_id: str, host_id: str) -> bytes:
    """Return the XML document that answers `error`."""
    details = "".join(f"<{name}>{text(str(value))}</{name}>" for name, value in error.details.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{error.code}</Code><Message>{text(error.message)}</Message>{details}"
        f"<Resource>{text(resource)}</Resource><RequestId>{text(request_id)}</RequestId>"
        f"<HostId>{text(host_id)}</HostId></Error>"
    ).encode("utf-8", "replace")
