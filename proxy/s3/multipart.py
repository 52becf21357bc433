"""Multipart uploads: create, upload parts, complete, abort, list.

The object service keeps uploads and parts, and puts the object together; what is checked here is what
S3 says of numbers, sizes and checksums.
"""

from collections.abc import Mapping
from itertools import pairwise

from proxy.checksums import ALGORITHMS
from proxy.http.dates import iso8601
from proxy.http.message import Response
from proxy.objects.model import CommonPrefix, CompletionCheck, NewObject, Part, Upload
from proxy.s3 import checksums, tags
from proxy.s3.call import Call
from proxy.s3.documents import read_document
from proxy.s3.errors import S3Error
from proxy.s3.headers import check_supported, content_md5, description, write_condition
from proxy.s3.listing import common_prefixes, encoder, url_encoded
from proxy.s3.objects import check_length
from proxy.s3.owner import person
from proxy.s3.responses import xml_response
from proxy.s3.xml import Element, document, text

MAX_PART_NUMBER = 10_000
MAX_PARTS = 1000  # of one page
MAX_UPLOADS = 1000  # of one page

PartRequest = tuple[int, str, Mapping[str, str]]  # number, etag, checksums as kept with a part


async def create_upload(call: Call) -> Response:
    """Begin an upload."""
    about = description(call.headers)
    requested = checksums.requested(call.headers)
    system = tags.of_headers(call.headers)
    if requested:
        system["checksums"] = requested
    new = NewObject(about.content_type, about.headers, about.user, system)
    upload_id = await call.service.create_upload(call.name, new)
    response = xml_response(
        document(
            "InitiateMultipartUploadResult",
            f"<Bucket>{text(call.bucket)}</Bucket><Key>{text(call.key)}</Key>"
            f"<UploadId>{text(upload_id)}</UploadId>",
        )
    )
    response.headers += checksums.fields(requested)
    return response


def part_number(call: Call) -> int:
    """Return the number of the part that is uploaded. Raise S3Error when there can't be such a part."""
    value = call.query.get("partNumber", "")
    if not (value.isascii() and value.isdigit() and len(value) <= 5 and 1 <= int(value) <= MAX_PART_NUMBER):
        message = f"Part number must be an integer between 1 and {MAX_PART_NUMBER}, inclusive"
        raise S3Error("InvalidArgument", message, ArgumentName="partNumber", ArgumentValue=value)
    return int(value)


async def upload_part(call: Call) -> Response:
    """Store a part."""
    number = part_number(call)
    check_length(call)
    check_supported(call.headers)
    expected_md5 = content_md5(call.headers)
    body = call.body

    def finish(md5: str) -> checksums.Kept:
        if expected_md5 is not None and md5 != expected_md5:
            raise S3Error("BadDigest", "The Content-MD5 you specified did not match what we received.")
        return checksums.kept_with_part(body.checksums)

    info = await call.service.put_part(
        call.name, call.query["uploadId"], number, body, NewObject("", finish=finish)
    )
    fields = [("ETag", f'"{info.metadata.etag}"'), *checksums.fields(info.metadata.row)]
    return Response(200, fields)


async def complete_upload(call: Call) -> Response:
    """Make the object of the parts that the request names."""
    root = await read_document(call, "CompleteMultipartUpload")
    if root is None:
        raise S3Error("InvalidRequest", "You must specify at least one part")
    parts = requested_parts(root)
    info = await call.service.complete_upload(
        call.name, call.query["uploadId"], parts, write_condition(call.headers), _check(call, parts)
    )
    return xml_response(
        document(
            "CompleteMultipartUploadResult",
            f"<Location>{text(_location(call))}</Location><Bucket>{text(call.bucket)}</Bucket>"
            f"<Key>{text(call.key)}</Key><ETag>&quot;{info.metadata.etag}&quot;</ETag>"
            + checksums.elements(info.metadata.system.get("checksums", {})),
        )
    )


def _location(call: Call) -> str:
    scheme = "https" if call.request.secure else "http"
    return f"{scheme}://{call.headers.get('host')}{call.request.path}"


def requested_parts(root: Element) -> list[PartRequest]:
    """Return the parts that a completion names. Raise S3Error when it names none, or not in order."""
    parts = [_requested_part(element) for element in root.find_all("Part")]
    if not parts or len(parts) > MAX_PART_NUMBER:
        raise S3Error("MalformedXML")
    numbers = [number for number, _etag, _checksums in parts]
    if any(number >= following for number, following in pairwise(numbers)):
        raise S3Error("InvalidPartOrder")
    return parts


def _requested_part(element: Element) -> PartRequest:
    number, etag = element.value("PartNumber"), element.value("ETag")
    if number is None or etag is None:
        raise S3Error("MalformedXML")
    digits = number.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
        raise S3Error("MalformedXML")
    stated = {
        name.lower(): value
        for name in ALGORITHMS
        if (value := element.value(f"Checksum{name}")) is not None
    }
    return int(digits), etag.strip().strip('"').lower(), stated


def _check(call: Call, requested: list[PartRequest]) -> CompletionCheck:
    """Return what refuses a completion, or gives the whole object's checksum."""
    demanded = checksums.demanded(call.headers)
    demanded_type = call.headers.get("x-amz-checksum-type").upper()
    size = call.headers.get("x-amz-mp-object-size")

    def check(upload: Upload, parts: list[Part]) -> checksums.Kept:
        for part, (number, _etag, stated) in zip(parts, requested, strict=True):
            if any(part.row.get(name, value) != value for name, value in stated.items()):
                raise S3Error("InvalidPart", PartNumber=number)
        if size and size != str(sum(part.size for part in parts)):
            raise S3Error("InvalidRequest", "The x-amz-mp-object-size does not match the parts' total size.")
        chosen = upload.system.get("checksums", {})
        if demanded_type and chosen and demanded_type != chosen["type"]:
            message = f"The upload was created using the {chosen['type']} checksum type."
            raise S3Error("InvalidRequest", f"{message} The complete request must use the same.")
        found = whole_checksum(chosen, demanded, parts)
        for algorithm, value in demanded.items():
            if found.get(algorithm, value).partition("-")[0] != value.partition("-")[0]:
                raise S3Error("BadDigest", f"The {algorithm} you specified did not match the calculated one.")
        kept = checksums.kept(found, chosen.get("type", checksums.FULL_OBJECT))
        return kept if found or not chosen else ({"checksums": {}}, {})

    return check


def whole_checksum(
    chosen: Mapping[str, str], demanded: Mapping[str, str], parts: list[Part]
) -> dict[str, str]:
    """Return the object's checksum by algorithm, {} when none was chosen or a part has none."""
    algorithm, kind = chosen.get("algorithm"), chosen.get("type", checksums.FULL_OBJECT)
    if algorithm is None and len(demanded) == 1:
        algorithm = next(iter(demanded))
    if algorithm is None:
        return {}
    value = checksums.of_parts(algorithm, kind, parts)
    return {} if value is None else {algorithm: value}


async def abort_upload(call: Call) -> Response:
    """Drop an upload and its parts."""
    await call.service.abort_upload(call.name, call.query["uploadId"])
    return Response(204)


async def list_parts(call: Call) -> Response:
    """List the parts of an upload, by number."""
    encode = encoder(call)
    limit = call.number("max-parts", MAX_PARTS, 1, MAX_PARTS)
    marker = call.number("part-number-marker", 0, 0)
    upload_id = call.query["uploadId"]
    page = await call.service.list_parts(call.name, upload_id, marker, limit)
    rows = "".join(
        f"<Part><PartNumber>{part.number}</PartNumber>"
        f"<LastModified>{iso8601(part.modified_us)}</LastModified><ETag>&quot;{part.etag}&quot;</ETag>"
        f"<Size>{part.size}</Size>{checksums.elements(part.row)}</Part>"
        for part in page.parts
    )
    last = page.parts[-1].number if page.parts else marker
    return xml_response(
        document(
            "ListPartsResult",
            f"<Bucket>{text(call.bucket)}</Bucket><Key>{encode(call.key)}</Key>"
            f"<UploadId>{text(upload_id)}</UploadId>{person('Initiator', call.user)}"
            f"{person('Owner', call.user)}<StorageClass>STANDARD</StorageClass>"
            f"<PartNumberMarker>{marker}</PartNumberMarker>"
            f"<NextPartNumberMarker>{last}</NextPartNumberMarker><MaxParts>{limit}</MaxParts>"
            f"<IsTruncated>{_boolean(page.truncated)}</IsTruncated>{_algorithm(page.upload)}{rows}",
        )
    )


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _algorithm(upload: Upload) -> str:
    chosen = upload.system.get("checksums")
    if not chosen:
        return ""
    return (
        f"<ChecksumAlgorithm>{chosen['algorithm']}</ChecksumAlgorithm>"
        f"<ChecksumType>{chosen['type']}</ChecksumType>"
    )


async def list_uploads(call: Call) -> Response:
    """List the uploads under way in a bucket, by key."""
    encode = encoder(call)
    query = call.query
    limit = call.number("max-uploads", MAX_UPLOADS, 1, MAX_UPLOADS)
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    key_marker = query.get("key-marker", "")
    id_marker = query.get("upload-id-marker", "") if key_marker else ""
    page = await call.service.list_uploads(
        call.user.account, call.bucket, prefix, delimiter, key_marker, id_marker, limit
    )
    people = person("Initiator", call.user) + person("Owner", call.user)
    rows = "".join(
        f"<Upload><Key>{encode(item.object)}</Key><UploadId>{text(item.upload_id)}</UploadId>{people}"
        f"<StorageClass>STANDARD</StorageClass><Initiated>{iso8601(item.created_us)}</Initiated>"
        f"{_algorithm(item)}</Upload>"
        for item in page.items
        if isinstance(item, Upload)
    )
    content = (
        f"<Bucket>{text(call.bucket)}</Bucket><KeyMarker>{encode(key_marker)}</KeyMarker>"
        f"<UploadIdMarker>{text(id_marker)}</UploadIdMarker><Prefix>{encode(prefix)}</Prefix>"
        f"<MaxUploads>{limit}</MaxUploads><IsTruncated>{_boolean(page.truncated)}</IsTruncated>"
    )
    if delimiter:
        content += f"<Delimiter>{encode(delimiter)}</Delimiter>"
    if encode is url_encoded:
        content += "<EncodingType>url</EncodingType>"
    if page.truncated and page.items:
        last = page.items[-1]
        key, upload_id = (last.object, last.upload_id) if isinstance(last, Upload) else (last, "")
        content += f"<NextKeyMarker>{encode(key)}</NextKeyMarker>"
        content += f"<NextUploadIdMarker>{text(upload_id)}</NextUploadIdMarker>"
    prefixes = [item for item in page.items if isinstance(item, CommonPrefix)]
    return xml_response(
        document("ListMultipartUploadsResult", content + rows + common_prefixes(prefixes, encode))
    )
