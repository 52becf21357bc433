"""POST policies: what the signer of a form allows whoever sends it. No I/O.

Source: Amazon S3 API Reference, "POST Policy". Names of fields and conditions are compared without regard to case,
values with it. Every field must be named by a condition, but for those that a policy cannot name.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from proxy.s3.errors import S3Error

_EXPIRATION = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?Z", re.ASCII)
_EXEMPT = frozenset({"policy", "signature", "awsaccesskeyid", "x-amz-signature", "file", "submit"})
_IGNORED = "x-ignore-"
_LENGTH = "content-length-range"


@dataclass(frozen=True, slots=True)
class Condition:
    """What a field's value must be, or begin with."""

    field: str  # in lower case
    value: str
    prefix: bool

    def __str__(self) -> str:
        return json.dumps(["starts-with" if self.prefix else "eq", f"${self.field}", self.value])


@dataclass(frozen=True, slots=True)
class Policy:
    """What is allowed, until when."""

    expires_s: float  # since 1970
    conditions: Sequence[Condition]
    smallest: int = 0  # bytes of the file
    largest: int | None = None


def parse(encoded: str) -> Policy:
    """Return the policy of a form's field. Raise S3Error when it is none."""
    try:
        described = json.loads(base64.b64decode("".join(encoded.split()), validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid("Invalid JSON.") from None
    if not isinstance(described, dict) or not {"expiration", "conditions"} <= described.keys():
        raise _invalid("Policy missing expiration or conditions.")
    if not isinstance(described["conditions"], list) or not described["conditions"]:
        raise _invalid("Conditions must be a list.")
    conditions: list[Condition] = []
    smallest, largest = 0, None
    for item in described["conditions"]:
        if isinstance(item, list) and item and str(item[0]).lower() == _LENGTH:
            smallest, largest = _range(item)
        else:
            conditions += _conditions(item)
    return Policy(_expiration_s(described["expiration"]), conditions, smallest, largest)


def _invalid(reason: str) -> S3Error:
    return S3Error("InvalidPolicyDocument", f"Invalid Policy: {reason}")


def _expiration_s(value: Any) -> float:
    match = _EXPIRATION.fullmatch(value) if isinstance(value, str) else None
    try:
        if match:
            return datetime(*map(int, match.groups()), tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]
    except ValueError:
        pass
    raise _invalid("Invalid 'expiration' value.")


def _range(item: Sequence[Any]) -> tuple[int, int]:
    numbers = [_number(value) for value in item[1:]]
    if len(numbers) != 2:
        raise _invalid(f"Invalid {_LENGTH}.")
    return numbers[0], numbers[1]


def _number(value: Any) -> int:
    digits = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise _invalid(f"Invalid {_LENGTH}.")
    return int(digits)


def _conditions(item: Any) -> list[Condition]:
    if isinstance(item, dict) and item and all(isinstance(value, str) for value in item.values()):
        return [Condition(name.lower(), value, prefix=False) for name, value in item.items()]
    if isinstance(item, list) and len(item) == 3 and all(isinstance(value, str) for value in item):
        kind, field, value = item
        if kind.lower() in ("eq", "starts-with") and field.startswith("$"):
            return [Condition(field[1:].lower(), value, prefix=kind.lower() == "starts-with")]
    raise _invalid("Invalid condition.")


def judge(policy: Policy, fields: Mapping[str, str], now_s: float) -> None:
    """Raise S3Error unless the policy allows a form with these fields, of which one is the bucket."""
    if policy.expires_s <= now_s:
        raise _denied("Policy expired.")
    for condition in policy.conditions:
        value = fields.get(condition.field, "")
        fits = value.startswith(condition.value) if condition.prefix else value == condition.value
        if not fits or condition.field not in fields:
            raise _denied(f"Policy Condition failed: {condition}")
    named = {condition.field for condition in policy.conditions}
    extra = [name for name in fields if name not in named | _EXEMPT and not name.startswith(_IGNORED)]
    if extra:
        raise _denied(f"Extra input fields: {', '.join(extra)}")


def _denied(reason: str) -> S3Error:
    return S3Error("AccessDenied", f"Invalid according to Policy: {reason}")
