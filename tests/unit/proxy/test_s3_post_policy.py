"""POST policies."""

import base64
import json
from typing import Any

import pytest

from proxy.s3.errors import S3Error
from proxy.s3.post_policy import Policy, judge, parse

EXPIRES = "2026-01-02T03:04:05Z"
NOW_S = 1_767_323_044.0  # a second before


def encoded(conditions: Any, expiration: Any = EXPIRES, **more: Any) -> str:
    described = {"expiration": expiration, "conditions": conditions, **more}
    return base64.b64encode(json.dumps(described).encode()).decode()


def parsed(*conditions: Any) -> Policy:
    return parse(encoded([{"bucket": "b"}, *conditions]))


def allowed(rules: Policy, now_s: float = NOW_S, **fields: str) -> bool:
    try:
        judge(rules, {"bucket": "b", **{name.replace("_", "-"): value for name, value in fields.items()}}, now_s)
    except S3Error as error:
        return error.code != "AccessDenied"
    return True


def test_every_condition_must_hold_and_every_field_have_one() -> None:
    policy = parsed(["starts-with", "$key", "a/"], ["eq", "$Content-Type", "x/y"], {"x-amz-meta-K": "v"})
    fields = {"key": "a/1", "content_type": "x/y", "x_amz_meta_k": "v"}
    assert allowed(policy, **fields)
    assert not allowed(policy, NOW_S + 1, **fields)
    for name, value in (("key", "b/1"), ("content_type", "x/yz"), ("x_amz_meta_k", "V"), ("acl", "private")):
        assert not allowed(policy, **{**fields, name: value})
    for name in fields:
        assert not allowed(policy, **{other: value for other, value in fields.items() if other != name})
    for name in ("policy", "signature", "awsaccesskeyid", "x_amz_signature", "x_ignore_me"):
        assert allowed(policy, **fields, **{name: "x"})


def test_names_are_compared_without_case() -> None:
    """s3-tests: test_post_object_case_insensitive_condition_fields."""
    assert allowed(parse(encoded([{"bUcKeT": "b"}, ["StArTs-WiTh", "$KeY", "foo"]])), key="foo.txt")


def test_a_length_may_have_bounds() -> None:
    policy = parsed(["content-length-range", 0, "1024"], {"key": "k"})
    assert (policy.smallest, policy.largest, len(policy.conditions)) == (0, 1024, 2)
    assert parsed().largest is None


def test_the_bucket_must_be_named_too() -> None:
    assert not allowed(parse(encoded([{"key": "k"}])), key="k")
    assert not allowed(parse(encoded([{"bucket": "c"}, {"key": "k"}])), key="k")


@pytest.mark.parametrize(
    "policy",
    [
        "not base64!",
        base64.b64encode(b"no json").decode(),
        base64.b64encode(b"[" * 100_000).decode(),
        base64.b64encode(b"[]").decode(),
        base64.b64encode(b'{"expiration": "2026-01-02T03:04:05Z"}').decode(),
        base64.b64encode(b'{"EXPIRATION": "2026-01-02T03:04:05Z", "conditions": [{"a": "b"}]}').decode(),
        encoded([]),
        encoded([{}]),
        encoded({"key": "k"}),
        encoded(["key"]),
        encoded([{"key": 1}]),
        encoded([["eq", "key", "k"]]),
        encoded([["eq", "$key"]]),
        encoded([["like", "$key", "k"]]),
        encoded([[]]),
        encoded([["content-length-range", 0]]),
        encoded([["content-length-range", -1, 0]]),
        encoded([["content-length-range", True, 1]]),
        encoded([["content-length-range", 0, 1e9]]),
        encoded([{"key": "k"}], 1_767_323_045),
        encoded([{"key": "k"}], "2026-13-02T03:04:05Z"),
        encoded([{"key": "k"}], "tomorrow"),
    ],
)
def test_what_is_no_policy_is_refused(policy: str) -> None:
    with pytest.raises(S3Error) as caught:
        parse(policy)
    assert (caught.value.code, caught.value.status) == ("InvalidPolicyDocument", 400)
