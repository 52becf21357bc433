"""GetObjectAttributes: an object's size, checksums and parts without its bytes."""

from proxy.http.dates import http_date
from proxy.http.message import Response
from proxy.objects.model import ObjectInfo, Segment
from proxy.s3 import checksums
from proxy.s3.call import Call
from proxy.s3.errors import S3Error
from proxy.s3.headers import check_read
from proxy.s3.objects import check_version
from proxy.s3.responses import xml_response
from proxy.s3.xml import document

ATTRIBUTES = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})
MAX_PARTS = 1000


async def get_object_attributes(call: Call) -> Response:
    """Answer with the attributes that x-amz-object-attributes names."""
    check_version(call)
    names = {name.strip() for name in call.headers.get("x-amz-object-attributes").split(",")}
    if not names <= ATTRIBUTES:
        raise S3Error("InvalidArgument", "Invalid attribute name specified.")
    if "ObjectParts" in names:
        info, segments = await call.service.segments(call.name)
    else:
        info, segments = await call.service.head_object(call.name), []
    if not check_read(call.headers, info):
        return Response(304)
    response = xml_response(document("GetObjectAttributesResponse", _content(call, info, names, segments)))
    response.headers.append(("Last-Modified", http_date(info.metadata.modified_us)))
    return response


def _content(call: Call, info: ObjectInfo, names: set[str], segments: list[Segment]) -> str:
    content = ""
    if "ETag" in names:
        content += f"<ETag>{info.metadata.etag}</ETag>"
    kept = info.metadata.system.get("checksums")
    if "Checksum" in names and kept:
        content += f"<Checksum>{checksums.elements(kept)}</Checksum>"
    if "ObjectParts" in names and info.manifest:
        content += _parts(call, segments)
    if "StorageClass" in names:
        content += "<StorageClass>STANDARD</StorageClass>"
    if "ObjectSize" in names:
        content += f"<ObjectSize>{info.metadata.size}</ObjectSize>"
    return content


def _parts(call: Call, segments: list[Segment]) -> str:
    limit = _number(call, "x-amz-max-parts", MAX_PARTS)
    marker = _number(call, "x-amz-part-number-marker", 0)
    numbered = [(segment.number or index + 1, segment) for index, segment in enumerate(segments)]
    wanted = [(number, segment) for number, segment in numbered if number > marker]
    page = wanted[: min(limit, MAX_PARTS)]
    rows = "".join(
        f"<Part><PartNumber>{number}</PartNumber><Size>{segment.size}</Size>"
        f"{checksums.elements(segment.row or {})}</Part>"
        for number, segment in page
    )
    truncated = "true" if len(page) < len(wanted) else "false"
    return (
        f"<ObjectParts><PartsCount>{len(segments)}</PartsCount><PartNumberMarker>{marker}</PartNumberMarker>"
        f"<NextPartNumberMarker>{page[-1][0] if page else marker}</NextPartNumberMarker>"
        f"<MaxParts>{limit}</MaxParts><IsTruncated>{truncated}</IsTruncated>{rows}</ObjectParts>"
    )


def _number(call: Call, header: str, default: int) -> int:
    value = call.headers.get(header)
    if not value:
        return default
    if not (value.isascii() and value.isdigit() and len(value) <= 9):
        raise S3Error("InvalidArgument", ArgumentName=header, ArgumentValue=value)
    return int(value)
