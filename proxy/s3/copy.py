"""Copies on the server's side: of an object, of an object onto itself, of bytes into a part."""

import re
from collections.abc import Callable

from cluster.clock import ZERO, wall_us
from proxy.checksums import Checksum, encode, new_checksum
from proxy.http.dates import iso8601
from proxy.http.message import Buffer, Response
from proxy.http.text import percent_decode
from proxy.objects.errors import NoSuchContainer, NoSuchObject, RangeNotSatisfiable
from proxy.objects.model import NewObject, ObjectInfo, ObjectName, ObjectReader
from proxy.s3 import checksums, tags
from proxy.s3.absence import missing_bucket
from proxy.s3.call import Call, require_bucket
from proxy.s3.errors import S3Error
from proxy.s3.headers import Description, check_supported, copy_condition, description, write_condition
from proxy.s3.multipart import part_number
from proxy.s3.names import check_key
from proxy.s3.objects import no_such_version
from proxy.s3.responses import xml_response
from proxy.s3.xml import document
from storage.metadata import ObjectMetadata

_RANGE = re.compile(r"bytes=(\d{1,19})-(\d{1,19})", re.ASCII)
_VERSION = "?versionId="


class ReaderBody:
    """An opened object as the body of a write; counts a checksum on the way."""

    def __init__(self, reader: ObjectReader, checksum: Checksum | None) -> None:
        self._reader = reader
        self._checksum = checksum

    @property
    def length(self) -> int | None:
        """Return how many bytes will come."""
        return self._reader.end - self._reader.start

    async def read(self) -> Buffer:
        """Return the next piece."""
        piece = await anext(self._reader.pieces, b"")
        if self._checksum is not None:
            self._checksum.update(piece)
        return piece


def copy_source(call: Call) -> ObjectName:
    """Return the object that x-amz-copy-source names. Raise S3Error."""
    value, marker, version_id = call.headers.get("x-amz-copy-source").partition(_VERSION)
    if marker and version_id != "null":
        raise no_such_version(version_id)
    bucket, _slash, key = percent_decode(value).removeprefix("/").partition("/")
    if not bucket or not key:
        message = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
        raise S3Error("InvalidArgument", message, ArgumentName="x-amz-copy-source", ArgumentValue=value)
    check_key(key)
    return ObjectName(call.user.account, bucket, key)


async def copy_object(call: Call) -> Response:
    """Copy an object, with its metadata or with new."""
    source = copy_source(call)
    check_supported(call.headers, taggable=True)
    replacement = description(call.headers) if _replaces(call) else None
    if source == call.name and replacement is None:
        message = (
            "This copy request is illegal because it is trying to copy an object to itself without changing "
            "the object's metadata, storage class, website redirect location or encryption attributes."
        )
        raise S3Error("InvalidRequest", message)
    algorithm = checksums.requested(call.headers).get("algorithm")
    try:
        if algorithm is not None:
            info = await _copy_counting(call, source, replacement, algorithm)
        elif source == call.name and replacement is not None:
            info = await call.service.update_object(source, _change(call, replacement))
        else:
            new = _new_object(call, replacement)
            info = await call.service.copy_object(source, call.name, new, copy_condition(call.headers))
    except (NoSuchContainer, NoSuchObject) as error:
        raise await _absent(call, source, error) from error
    return _result("CopyObjectResult", info, info.metadata.system.get("checksums", {}))


def _replaces(call: Call) -> bool:
    directive = call.headers.get("x-amz-metadata-directive", "COPY").upper()
    if directive not in ("COPY", "REPLACE"):
        raise S3Error("InvalidArgument", "Unknown metadata directive.", ArgumentValue=directive)
    return directive == "REPLACE"


def _new_object(call: Call, replacement: Description | None) -> Callable[[ObjectInfo], NewObject]:
    """Return what makes the copy's metadata of the source's."""
    condition = write_condition(call.headers)

    def new(source: ObjectInfo) -> NewObject:
        _check_size(call, source.metadata.size)
        about = replacement or source.metadata
        kept = source.metadata.system.get("checksums", {})
        # a composite checksum is of the parts, which the copy has not
        values = {name.upper(): value for name, value in kept.items() if name != "type"}
        system, row = checksums.kept(values if kept.get("type") == checksums.FULL_OBJECT else {})
        system = {**system, **tags.of_copy(call.headers, source.metadata)}
        return NewObject(about.content_type, about.headers, about.user, system, row, condition=condition)

    return new


def _check_size(call: Call, size: int) -> None:
    limit = call.config.max_put_size
    if size > limit:
        message = f"The specified copy source is larger than the maximum allowable size: {limit}"
        raise S3Error("InvalidRequest", message)


async def _copy_counting(
    call: Call, source: ObjectName, replacement: Description | None, algorithm: str
) -> ObjectInfo:
    """Copy through this process, to count a checksum that the source may not have."""
    reader = await call.service.get_object(source)
    checksum = new_checksum(algorithm)
    try:
        copy_condition(call.headers)(reader.info)
        _check_size(call, reader.info.metadata.size)
        about = replacement or reader.info.metadata
        new = NewObject(
            about.content_type,
            about.headers,
            about.user,
            tags.of_copy(call.headers, reader.info.metadata),
            condition=write_condition(call.headers),
            finish=lambda _md5: checksums.kept({algorithm: encode(checksum.digest())}),
        )
        return await call.service.put_object(call.name, ReaderBody(reader, checksum), new)
    finally:
        await reader.pieces.aclose()


def _change(call: Call, about: Description) -> Callable[[ObjectMetadata], ObjectMetadata]:
    """Return what gives an object new metadata over its old bytes."""
    conditions = (copy_condition(call.headers), write_condition(call.headers))

    def change(metadata: ObjectMetadata) -> ObjectMetadata:
        for condition in conditions:
            if condition is not None:
                condition(ObjectInfo(ZERO, metadata))
        others = {name: value for name, value in metadata.system.items() if name != tags.TAGS}
        return metadata._replace(
            content_type=about.content_type,
            headers=about.headers,
            user=about.user,
            modified_us=wall_us(),
            system={**others, **tags.of_copy(call.headers, metadata)},
        )

    return change


async def upload_part_copy(call: Call) -> Response:
    """Make a part of bytes of an object."""
    number = part_number(call)
    source = copy_source(call)
    check_supported(call.headers)
    upload_id = call.query["uploadId"]
    page = await call.service.list_parts(call.name, upload_id, 0, 1)
    algorithm = page.upload.system.get("checksums", {}).get("algorithm")
    reader = await _open(call, source)
    try:
        copy_condition(call.headers)(reader.info)
        _check_size(call, reader.end - reader.start)
        checksum = None if algorithm is None else new_checksum(algorithm)

        def finish(_md5: str) -> checksums.Kept:
            return checksums.kept_with_part({algorithm: encode(checksum.digest())} if checksum else {})

        body = ReaderBody(reader, checksum)
        info = await call.service.put_part(call.name, upload_id, number, body, NewObject("", finish=finish))
    finally:
        await reader.pieces.aclose()
    return _result("CopyPartResult", info, info.metadata.row)


async def _open(call: Call, source: ObjectName) -> ObjectReader:
    """Open the bytes that a part shall be made of."""
    value = call.headers.get("x-amz-copy-source-range")
    wanted = None
    if value:
        match = _RANGE.fullmatch(value)
        if match is None or int(match[1]) > int(match[2]):
            message = (
                "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last "
                "are the zero-based offsets of the first and last bytes to copy"
            )
            argument = {"ArgumentName": "x-amz-copy-source-range", "ArgumentValue": value}
            raise S3Error("InvalidArgument", message, **argument)
        wanted = int(match[1]), int(match[2])
    try:
        reader = await call.service.get_object(source, wanted)
    except (NoSuchContainer, NoSuchObject) as error:
        raise await _absent(call, source, error) from error
    except RangeNotSatisfiable as error:
        raise _beyond(error.size) from None
    if wanted is not None and reader.end != wanted[1] + 1:
        await reader.pieces.aclose()
        raise _beyond(reader.info.metadata.size)
    return reader


def _beyond(size: int) -> S3Error:
    return S3Error("InvalidRange", f"Range specified is not valid for source object of size: {size}")


async def _absent(call: Call, source: ObjectName, error: Exception) -> S3Error | Exception:
    """Return what it means that the source, or the target's bucket, is not there."""
    if isinstance(error, NoSuchObject):
        return S3Error("NoSuchKey", Key=source.object)
    await require_bucket(call)
    return await missing_bucket(call, source.container)


def _result(root: str, info: ObjectInfo, shown: dict[str, str]) -> Response:
    return xml_response(
        document(
            root,
            f"<LastModified>{iso8601(info.metadata.modified_us)}</LastModified>"
            f"<ETag>&quot;{info.metadata.etag}&quot;</ETag>{checksums.elements(shown)}",
        )
    )
