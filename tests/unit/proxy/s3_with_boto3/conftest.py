"""What the tests here share: one server a file."""

from collections.abc import Iterator
from typing import Any

import pytest

from proxy.s3.config import S3Config
from tests.unit.proxy.s3_with_boto3.server import SMALL_LIMIT, Running


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    server = Running(S3Config(max_put_size=SMALL_LIMIT, host_domains=("s3.test",)))
    yield server
    server.close()


@pytest.fixture(scope="module")
def client(running: Running) -> Any:
    return running.client(running.users.ann)


@pytest.fixture(scope="module")
def other(running: Running) -> Any:
    return running.client(running.users.bob)


_names = (f"bucket-{number}" for number in range(10_000))


@pytest.fixture
def bucket(client: Any) -> str:
    name = next(_names)
    client.create_bucket(Bucket=name)
    return name
