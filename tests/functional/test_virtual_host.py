"""The bucket in the host's name, as AWS's SDKs have it unless they are told otherwise."""

import socket
import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.cluster import Cluster


@pytest.fixture
def _localhost_has_subdomains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolve *.localhost as RFC 6761 §6.3 has it, which not every system does."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: Any, **more: Any) -> Any:
        return resolve("127.0.0.1" if host.endswith(".localhost") else host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.usefixtures("_localhost_has_subdomains")
@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_buckets_whole_life(cluster: Cluster, version: str) -> None:
    endpoint = f"http://s3.localhost:{urlsplit(cluster.s3_endpoint).port}"
    client = cluster.s3(endpoint=endpoint, signature_version=version, s3={"addressing_style": "virtual"})
    bucket = f"virtual-{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="a/ké y", Body=b"data")
    assert client.get_object(Bucket=bucket, Key="a/ké y")["Body"].read() == b"data"
    client.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a/ké y"})
    assert [item["Key"] for item in client.list_objects_v2(Bucket=bucket)["Contents"]] == ["a/ké y", "copy"]
    url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a/ké y"})
    assert url.startswith(f"http://{bucket}.s3.localhost:")
    assert requests.get(url, timeout=10).content == b"data"
    assert cluster.s3().get_object(Bucket=bucket, Key="a/ké y")["Body"].read() == b"data"
    client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a/ké y"}, {"Key": "copy"}]})
    client.delete_bucket(Bucket=bucket)
    assert bucket not in [entry["Name"] for entry in cluster.s3().list_buckets()["Buckets"]]
