"""Presigned URLs, as browsers and scripts without keys use them."""

import time

import pytest
import requests
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.cluster import Cluster

KEY = "a föld & a+file"


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_url_is_good_for_what_it_was_signed_for(cluster: Cluster, bucket: str, version: str) -> None:
    client = cluster.s3(signature_version=version)

    def url(operation: str, expires_s: int = 60, **more: object) -> str:
        parameters = {"Bucket": bucket, "Key": KEY, **more}
        return str(client.generate_presigned_url(operation, Params=parameters, ExpiresIn=expires_s))

    put = url("put_object", Metadata={"colour": "blue"}, ContentType="text/x")
    fields = {"x-amz-meta-colour": "blue", "Content-Type": "text/x"}
    assert requests.put(put, data=b"hello", headers=fields, timeout=10).status_code == 200
    assert requests.put(put, data=b"hello", headers={**fields, "Content-Type": "text/y"}, timeout=10).status_code == 403
    got = requests.get(url("get_object", ResponseContentType="text/y"), timeout=10)
    assert (got.content, got.headers["x-amz-meta-colour"], got.headers["Content-Type"]) == (b"hello", "blue", "text/y")
    assert requests.get(url("get_object").replace("file", "fire"), timeout=10).status_code == 403
    assert requests.delete(url("get_object"), timeout=10).status_code == 403
    assert requests.head(url("head_object"), timeout=10).status_code == 200
    assert b"<UploadId>" in requests.post(url("create_multipart_upload"), timeout=10).content
    soon = url("get_object", expires_s=1)
    time.sleep(2.1)
    assert "expired" in requests.get(soon, timeout=10).text
    assert requests.delete(url("delete_object"), timeout=10).status_code == 204
    assert requests.get(url("get_object"), timeout=10).status_code == 404


def test_headers_may_be_moved_into_the_query(cluster: Cluster, bucket: str) -> None:
    """As the SDK for JavaScript does with all that begins with x-amz-."""
    fields = "x-amz-meta-colour=deep%20blue&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD&x-id=PutObject"
    request = AWSRequest("PUT", f"{cluster.s3_endpoint}/{bucket}/k?{fields}")
    credentials = Credentials(cluster.env["AWS_ACCESS_KEY_ID"], cluster.env["AWS_SECRET_ACCESS_KEY"])
    S3SigV4QueryAuth(credentials, "s3", cluster.env["AWS_DEFAULT_REGION"], expires=60).add_auth(request)
    url = request.prepare().url
    assert requests.put(url, data=b"hello", timeout=10).status_code == 200
    assert cluster.s3().head_object(Bucket=bucket, Key="k")["Metadata"] == {"colour": "deep blue"}
    assert requests.put(url.replace("deep", "pale"), data=b"hello", timeout=10).status_code == 403
