"""proxy.s3.errors"""

import pytest

from proxy.objects import errors
from proxy.s3.errors import CODES, S3Error, code_of_status, render, translate
from proxy.s3.xml import parse


def test_an_error_is_rendered_with_its_details() -> None:
    error = S3Error("NoSuchKey", Key="a&b", Size=3)
    root = parse(render(error, "/bucket/a&b", "REQUEST", "HOST"))
    assert [(child.name, child.text) for child in root.children] == [
        ("Code", "NoSuchKey"),
        ("Message", "The specified key does not exist."),
        ("Key", "a&b"),
        ("Size", "3"),
        ("Resource", "/bucket/a&b"),
        ("RequestId", "REQUEST"),
        ("HostId", "HOST"),
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NoSuchContainer("x"), "NoSuchBucket"),
        (errors.NoSuchObject("x"), "NoSuchKey"),
        (errors.NoSuchUpload("x"), "NoSuchUpload"),
        (errors.ContainerNotEmpty("x"), "BucketNotEmpty"),
        (errors.ContainerTaken("AUTH_x"), "BucketAlreadyExists"),
        (errors.InvalidPart(1, "not found"), "InvalidPart"),
        (errors.InvalidPart(1, "etag"), "InvalidPart"),
        (errors.InvalidPart(1, "order"), "InvalidPartOrder"),
        (errors.PartTooSmall(1, "too small"), "EntityTooSmall"),
        (errors.RangeNotSatisfiable(5), "InvalidRange"),
        (errors.NameContended("x"), "ConditionalRequestConflict"),
        (errors.QuorumNotReached(2, 1, {}), "ServiceUnavailable"),
        (errors.Unavailable("x"), "ServiceUnavailable"),
        (errors.OutOfSpace("x"), "ServiceUnavailable"),
        (errors.BodyTooLarge("x"), "EntityTooLarge"),
        (errors.SegmentChanged("x"), "OperationAborted"),
        (errors.ObjectServiceError("x"), "InternalError"),
    ],
)
def test_each_error_of_the_service_has_a_code(error: errors.ObjectServiceError, code: str) -> None:
    assert translate(error).code == code


def test_every_error_of_the_service_is_translated() -> None:
    """A kind that nobody thought of would come out as InternalError, and clients would not know why."""
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ObjectServiceError)
    } - {errors.ObjectServiceError}
    for kind in kinds:
        bare = kind.__new__(kind)
        bare.__dict__.update(index=0, reason="", size=0)
        assert translate(bare).code != "InternalError", kind


def test_the_tables_agree() -> None:
    assert all(100 < status < 600 and message for status, message in CODES.values())
    assert all(code_of_status(status) in CODES for status in range(400, 600))
