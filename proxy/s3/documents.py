"""XML documents in requests: read whole, bounded, checked, parsed."""

import hashlib

from proxy.s3.call import Call
from proxy.s3.errors import S3Error
from proxy.s3.headers import content_md5
from proxy.s3.xml import Element, MalformedDocument, parse


async def read_document(call: Call, root: str, *, digest_required: bool = False) -> Element | None:
    """Return the document in the body, None when there is no body.

    Raise S3Error when its root is not called `root`, or when a digest is required and there is none.
    """
    data = bytearray()
    expected = content_md5(call.headers)
    while piece := await call.body.read():
        data += piece
        if len(data) > call.config.max_document_size:
            raise S3Error("MaxMessageLengthExceeded", MaxMessageLengthBytes=call.config.max_document_size)
    if expected is not None and hashlib.md5(data).hexdigest() != expected:
        raise S3Error("BadDigest")
    if digest_required and expected is None and not call.body.checksums:
        raise S3Error("InvalidRequest", "Missing required header for this request: Content-MD5")
    if not data:
        return None
    try:
        document = parse(bytes(data))
    except MalformedDocument:
        raise S3Error("MalformedXML") from None
    if document.name != root:
        raise S3Error("MalformedXML")
    return document
