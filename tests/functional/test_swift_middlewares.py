"""What Swift has as middlewares, on a cluster: quotas, account access lists, forms, web sites, symbolic links."""

import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from botocore.exceptions import ClientError
from swiftclient.client import Connection

from tests.cluster import Cluster
from tests.functional.swift import Account

NOTICED_S = 90.0  # a worker believes for up to 20 s that there is no quota, counters of accounts are a second old


@pytest.fixture(scope="module")
def ann(cluster: Cluster) -> Any:
    return cluster.user("add", f"ann-{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="module")
def bob(cluster: Cluster) -> Any:
    return cluster.user("add", f"bob-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def account(cluster: Cluster, ann: Any) -> Account:
    return Account(cluster, ann)


@pytest.fixture
def container(account: Account) -> str:
    path = f"/middle-{uuid.uuid4().hex[:8]}"
    assert account("PUT", path).status_code == 201
    return path


def as_admin(cluster: Cluster, account: Account) -> Account:
    """Return the cluster's administrator's view of somebody's account."""
    root = Account(cluster)
    root.url = account.url
    return root


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds for the worker that is asked."""
    deadline = time.monotonic() + NOTICED_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def s3_code(client: Any, container: str, data: bytes) -> str:
    """Return the status and the code of the error that a PUT by S3 ends in, "" for none."""
    try:
        client.put_object(Bucket=container[1:], Key="by-s3", Body=data)
    except ClientError as error:
        return f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error.response['Error']['Code']}"
    return ""


def test_a_container_s_quota_is_exact_for_one_after_the_other(
    cluster: Cluster, ann: Any, account: Account, container: str
) -> None:
    client = cluster.s3(ann)
    assert account("POST", container, X_Container_Meta_Quota_Bytes="100", X_Container_Meta_Quota_Count="4").ok
    for index in range(3):
        assert account("PUT", f"{container}/{index}", b"x" * 30).status_code == 201
        refused = Account(cluster, ann)("PUT", f"{container}/more", b"x" * (71 - 30 * index))
        assert (refused.status_code, refused.text) == (413, "Upload exceeds quota.")
    assert s3_code(client, container, b"x" * 11) == "403 QuotaExceeded"
    upload = client.create_multipart_upload(Bucket=container[1:], Key="large")["UploadId"]
    with pytest.raises(ClientError, match="QuotaExceeded"):
        client.upload_part(Bucket=container[1:], Key="large", UploadId=upload, PartNumber=1, Body=b"x" * 11)
    small = client.upload_part(Bucket=container[1:], Key="large", UploadId=upload, PartNumber=1, Body=b"x" * 10)
    assert s3_code(client, container, b"x" * 10) == ""
    parts = {"Parts": [{"PartNumber": 1, "ETag": small["ETag"]}]}
    with pytest.raises(ClientError, match="QuotaExceeded"):
        client.complete_multipart_upload(Bucket=container[1:], Key="large", UploadId=upload, MultipartUpload=parts)
    assert account("PUT", f"{container}/empty").status_code == 413, "four objects are there"
    assert account("DELETE", f"{container}/by-s3").status_code == 204
    client.complete_multipart_upload(Bucket=container[1:], Key="large", UploadId=upload, MultipartUpload=parts)
    assert account("POST", container, X_Remove_Container_Meta_Quota_Count="x").ok


def test_an_account_s_quota(cluster: Cluster, ann: Any, account: Account, container: str) -> None:
    root = as_admin(cluster, account)
    assert account("POST", X_Account_Meta_Quota_Bytes="1").status_code == 403
    used = int(account("HEAD").headers["X-Account-Bytes-Used"])
    assert root("POST", X_Account_Meta_Quota_Bytes=str(used + 2000)).status_code == 204
    try:
        assert account("HEAD").headers["X-Account-Quota-Bytes"] == str(used + 2000)
        until(lambda: account("PUT", f"{container}/large", b"x" * 100_000).status_code == 413)
        until(lambda: s3_code(cluster.s3(ann), container, b"x" * 100_000) == "403 QuotaExceeded")
        assert root("PUT", f"{container}/large", b"x" * 100_000).status_code == 201
        until(lambda: account("PUT", f"{container}/small", b"x").status_code == 413)
    finally:
        assert root("POST", X_Remove_Account_Meta_Quota_Bytes="x").status_code == 204
    until(lambda: account("PUT", f"{container}/small", b"x").status_code == 201)


def test_an_account_s_access_list(cluster: Cluster, bob: Any, account: Account, container: str) -> None:
    visitor = Account(cluster, bob)
    visitor.url = account.url
    account("PUT", f"{container}/o", b"data")
    levels = {"read-only": (200, 403, 403), "read-write": (200, 201, 403), "admin": (200, 201, 204)}
    for level, statuses in levels.items():
        assert visitor("GET", f"{container}/o").status_code == (403 if level == "read-only" else 200)
        assert account("POST", X_Account_Access_Control=json.dumps({level: [bob["name"]]})).status_code == 204
        answers = visitor("GET"), visitor("PUT", f"{container}/p", b"x"), visitor("POST", X_Account_Meta_A="1")
        assert tuple(answer.status_code for answer in answers) == statuses
    assert account("POST", X_Account_Access_Control="{}").status_code == 204
    assert visitor("GET").status_code == 403


def test_a_form_as_a_browser_sends_it(account: Account, container: str) -> None:
    key, path = uuid.uuid4().hex, f"{urlsplit(account.url).path}{container}/photos/"
    assert account("POST", container, X_Container_Meta_Temp_URL_Key=key).ok
    limits = {"redirect": "", "max_file_size": "1000000", "max_file_count": "2", "expires": str(int(time.time()) + 600)}
    signature = hmac.new(key.encode(), "\n".join([path, *limits.values()]).encode(), hashlib.sha256).hexdigest()
    data = bytes(range(256)) * 2000
    for signed, status in ((signature, 201), ("0" * 64, 401)):
        files = {"file1": ("one.bin", data), "file2": ("two.txt", b"text", "text/x")}
        fields = {**limits, "signature": signed}
        url = account.url + f"{container}/photos/"
        assert requests.post(url, data=fields, files=files, timeout=20).status_code == status
    assert account("GET", f"{container}/photos/one.bin").content == data
    assert account("HEAD", f"{container}/photos/two.txt").headers["Content-Type"] == "text/x"


def test_a_web_site(account: Account, container: str) -> None:
    public = {"X_Container_Read": ".r:*,.rlistings", "X_Container_Meta_Web_Index": "index.html"}
    assert account("POST", container, X_Container_Meta_Web_Listings="true", **public).ok
    account("PUT", f"{container}/index.html", b"home")
    account("PUT", f"{container}/dir/ä.txt", b"text")
    visit = requests.get(account.url + container, timeout=20)
    assert (visit.text, visit.headers["Content-Type"], visit.url[-1]) == ("home", "text/html", "/")
    page = requests.get(f"{account.url}{container}/dir", timeout=20)
    page.encoding = "utf-8"
    assert (page.status_code, page.url[-5:]) == (200, "/dir/")
    assert '<a href="./%C3%A4%2Etxt">ä.txt</a>' in page.text
    assert requests.get(f"{account.url}{container}/none", timeout=20).status_code == 404


def test_symbolic_links(cluster: Cluster, ann: Any, account: Account, container: str) -> None:
    data = b"0123456789" * 50_000
    account("PUT", f"{container}/target", data, X_Object_Meta_Color="red")
    client = Connection(cluster.env["ST_AUTH"], ann["name"], ann["secret_key"])
    etag = hashlib.md5(data).hexdigest()
    target = f"{container[1:]}/target"
    client.put_object(container[1:], "soft", b"", headers={"X-Symlink-Target": target})
    static = {"X-Symlink-Target": target, "X-Symlink-Target-Etag": etag}
    client.put_object(container[1:], "static", b"", headers=static)
    for name in ("soft", "static"):
        headers, body = client.get_object(container[1:], name)
        assert (body, headers["etag"], headers["x-object-meta-color"]) == (data, etag, "red")
        assert account("GET", f"{container}/{name}", Range="bytes=-5").content == data[-5:]
        shown = client.head_object(container[1:], name, query_string="symlink=get")
        assert (shown["x-symlink-target"], shown["content-length"]) == (target, "0")
    rows = {row["name"]: row for row in client.get_container(container[1:])[1]}
    assert rows["soft"]["symlink_path"] == f"{urlsplit(account.url).path}/{target}"
    assert (rows["static"]["symlink_etag"], rows["static"]["symlink_bytes"]) == (etag, len(data))
    account("PUT", f"{container}/target", b"other")
    assert account("GET", f"{container}/soft").content == b"other"
    assert account("GET", f"{container}/static").status_code == 409
    account("PUT", f"{container}/loop", X_Symlink_Target=f"{container[1:]}/loop2")
    account("PUT", f"{container}/loop2", X_Symlink_Target=f"{container[1:]}/loop")
    assert account("GET", f"{container}/loop").status_code == 409
    client.close()
