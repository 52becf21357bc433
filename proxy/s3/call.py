"""One authenticated request, as a handler gets it."""

from dataclasses import dataclass

from identity.interfaces import Principal
from proxy.http.message import Headers, Request
from proxy.objects.model import ObjectName
from proxy.s3.config import S3Config
from proxy.s3.errors import S3Error
from proxy.s3.interfaces import CheckedBody, ObjectService


@dataclass(slots=True, eq=False)
class Call:
    """What is asked, by whom, of what. Every bucket that may be used is a container of `user.account`."""

    service: ObjectService
    config: S3Config
    request: Request
    user: Principal
    body: CheckedBody
    bucket: str  # "" when the service itself is asked
    key: str  # "" when a bucket is
    query: dict[str, str]

    @property
    def headers(self) -> Headers:
        """Return the request's header fields."""
        return self.request.headers

    @property
    def name(self) -> ObjectName:
        """Return the name of the object that is asked for."""
        return ObjectName(self.user.account, self.bucket, self.key)

    def number(self, parameter: str, default: int, lowest: int, highest: int | None = None) -> int:
        """Return a query parameter as a number, cut to `highest`. Raise S3Error when it is none."""
        value = self.query.get(parameter)
        if value is None:
            return default
        digits = value.isascii() and value.isdigit()
        number = int(value) if digits and len(value) <= 10 else -1
        if number < lowest or number > 0x7FFFFFFF:
            message = f"Argument {parameter} must be an integer between {lowest} and {highest or 0x7FFFFFFF}"
            raise S3Error("InvalidArgument", message, ArgumentName=parameter, ArgumentValue=value)
        return number if highest is None else min(number, highest)


async def require_bucket(call: Call) -> None:
    """Raise NoSuchContainer when the caller has no such bucket."""
    await call.service.container_info(call.user.account, call.bucket)
