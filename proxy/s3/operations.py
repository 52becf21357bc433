"""The table of operations: method and subresource -> handler.

Source: botocore's s3/2006-03-01 service model. A subresource is a parameter of the query that names
what of a bucket or an object is meant; parameters that are none (x-id, prefix, …) choose nothing.
"""

from collections.abc import Mapping

from proxy.s3.attributes import get_object_attributes
from proxy.s3.buckets import create_bucket, delete_bucket, get_bucket_location, head_bucket, list_buckets
from proxy.s3.configuration import (
    ABSENT,
    EMPTY,
    LISTS,
    NAMES,
    Handler,
    absent,
    delete_configuration,
    empty,
    get_bucket_acl,
    get_object_acl,
    get_object_lock,
    get_request_payment,
    no_items,
    put_bucket_acl,
    put_object_acl,
    refuse,
)
from proxy.s3.copy import copy_object, upload_part_copy
from proxy.s3.cross_origin import delete_bucket_cors, get_bucket_cors, put_bucket_cors
from proxy.s3.delete_many import delete_objects
from proxy.s3.errors import S3Error
from proxy.s3.listing import list_objects, list_objects_v2, list_versions
from proxy.s3.multipart import (
    abort_upload,
    complete_upload,
    create_upload,
    list_parts,
    list_uploads,
    upload_part,
)
from proxy.s3.objects import delete_object, get_object, head_object, put_object
from proxy.s3.tagging import (
    delete_bucket_tagging,
    delete_object_tagging,
    get_bucket_tagging,
    get_object_tagging,
    put_bucket_tagging,
    put_object_tagging,
)

Table = Mapping[tuple[str, str], Handler]  # by method and subresource, "" for the thing itself

SERVICE: Table = {("GET", ""): list_buckets}

BUCKET: Table = {
    ("GET", ""): list_objects,
    ("HEAD", ""): head_bucket,
    ("PUT", ""): create_bucket,
    ("DELETE", ""): delete_bucket,
    ("GET", "list-type"): list_objects_v2,
    ("GET", "versions"): list_versions,
    ("GET", "uploads"): list_uploads,
    ("GET", "location"): get_bucket_location,
    ("POST", "delete"): delete_objects,
    ("GET", "acl"): get_bucket_acl,
    ("PUT", "acl"): put_bucket_acl,
    ("GET", "cors"): get_bucket_cors,
    ("PUT", "cors"): put_bucket_cors,
    ("DELETE", "cors"): delete_bucket_cors,
    ("GET", "tagging"): get_bucket_tagging,
    ("PUT", "tagging"): put_bucket_tagging,
    ("DELETE", "tagging"): delete_bucket_tagging,
    ("GET", "requestPayment"): get_request_payment,
    **{("GET", name): absent(code) for name, code in ABSENT.items()},
    **{("GET", name): empty(root) for name, root in EMPTY.items()},
    **{("GET", name): no_items(root) for name, root in LISTS.items()},
    **{(method, name): refuse for name in NAMES for method in ("PUT", "POST")},
    **{("DELETE", name): delete_configuration for name in (*ABSENT, *LISTS)},
}

_REFUSED = (
    ("PUT", "retention"),
    ("PUT", "legal-hold"),
    ("PUT", "encryption"),
    ("PUT", "renameObject"),
    ("PUT", "annotation"),
    ("GET", "annotation"),
    ("DELETE", "annotation"),
    ("GET", "torrent"),
    ("POST", "restore"),
    ("POST", "select"),
)

OBJECT: Table = {
    ("GET", ""): get_object,
    ("HEAD", ""): head_object,
    ("PUT", ""): put_object,
    ("DELETE", ""): delete_object,
    ("POST", "uploads"): create_upload,
    ("PUT", "uploadId"): upload_part,
    ("POST", "uploadId"): complete_upload,
    ("DELETE", "uploadId"): abort_upload,
    ("GET", "uploadId"): list_parts,
    ("GET", "attributes"): get_object_attributes,
    ("GET", "acl"): get_object_acl,
    ("PUT", "acl"): put_object_acl,
    ("GET", "tagging"): get_object_tagging,
    ("PUT", "tagging"): put_object_tagging,
    ("DELETE", "tagging"): delete_object_tagging,
    ("GET", "retention"): get_object_lock,
    ("GET", "legal-hold"): get_object_lock,
    **dict.fromkeys(_REFUSED, refuse),
}

# the same, when the bytes come from another object
_COPYING: Table = {("PUT", ""): copy_object, ("PUT", "uploadId"): upload_part_copy}

# may take longer than clients wait for a first byte
SLOW = frozenset({copy_object, upload_part_copy, complete_upload})

_BUCKET_SUBRESOURCES = frozenset(name for _method, name in BUCKET if name)
_OBJECT_SUBRESOURCES = frozenset(name for _method, name in OBJECT if name)


def select(method: str, bucket: str, key: str, query: Mapping[str, str], copying: bool) -> Handler:
    """Return the handler of an operation. Raise S3Error when there is none."""
    table, subresource = SERVICE, ""
    if key:
        table = OBJECT
        if query:
            subresource = _subresource(query, _OBJECT_SUBRESOURCES)
    elif bucket:
        table = BUCKET
        if query and method != "HEAD":
            subresource = _subresource(query, _BUCKET_SUBRESOURCES)
    handler = table.get((method, subresource))
    if copying and key and (method, subresource) in _COPYING:
        handler = _COPYING[method, subresource]
    if handler is None:
        raise S3Error("MethodNotAllowed", Method=method, ResourceType=subresource.upper() or "SERVICE")
    return handler


def _subresource(query: Mapping[str, str], known: frozenset[str]) -> str:
    return next((name for name in query if name in known), "")
