"""Uploads by browser forms (POST Object): a policy that a user has signed lets whoever sends the form store an object.

Source: Amazon S3 API Reference, "POST Object" and "Browser-based uploads using POST". The form is read up to its file
before anything is known of its sender, and no further unless the policy allows it.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from identity.interfaces import Signer, Users
from proxy.http.message import Body, Buffer, Headers, Request, Response
from proxy.objects.model import NewObject, ObjectInfo
from proxy.s3 import checksums, post_policy, tags
from proxy.s3 import signature as v4
from proxy.s3 import signature_v2 as v2
from proxy.s3.authenticate import SERVICE
from proxy.s3.body import PlainBody, Verification
from proxy.s3.call import Call
from proxy.s3.errors import S3Error
from proxy.s3.form import Form, boundary_of, read_form
from proxy.s3.headers import content_md5, description
from proxy.s3.names import check_key
from proxy.s3.responses import xml_response
from proxy.s3.xml import MalformedDocument, document, text
from proxy.s3.xml import parse as parse_xml

_FILE_NAME = "${filename}"
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110 §5.6.2
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEADERS = frozenset(
    {
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-md5",
        "content-type",
        "expires",
    }
)


@dataclass(frozen=True, slots=True)
class Upload:
    """What a form asks for, by the grace of `user`; names of fields are lower-case."""

    user: Signer
    key: str
    fields: Mapping[str, str]
    headers: Headers  # as which a PUT would have said the same
    body: PlainBody


def is_form(request: Request) -> bool:
    """Tell whether a request is the upload of a form."""
    return request.method == "POST" and boundary_of(request.headers.get("content-type")) is not None


async def open_form(
    request: Request, users: Users, bucket: str, *, region: str, now_s: float, max_size: int
) -> Upload:
    """Read a form up to its file. Raise S3Error when it is none, or its policy does not allow it."""
    boundary = boundary_of(request.headers.get("content-type"))
    assert boundary is not None, "is_form has looked at it"
    form = await read_form(request.body, boundary)
    if not form.fields.get("key"):
        raise S3Error("InvalidArgument", "Bucket POST must contain a field named 'key'.", ArgumentName="key")
    fields = {**form.fields, "bucket": bucket, "key": form.fields["key"].replace(_FILE_NAME, form.file_name)}
    _check_key(fields["key"])
    if "policy" not in fields:
        raise S3Error("AccessDenied")
    user = _signer(fields, users, region)
    policy = post_policy.parse(fields["policy"])
    post_policy.judge(policy, fields, now_s)
    largest = max_size if policy.largest is None else min(policy.largest, max_size)
    headers = _headers(fields)
    body = PlainBody(
        _Bounded(form, policy.smallest, largest), Verification(None, checksums.demanded(headers), None)
    )
    return Upload(user, fields["key"], fields, headers, body)


def _check_key(key: str) -> None:
    if "\0" in key:
        raise S3Error("InvalidArgument", "A key must not contain NUL.", ArgumentName="key")
    check_key(key)


def _signer(fields: Mapping[str, str], users: Users, region: str) -> Signer:
    """Return who has signed the policy. Raise S3Error when nobody has."""
    if "x-amz-security-token" in fields:
        raise S3Error("InvalidToken")
    if not (fields["policy"].isascii() and fields.get("x-amz-credential", "").isascii()):
        raise S3Error("InvalidPolicyDocument")
    if "x-amz-signature" in fields or "x-amz-algorithm" in fields:
        claimed = v4.parse_credential(fields.get("x-amz-credential", ""))
        if fields.get("x-amz-algorithm") != v4.ALGORITHM or claimed is None or not fields.get("x-amz-signature"):
            raise _missing("x-amz-algorithm, x-amz-credential and x-amz-signature")
        access_key, scope = claimed
        if scope.service != SERVICE or scope.region != region:
            message = f"the credential is not for the service '{SERVICE}' in the region '{region}'"
            raise S3Error("InvalidArgument", f"The form is malformed; {message}")
        user = _user(users, access_key)
        expected = v4.sign(v4.signing_key(user.secret_key, scope), fields["policy"])
        signature = fields["x-amz-signature"]
    else:
        if not fields.get("awsaccesskeyid") or not fields.get("signature"):
            raise _missing("AWSAccessKeyId and signature")
        access_key, signature = fields["awsaccesskeyid"], fields["signature"]
        user = _user(users, access_key)
        expected = v2.sign(user.secret_key, fields["policy"])
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=access_key, SignatureProvided=signature)
    return user


def _missing(names: str) -> S3Error:
    return S3Error("InvalidArgument", f"Bucket POST must contain fields named {names}.")


def _user(users: Users, access_key: str) -> Signer:
    user = users.by_access_key(access_key)
    if user is None:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access_key)
    return user


def _headers(fields: Mapping[str, str]) -> Headers:
    """Return the header fields that a form's fields stand for. Raise S3Error on what could not be one."""
    found: list[tuple[str, str]] = []
    for field, value in fields.items():
        name = "x-amz-acl" if field == "acl" else field
        if name not in _HEADERS and not name.startswith("x-amz-"):
            continue
        if not _FIELD_NAME.fullmatch(name) or _CONTROL.search(value):
            raise S3Error("InvalidArgument", "This field cannot be a header.", ArgumentName=field)
        found.append((name, value.encode().decode("latin-1").strip(" \t")))
    return Headers(found)


class _Bounded:
    """The file, which raises when it is larger than the policy allows, or ends too soon."""

    length: int | None = None

    def __init__(self, form: Form, smallest: int, largest: int) -> None:
        self._file: Body = form.file
        self._smallest, self._largest = smallest, largest
        self._size = 0

    async def read(self) -> Buffer:
        """Return the next piece, empty at the end."""
        piece = await self._file.read()
        self._size += len(piece)
        if self._size > self._largest:
            raise S3Error("EntityTooLarge", MaxSizeAllowed=self._largest)
        if not piece and self._size < self._smallest:
            raise S3Error("EntityTooSmall", ProposedSize=self._size, MinSizeAllowed=self._smallest)
        return piece


async def store(call: Call, upload: Upload) -> Response:
    """Store the file, and answer as the form wishes."""
    about = description(upload.headers)
    expected_md5 = content_md5(upload.headers)

    def finish(md5: str) -> checksums.Kept:
        if expected_md5 is not None and md5 != expected_md5:
            raise S3Error("BadDigest", "The Content-MD5 you specified did not match what we received.")
        return checksums.kept(upload.body.checksums)

    new = NewObject(about.content_type, about.headers, about.user, _tags(upload), finish=finish)
    return _answer(call, upload, await call.service.put_object(call.name, upload.body, new))


def _tags(upload: Upload) -> dict[str, tags.Tags]:
    if "tagging" not in upload.fields:
        return tags.of_headers(upload.headers)
    try:
        found = tags.parse(parse_xml(upload.fields["tagging"].encode()), tags.OBJECT_LIMIT)
    except MalformedDocument:
        raise S3Error("MalformedXML") from None
    return {tags.TAGS: found} if found else {}


def _answer(call: Call, upload: Upload, info: ObjectInfo) -> Response:
    etag = info.metadata.etag
    scheme = "https" if call.request.secure else "http"
    path = f"{call.request.path.rstrip('/')}/{quote(call.key)}"
    location = f"{scheme}://{call.headers.get('host')}{path}"
    fields = [("ETag", f'"{etag}"'), ("Location", location)]
    redirect = upload.fields.get("success_action_redirect") or upload.fields.get("redirect") or ""
    if redirect.startswith(("http://", "https://")) and redirect.isascii() and redirect.isprintable():
        sign = "&" if "?" in redirect else "?"
        query = f"bucket={quote(call.bucket)}&key={quote(call.key, safe='')}&etag=%22{etag}%22"
        return Response(303, [fields[0], ("Location", f"{redirect}{sign}{query}")])
    status = upload.fields.get("success_action_status")
    if status != "201":
        return Response(200 if status == "200" else 204, fields)
    response = xml_response(
        document(
            "PostResponse",
            f"<Location>{text(location)}</Location><Bucket>{text(call.bucket)}</Bucket><Key>{text(call.key)}</Key>"
            f"<ETag>&quot;{etag}&quot;</ETag>",
        ),
        201,
    )
    response.headers += fields
    return response
