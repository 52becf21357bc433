"""From a request to a response: who asks, for what, which handler, and what to say when it fails."""

import base64
import os

from cluster.clock import wall_us
from identity.interfaces import Action, Principal, Users
from proxy.http.errors import BadEncoding, BadRequest, BodyTimeout, BodyTruncated
from proxy.http.message import Request, Response
from proxy.http.text import parse_query
from proxy.objects.errors import NoSuchContainer, NoSuchObject, ObjectServiceError
from proxy.s3 import post
from proxy.s3.absence import missing_bucket
from proxy.s3.authenticate import authenticate
from proxy.s3.call import Call
from proxy.s3.config import S3Config
from proxy.s3.configuration import Handler
from proxy.s3.cross_origin import fields_for_origin, preflight
from proxy.s3.errors import S3Error, code_of_status, fields_of, render, translate
from proxy.s3.interfaces import ObjectService
from proxy.s3.names import check_key, locate, virtual_bucket
from proxy.s3.operations import SLOW, select
from proxy.s3.patience import patiently

_READING = ("GET", "HEAD")  # no operation of S3 that comes so changes anything
# what a client is told of; anything else is a mistake of ours, which the server reports
_Expected = (S3Error, ObjectServiceError, BodyTruncated, BadRequest)


class S3Application:
    """S3's API over `service`, for `users`."""

    def __init__(self, service: ObjectService, users: Users, config: S3Config) -> None:
        self._service = service
        self._users = users
        self._config = config
        # tells the answers of one process from those of another
        self._host_id = base64.b64encode(os.urandom(30)).decode()
        self._fields = (("x-amz-id-2", self._host_id), ("Server", "Holdfast"))

    async def __call__(self, request: Request) -> Response:
        """Answer `request`."""
        try:
            response = await self._answer(request)
        except _Expected as error:
            response = self._refusal(request, error)
        if "origin" in request.headers and request.method != "OPTIONS":
            response.headers += await self._fields_for_origin(request)
        return self._signed(response, request.id)

    async def _fields_for_origin(self, request: Request) -> list[tuple[str, str]]:
        """Return what the answer says to a page of another origin."""
        try:
            bucket, _key = self._locate(request)
        except _Expected:
            return []
        return await fields_for_origin(self._service, request, bucket)

    def _locate(self, request: Request) -> tuple[str, str]:
        """Return the bucket and the key that a request is about. Raise S3Error or BadEncoding."""
        return locate(request.path, virtual_bucket(request.headers.get("host"), self._config.host_domains))

    def protocol_error(self, request: Request | None, status: int, reason: str) -> Response:
        """Answer what the server could not read as a request, or a mistake of ours."""
        error = S3Error(code_of_status(status), reason if status < 500 else None)
        path, request_id = (request.path, request.id) if request else ("", "")
        document = render(error, path, request_id, self._host_id)
        return self._signed(Response(status, fields_of(error), document), request_id)

    def failed(self, request: Request, error: Exception) -> Response | None:
        """Answer what a body raised before any of it was sent; None: it is a mistake of ours."""
        return self._signed(self._refusal(request, error), request.id) if isinstance(error, _Expected) else None

    def _signed(self, response: Response, request_id: str) -> Response:
        response.headers += self._fields
        response.headers.append(("x-amz-request-id", request_id))
        return response

    async def _answer(self, request: Request) -> Response:
        host_bucket = virtual_bucket(request.headers.get("host"), self._config.host_domains)
        bucket, key = locate(request.path, host_bucket)
        if request.method == "OPTIONS":
            return await preflight(self._service, request, bucket)
        if bucket and not key and post.is_form(request):
            return await self._store_form(request, bucket)
        query = dict(reversed(parse_query(request.query))) if request.query else {}
        signed = authenticate(
            request,
            self._users,
            region=self._config.region,
            now_us=wall_us(),
            skew_s=self._config.clock_skew_s,
            virtual_bucket=host_bucket,
        )
        if signed.user is None:
            raise S3Error("AccessDenied")
        if key:
            check_key(key)
        _check_permitted(request, signed.user)
        _check_expected_owner(request, signed.user)
        handler = select(request.method, bucket, key, query, "x-amz-copy-source" in request.headers)
        call = Call(self._service, self._config, request, signed.user, signed.body, bucket, key, query)
        if handler in SLOW:
            return await patiently(self._handle_slowly(handler, call))
        return await _handle(handler, call)

    async def _store_form(self, request: Request, bucket: str) -> Response:
        """Answer a browser's form, which is signed in its own way."""
        now_s = wall_us() / 1_000_000
        config = self._config
        upload = await post.open_form(
            request, self._users, bucket, region=config.region, now_s=now_s, max_size=config.max_put_size
        )
        _check_permitted(request, upload.user)
        call = Call(self._service, config, request, upload.user, upload.body, bucket, upload.key, {})
        return await _handle(lambda call: post.store(call, upload), call)

    async def _handle_slowly(self, handler: Handler, call: Call) -> Response:
        """Carry out a call whose failure may have to be told after the answer has begun."""
        try:
            return await _handle(handler, call)
        except _Expected as error:
            return self._refusal(call.request, error)

    def _refusal(self, request: Request, error: Exception) -> Response:
        """Return the answer that tells of an expected error."""
        told = _s3_error(error)
        response = Response(told.status, fields_of(told))
        if request.method != "HEAD":
            response.body = render(told, request.path, request.id, self._host_id)
        return response


def _check_permitted(request: Request, user: Principal) -> None:
    """Raise S3Error when the roles of who asks are not enough for this in its own account."""
    if not user.may(user.account, Action.READ if request.method in _READING else Action.WRITE):
        raise S3Error("AccessDenied")


def _check_expected_owner(request: Request, user: Principal) -> None:
    """Raise S3Error when the client takes the owner of a bucket for somebody else."""
    for name in ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"):
        if name in request.headers and request.headers.get(name) not in (user.id, user.account):
            raise S3Error("AccessDenied")


async def _handle(handler: Handler, call: Call) -> Response:
    """Carry out a call; tell another's bucket and nobody's from one that lacks the key."""
    try:
        return await handler(call)
    except NoSuchContainer as error:
        raise await missing_bucket(call, call.bucket) from error
    except NoSuchObject as error:
        raise S3Error("NoSuchKey", Key=call.key) from error


def _s3_error(error: Exception) -> S3Error:
    """Return what S3 calls an expected error."""
    if isinstance(error, S3Error):
        return error
    if isinstance(error, ObjectServiceError):
        return translate(error)
    if isinstance(error, BodyTimeout):
        return S3Error("RequestTimeout")
    if isinstance(error, BodyTruncated):
        return S3Error("IncompleteBody")
    if isinstance(error, BadEncoding):
        return S3Error("InvalidURI", f"Couldn't parse the specified URI: {error.reason}")
    assert isinstance(error, BadRequest)
    return S3Error(code_of_status(error.status), error.reason)
