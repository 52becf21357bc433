"""Tagging: tags of objects and buckets shown, set and deleted. A new object's come with it (`tags.py`).

A bucket's are kept in its container's metadata, where Swift does not show them.
"""

import json

from proxy.http.message import Response
from proxy.s3.call import Call, require_bucket
from proxy.s3.documents import read_document
from proxy.s3.errors import S3Error
from proxy.s3.objects import check_version
from proxy.s3.responses import xml_response
from proxy.s3.tags import BUCKET_LIMIT, OBJECT_LIMIT, TAGS, Tags, parse, render
from storage.metadata import ObjectMetadata

_BUCKET_TAGS = "s3-tags"  # in a container's metadata: JSON


async def get_object_tagging(call: Call) -> Response:
    """Show an object's tags."""
    check_version(call)
    info = await call.service.head_object(call.name)
    return xml_response(render(info.metadata.system.get(TAGS, {})))


async def put_object_tagging(call: Call) -> Response:
    """Give an object other tags."""
    check_version(call)
    await _set(call, await _requested(call, OBJECT_LIMIT))
    return Response(200)


async def delete_object_tagging(call: Call) -> Response:
    """Take an object's tags away."""
    check_version(call)
    await _set(call, {})
    return Response(204)


async def _set(call: Call, tags: Tags) -> None:
    def change(metadata: ObjectMetadata) -> ObjectMetadata:
        others = {name: value for name, value in metadata.system.items() if name != TAGS}
        return metadata._replace(system={**others, TAGS: tags} if tags else others)

    await call.service.update_object(call.name, change)


async def get_bucket_tagging(call: Call) -> Response:
    """Show a bucket's tags."""
    info = await call.service.container_info(call.user.account, call.bucket)
    kept = info.metadata.get(_BUCKET_TAGS)
    if not kept:
        raise S3Error("NoSuchTagSet", BucketName=call.bucket)
    return xml_response(render(json.loads(kept)))


async def put_bucket_tagging(call: Call) -> Response:
    """Give a bucket other tags."""
    await require_bucket(call)
    tags = await _requested(call, BUCKET_LIMIT)
    kept = json.dumps(tags) if tags else None
    await call.service.update_container(call.user.account, call.bucket, {_BUCKET_TAGS: kept})
    return Response(204)


async def delete_bucket_tagging(call: Call) -> Response:
    """Take a bucket's tags away."""
    await call.service.update_container(call.user.account, call.bucket, {_BUCKET_TAGS: None})
    return Response(204)


async def _requested(call: Call, limit: int) -> Tags:
    """Return the tags in a request's document. Raise S3Error."""
    root = await read_document(call, "Tagging")
    if root is None:
        raise S3Error("MissingRequestBodyError")
    return parse(root, limit)
