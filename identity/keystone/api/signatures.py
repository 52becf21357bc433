"""Operations for services that got a signed request and ask who signed it: the answer is a token of the signer.

Services alone may ask, with a token of their own: what a signature is good for is known to who saw the request.
"""

from typing import Any

from cluster.controlplane.answer import Answer
from cluster.controlplane.schema import Schema
from identity.keystone.api.context import Context
from identity.keystone.api.tokens import answer_with
from identity.keystone.authentication.ec2 import Ec2Authentication
from identity.keystone.authentication.granting import Granting
from identity.keystone.ec2_signature import SignedRequest

_TEXT = {"type": "string"}
_TEXTS = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
_REQUEST = {
    "type": "object",
    "required": ["access", "signature"],
    "properties": {
        "access": _TEXT,
        "signature": _TEXT,
        "verb": _TEXT,
        "host": _TEXT,
        "path": _TEXT,
        "params": _TEXTS,
        "headers": _TEXTS,
        "body_hash": _TEXT,
    },
}
_EC2_SCHEMA = Schema(
    {
        "type": "object",
        "properties": {"ec2Credentials": _REQUEST, "credentials": _REQUEST},
        "anyOf": [{"required": ["ec2Credentials"]}, {"required": ["credentials"]}],
    }
)
_S3_SCHEMA = Schema(
    {
        "type": "object",
        "required": ["credentials"],
        "properties": {
            "credentials": {
                "type": "object",
                "required": ["access", "signature", "token"],
                "properties": {"access": _TEXT, "signature": _TEXT, "token": _TEXT},
            }
        },
    }
)


def verify_ec2(context: Context) -> Answer:
    """POST /v3/ec2tokens: the service sends what it saw of the request."""
    context.enforce("identity:ec2tokens_validate")
    _EC2_SCHEMA.check(context.document)
    request = _request_of(context.document.get("ec2Credentials") or context.document["credentials"])
    return answer_with(context, _authentication(context).of_request(context.connection, request, context.now_us), 200)


def verify_s3(context: Context) -> Answer:
    """POST /v3/s3tokens: the service sends the string to sign."""
    context.enforce("identity:s3tokens_validate")
    _S3_SCHEMA.check(context.document)
    said = context.document["credentials"]
    token = _authentication(context).of_text(
        context.connection, said["access"], said["token"], said["signature"], context.now_us
    )
    return answer_with(context, token, 200)


def _authentication(context: Context) -> Ec2Authentication:
    return Ec2Authentication(context.parts.seal, Granting(context.parts.provider, context.settings))


def _request_of(said: dict[str, Any]) -> SignedRequest:
    return SignedRequest(
        access=said["access"],
        signature=said["signature"],
        verb=said.get("verb", ""),
        host=said.get("host", ""),
        path=said.get("path", "/"),
        params={name: str(value) for name, value in said.get("params", {}).items()},
        headers={name: str(value) for name, value in said.get("headers", {}).items()},
        body_hash=said.get("body_hash", ""),
    )
